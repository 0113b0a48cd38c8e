"""Publishes the log as static files: entry bundles, hash tiles, and last the checkpoint (c2sp.org/tlog-tiles).

Everything is derived from committed entries, hence idempotent: after a crash the same bytes are written again. The
checkpoint goes last and by rename, so that whoever sees it finds everything that it covers. What was published is the
witness at hand: a log that does not continue it, after a backup was put back, say, is not published.
"""

from __future__ import annotations

import os
from pathlib import Path

from attest.tlog import tiles
from attest.tlog.checkpoint import Checkpoint, open_checkpoint
from attest.tlog.keys import VerifierKey
from attest.tlog.merkle import EMPTY_ROOT, extend, leaf_hash, root_of
from attest.tlog.tile_tree import frontier_of, frontier_tiles
from kbs.log.port import Faults, LogReader, no_fault
from kbs.log.signer import CheckpointSigner

__all__ = ["LogForked", "Publisher", "write_synced"]

_STEP = 1_024


class LogForked(Exception):
    """The committed log does not continue what was published. Nothing is published until people have looked."""


class Publisher:
    """Writes into one directory. The entry bundles in it are for authenticated auditors, the rest is public."""

    def __init__(self, directory: Path, reader: LogReader, signer: CheckpointSigner, faults: Faults = no_fault) -> None:
        self._faults = faults
        self._directory = directory
        self._reader = reader
        self._signer = signer
        directory.mkdir(parents=True, exist_ok=True)

    def published(self) -> int:
        """The size of the checkpoint that lies there, 0 for none; raises NotLogged if it is not ours."""
        return self._checkpoint().size

    def publish(self) -> int:
        """Publishes up to the present head and returns its size; raises LogForked, and NotLogged as `published`."""
        old, head = self._checkpoint(), self._reader.head()  # in this order: others publish and append, too
        root = self._continued(old, head.size)
        if root != head.root:
            raise LogForked(f"the {head.size} entries that are stored do not continue the {old.size} published")
        if head.size > old.size:
            self._write_tiles(old.size, head.size)
            self._faults("published-tiles")
            write_synced(self._directory / "checkpoint", self._signer.checkpoint(head.size, head.root))
        return head.size

    def _checkpoint(self) -> Checkpoint:
        path = self._directory / "checkpoint"
        if not path.exists():
            return Checkpoint(origin=self._signer.origin, size=0, root=EMPTY_ROOT)
        key = VerifierKey.parse(self._signer.verifier_key)
        return open_checkpoint(path.read_bytes(), self._signer.origin, [key]).checkpoint

    def _continued(self, old: Checkpoint, size: int) -> bytes:
        """The root of the published tree with the stored entries after it."""
        frontier = frontier_of(old.size, {tile: self._hashes(tile) for tile in frontier_tiles(old.size)})
        if frontier.root() != old.root or size < old.size:
            raise LogForked(
                f"{old.size} entries are published, {size} are stored, or a published tile is not what it was"
            )
        for first in range(old.size, size, _STEP):
            leaves = self._reader.entries(first, min(first + _STEP, size))
            frontier = extend(frontier, [leaf_hash(leaf) for _, leaf, _ in leaves]).frontier
        return frontier.root()

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
            write_synced(self._directory / piece.path, data)

    def _hashes(self, tile: tiles.Tile) -> tuple[bytes, ...]:
        return tiles.decode_tile((self._directory / tile.path).read_bytes(), tile.width)


def write_synced(path: Path, data: bytes) -> None:
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
