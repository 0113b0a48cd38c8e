"""One supervisor, or one hand at the keys, for each site: a lock that ends with its process."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kbs.store.errors import StoreUnusable

__all__ = ["Busy", "alone"]


class Busy(Exception):
    """Another process works on this site."""


@contextmanager
def alone(directory: Path, name: str = "serving.lock", *, wait: bool = False) -> Iterator[None]:
    """Holds the site's lock; raises Busy if somebody else does, unless it is to `wait`, StoreUnusable for no site."""
    try:
        descriptor = os.open(directory / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        raise StoreUnusable(f"{directory} is not there: sealgate-broker init makes a deployment") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    except BlockingIOError:
        raise Busy(f"another sealgate-broker works in {directory}: stop it first") from None
    finally:
        os.close(descriptor)
