"""The root key: whatever wraps the keys below it, and the one that this process holds in memory."""

from __future__ import annotations

import hashlib
from typing import Protocol

from attest.binding import bind
from kbs.custody.envelope import KEY_SIZE, unwrap, wrap
from kbs.custody.secret import Secret

__all__ = ["HeldRoot", "Root", "RootUnusable", "root_id"]


class RootUnusable(Exception):
    """The root key cannot be used; the sentence says what to do."""


class Root(Protocol):
    """Whatever holds the root key: it wraps and unwraps, and never gives it away."""

    def wrap(self, context: str, secret: Secret) -> bytes:
        """`secret` under the root, bound to `context`."""

    def unwrap(self, context: str, wrapped: bytes) -> Secret:
        """The inverse; raises WrapInvalid."""


class HeldRoot:
    """A root key of 32 bytes in memory. Whoever opened it may hand it to a worker or to recovery keys: `key`."""

    def __init__(self, key: Secret) -> None:
        if len(key) != KEY_SIZE:
            raise RootUnusable(f"a root key has {KEY_SIZE} bytes, this one has {len(key)}")
        self.key = key

    def wrap(self, context: str, secret: Secret) -> bytes:
        """`secret` under the root, bound to `context`."""
        return wrap(self.key, context, secret)

    def unwrap(self, context: str, wrapped: bytes) -> Secret:
        """The inverse; raises WrapInvalid."""
        return unwrap(self.key, context, wrapped)


def root_id(key: Secret) -> str:
    """Tells root keys apart without telling anything of them: a SHA-256 in hexadecimal."""
    return hashlib.sha256(bind("sealgate/v1/root-id", key.reveal())).hexdigest()
