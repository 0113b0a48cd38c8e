"""The tree while its entries pass by: at any moment at most 255 hashes per level, and the root of every prefix."""

from __future__ import annotations

from collections.abc import Sequence

from attest.tlog.merkle import EMPTY_ROOT, root_of
from attest.tlog.tiles import WIDTH, Tile

__all__ = ["GrowingTree"]

Recomputed = tuple[Tile, Sequence[bytes]]


class GrowingTree:
    """For each level the hashes of the tile that is not yet full; full tiles are handed out and forgotten."""

    def __init__(self) -> None:
        self._rows: list[list[bytes]] = [[]]
        self._size = 0

    def push(self, leaf_hashes: Sequence[bytes]) -> list[Recomputed]:
        """Appends the leaf hashes of one bundle and returns the tiles that are full now, from the leaves up.

        Every bundle MUST be full but the last.
        """
        self._rows[0] += leaf_hashes
        self._size += len(leaf_hashes)
        full: list[Recomputed] = []
        level = 0
        while len(hashes := self._rows[level]) == WIDTH:
            full.append((Tile(level=level, index=(self._size >> 8 * (level + 1)) - 1), hashes))
            self._rows[level] = []
            level += 1
            if level == len(self._rows):
                self._rows.append([])
            self._rows[level].append(root_of(hashes))
        return full

    def partial(self) -> list[Recomputed]:
        """The tiles that are not full, from the leaves up."""
        return [
            (Tile(level=level, index=self._size >> 8 * (level + 1), width=len(row)), row)
            for level, row in enumerate(self._rows)
            if row
        ]

    def root(self, more: Sequence[bytes] = ()) -> bytes:
        """The root, with up to a bundle of `more` leaf hashes behind what was pushed."""
        right: list[bytes] = []
        for row in ([*self._rows[0], *more], *self._rows[1:]):
            nodes = [*row, *right]
            right = [root_of(nodes)] if nodes else []
        return right[0] if right else EMPTY_ROOT
