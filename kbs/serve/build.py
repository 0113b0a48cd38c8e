"""What exactly decides: versions and source digests of this build, as one document."""

from __future__ import annotations

import functools
import hashlib
import platform
from importlib import metadata, resources
from importlib.resources.abc import Traversable

from attest.tlog.entry import canonical

__all__ = ["engine_document"]

_DECIDING = ("attest", "kbs.decide", "kbs.policy", "kbs.release")
_LIBRARIES = ("sealgate", "cryptography", "awscrt", "cedarpy")


@functools.cache
def engine_document() -> bytes:
    """The preimage of `engine_digest`: Python, libraries, and the SHA-256 of every source file that decides.

    Read once: what a process decides by is what lay there when it began.
    """
    return canonical(
        {
            "v": "sealgate.engine/1",
            "python": platform.python_version(),
            "libraries": [{"name": name, "version": metadata.version(name)} for name in _LIBRARIES],
            "sources": [{"package": name, "digest": _digest(resources.files(name)).hex()} for name in _DECIDING],
        }
    )


def _digest(directory: Traversable) -> bytes:
    total = hashlib.sha256()
    for path in sorted(directory.iterdir(), key=lambda p: p.name):
        if path.is_dir():
            if path.name != "__pycache__":
                total.update(path.name.encode() + b"\0" + _digest(path))
        elif path.name.endswith((".py", ".cedar", ".cedarschema")):
            total.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return total.digest()
