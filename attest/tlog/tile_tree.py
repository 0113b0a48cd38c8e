"""Roots and proofs out of tiles, without the leaves.

Sources: C2SP tlog-tiles v0.1.0, section "Merkle Tree"; RFC 6962 section 2.1. A proof is the roots of the leaf ranges
that `proofs` names. Here each range is cut into perfect subtrees, and each of these lies whole in one tile. Fetching is
the caller's: ask `tiles_for` what is needed, get it by any means, hand it to `roots`.

Tiles are not authenticated by themselves. What is built from them counts once it has led to a signed root.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from attest.errors import NotLogged
from attest.tlog.merkle import Frontier, node_hash, root_of
from attest.tlog.tiles import WIDTH, Tile

__all__ = ["frontier_of", "frontier_tiles", "roots", "tiles_for"]

Range = tuple[int, int]


def tiles_for(ranges: Iterable[Range], size: int) -> tuple[Tile, ...]:
    """The tiles of a tree of `size` that hold what `roots` needs, each once."""
    return tuple(dict.fromkeys(_tile_of(level, index, size) for span in ranges for level, index in _subtrees(span)))


def roots(ranges: Iterable[Range], size: int, hashes: Mapping[Tile, Sequence[bytes]]) -> tuple[bytes, ...]:
    """The root of each range; with `proofs.inclusion_ranges` or `proofs.consistency_ranges` that is the proof.

    Raises NotLogged TILE_MISSING if a tile that `tiles_for` named is not in `hashes`.
    """
    return tuple(
        _fold([_subtree_root(level, index, size, hashes) for level, index in _subtrees(span)]) for span in ranges
    )


def frontier_tiles(size: int) -> tuple[Tile, ...]:
    """The tiles that `frontier_of` needs: at most one per level."""
    return tiles_for([(0, size)], size) if size else ()


def frontier_of(size: int, hashes: Mapping[Tile, Sequence[bytes]]) -> Frontier:
    """The frontier of a tree of `size`; its root is to be compared with the checkpoint's. Raises as `roots`."""
    parts = _subtrees((0, size)) if size else []
    return Frontier(size=size, hashes=tuple(_subtree_root(level, index, size, hashes) for level, index in parts))


def _subtrees(span: Range) -> list[tuple[int, int]]:
    """Level and index of the perfect subtrees of a range, largest first.

    The ranges of a proof start at a multiple of the power of two that holds their length, so each part is aligned.
    """
    start, end = span
    parts = []
    for level in range((end - start).bit_length() - 1, -1, -1):
        if (end - start) >> level & 1:
            parts.append((level, start >> level))
            start += 1 << level
    return parts


def _tile_of(level: int, index: int, size: int) -> Tile:
    row, inside = divmod(level, 8)
    at = (index << inside) // WIDTH
    return Tile(level=row, index=at, width=min(WIDTH, (size >> 8 * row) - at * WIDTH))


def _subtree_root(level: int, index: int, size: int, hashes: Mapping[Tile, Sequence[bytes]]) -> bytes:
    tile = _tile_of(level, index, size)
    if tile not in hashes:
        raise NotLogged("TILE_MISSING", tile.path, expected="its hashes", got="nothing")
    inside = level % 8
    first = (index << inside) % WIDTH
    return root_of(hashes[tile][first : first + (1 << inside)])


def _fold(parts: Sequence[bytes]) -> bytes:
    root = parts[-1]
    for left in parts[-2::-1]:
        root = node_hash(left, root)
    return root
