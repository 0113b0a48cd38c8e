"""Sealed files that would take too long to seal: sparse, with only some of their chunks in them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from clients.workload import age
from clients.workload.age_recipient import KeyPair
from clients.workload.manifest import Manifest
from clients.workload.sealed import list_file

__all__ = ["sparse"]


def sparse(file: Path, size: int, chunks: Mapping[int, bytes], pair: KeyPair, asset: str) -> Manifest:
    """A file of `size` bytes of plaintext, a multiple of the chunk's; of it exist `chunks`, by index, and the last."""
    sealer = age.Sealer(pair.recipient, file_key=os.urandom(16), nonce=os.urandom(16))
    start, last = len(sealer.first), size // age.CHUNK - 1
    with file.open("xb") as sealed:
        sealed.write(sealer.first)
        for index, plain in {**chunks, last: bytes(age.CHUNK)}.items():
            sealed.seek(start + index * (age.CHUNK + age.TAG))
            sealed.write(sealer.seal_at(index, plain, last=index == last))
    with file.open("rb") as sealed:
        return Manifest(asset=asset, files=(list_file(sealed, path=file.name),))
