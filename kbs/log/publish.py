"""Publishes the log as static files: entry bundles, hash tiles, and last the checkpoint (c2sp.org/tlog-tiles).

Everything is derived from committed entries, hence idempotent: after a crash the same bytes are written again. The
checkpoint goes last and by rename, so that whoever sees it finds everything that it covers.
"""

from __future__ import annotations

import os
from pathlib import Path

from attest.tlog import tiles
from attest.tlog.checkpoint import open_checkpoint
from attest.tlog.keys import VerifierKey
from attest.tlog.merkle import root_of
from kbs.log.port import LogReader
from kbs.log.signer import CheckpointSigner

__all__ = ["Publisher"]


class Publisher:
    """Writes into one directory. The entry bundles in it are for authenticated auditors, the rest is public."""

    def __init__(self, directory: Path, reader: LogReader, signer: CheckpointSigner) -> None:
        self._directory = directory
        self._reader = reader
        self._signer = signer
        directory.mkdir(parents=True, exist_ok=True)

    def published(self) -> int:
        """The size of the checkpoint that lies there, 0 for none; raises NotLogged if it is not ours."""
        path = self._directory / "checkpoint"
        if not path.exists():
            return 0
        key = VerifierKey.parse(self._signer.verifier_key)
        return open_checkpoint(path.read_bytes(), self._signer.origin, [key]).checkpoint.size

    def publish(self) -> int:
        """Publishes up to the present head and returns its size."""
        head, old = self._reader.head(), self.published()
        if head.size <= old:
            return old
        self._write_tiles(old, head.size)
        _write(self._directory / "checkpoint", self._signer.checkpoint(head.size, head.root))
        return head.size

    def _write_tiles(self, old: int, new: int) -> None:
        for piece in tiles.new_tiles(old, new):
            first = piece.index * tiles.WIDTH
            if isinstance(piece, tiles.Bundle):
                leaves = [leaf for _, leaf, _ in self._reader.entries(first, first + piece.width)]
                data = tiles.encode_bundle(leaves)
            elif piece.level == 0:
                data = tiles.encode_tile([h for _, _, h in self._reader.entries(first, first + piece.width)])
            else:
                data = tiles.encode_tile([root_of(self._hashes(child)) for child in piece.children()])
            _write(self._directory / piece.path, data)

    def _hashes(self, tile: tiles.Tile) -> tuple[bytes, ...]:
        return tiles.decode_tile((self._directory / tile.path).read_bytes(), tile.width)


def _write(path: Path, data: bytes) -> None:
    """Writes by rename, file and directory synced: a reader sees the old bytes or the new ones."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
