"""Receipts of entries long committed, out of what was published: the entry, its proof, the published checkpoint.

A receipt that goes out with a reply is made from its batch; one that is asked for later needs hashes from all over the
tree, which lie in the published tiles. So there is none until the entry is published, a second later.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from attest.tlog import tiles
from attest.tlog.checkpoint import open_checkpoint
from attest.tlog.keys import VerifierKey
from attest.tlog.merkle import leaf_hash
from attest.tlog.proofs import inclusion_ranges, verify_inclusion
from attest.tlog.tile_tree import roots, tiles_for
from kbs.log.port import LogReader
from kbs.log.signer import CheckpointSigner

__all__ = ["NotPublished", "Receipt", "Receipts"]


class NotPublished(Exception):
    """The entry is not in the published tree yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """An entry's exact bytes with all that proves it."""

    leaf: bytes
    index: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes


class Receipts:
    """Makes receipts from the published log in `directory` and the entries in the store."""

    def __init__(self, directory: Path, reader: LogReader, signer: CheckpointSigner) -> None:
        self._directory = directory
        self._reader = reader
        self._signer = signer

    def receipt(self, index: int) -> Receipt:
        """The receipt of entry `index`, checked before it is given out.

        Raises NotPublished, and NotLogged where store and published tree contradict each other.
        """
        path = self._directory / "checkpoint"
        if not path.exists():
            raise NotPublished(f"entry {index} is not published yet")
        key = VerifierKey.parse(self._signer.verifier_key)
        signed = open_checkpoint(path.read_bytes(), self._signer.origin, [key])
        tree = signed.checkpoint
        if index >= tree.size:
            raise NotPublished(f"entry {index} is not published yet")
        leaf = self._reader.entries(index, index + 1)[0][1]
        ranges = inclusion_ranges(index, tree.size)
        needed = tiles_for(ranges, tree.size)
        hashes = roots(ranges, tree.size, {tile: self._hashes(tile) for tile in needed})
        verify_inclusion(leaf_hash(leaf), index, tree.size, hashes, tree.root)
        return Receipt(leaf=leaf, index=index, hashes=hashes, checkpoint=signed.raw)

    def _hashes(self, tile: tiles.Tile) -> tuple[bytes, ...]:
        return tiles.decode_tile((self._directory / tile.path).read_bytes(), tile.width)
