"""The Merkle tree over SHA-256, and how to append to it knowing only its right edge.

Source: RFC 6962 section 2.1. A tree of `size` leaves is a list of perfect subtrees, one for each set bit of `size`;
their roots are the `Frontier`, and it is all that an append needs (facts/log.md 2.3): the siblings of a new leaf are
either in the old frontier or made in the same batch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from attest.errors import Malformed, NotLogged

__all__ = [
    "EMPTY_ROOT",
    "HASH_SIZE",
    "MAX_SIZE",
    "Extension",
    "Frontier",
    "extend",
    "leaf_hash",
    "node_hash",
    "root_of",
]

HASH_SIZE = 32
MAX_SIZE = 2**63 - 1
EMPTY_ROOT = hashlib.sha256(b"").digest()

_sha256 = hashlib.sha256


def leaf_hash(leaf: bytes) -> bytes:
    """The hash of a leaf's exact bytes: SHA-256(0x00 || leaf)."""
    return _sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node: SHA-256(0x01 || left || right)."""
    return _sha256(b"\x01" + left + right).digest()


def root_of(leaf_hashes: Sequence[bytes]) -> bytes:
    """MTH of the whole list, from leaf hashes. The root of nothing is `EMPTY_ROOT`."""
    if not leaf_hashes:
        return EMPTY_ROOT
    level = list(leaf_hashes)
    while len(level) > 1:
        above = [_sha256(b"\x01" + level[i] + level[i + 1]).digest() for i in range(0, len(level) - 1, 2)]
        if len(level) % 2:
            above.append(level[-1])
        level = above
    return level[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Frontier:
    """The roots of the perfect subtrees that make up a tree of `size` leaves, largest subtree first.

    Raises Malformed FRONTIER_LENGTH unless there is one 32-byte hash for each set bit of `size`.
    """

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.size <= MAX_SIZE:
            raise Malformed("FRONTIER_SIZE", "frontier.size", expected=f"0 to {MAX_SIZE}", got=self.size)
        if len(self.hashes) != self.size.bit_count() or any(len(each) != HASH_SIZE for each in self.hashes):
            expected = f"{self.size.bit_count()} hashes of 32 bytes"
            got = f"lengths {[len(each) for each in self.hashes]}"
            raise Malformed("FRONTIER_LENGTH", "frontier.hashes", expected=expected, got=got)

    def root(self) -> bytes:
        """The root of the tree."""
        if not self.hashes:
            return EMPTY_ROOT
        root = self.hashes[-1]
        for left in self.hashes[-2::-1]:
            root = node_hash(left, root)
        return root

    def encode(self) -> bytes:
        """The hashes one after the other; `size` is stored beside them."""
        return b"".join(self.hashes)

    @classmethod
    def decode(cls, size: int, encoded: bytes) -> Frontier:
        """The frontier of a tree of `size` leaves from what `encode` gave; raises as the class does."""
        hashes = tuple(encoded[at : at + HASH_SIZE] for at in range(0, len(encoded), HASH_SIZE))
        return cls(size=size, hashes=hashes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Extension:
    """A tree after a batch was appended, with what the proofs of the batch need. Made by `extend` only.

    `levels[l]` is the index of the first node known at level `l`, always even, and the complete nodes from there to the
    right edge; `ragged[l]` the root of the incomplete subtree right of them, None where there is none.
    """

    first: int
    frontier: Frontier
    root: bytes
    levels: tuple[tuple[int, list[bytes]], ...]
    ragged: tuple[bytes | None, ...]

    def inclusion(self, index: int) -> tuple[bytes, ...]:
        """The inclusion proof (RFC 6962 section 2.1.1) of a leaf of this batch against `root`.

        Raises NotLogged PROOF_INDEX for an index that is not of this batch.
        """
        if not self.first <= index < self.frontier.size:
            expected = f"{self.first} <= index < {self.frontier.size}"
            raise NotLogged("PROOF_INDEX", "index", expected=expected, got=index)
        proof: list[bytes] = []
        for (first, nodes), ragged in zip(self.levels, self.ragged, strict=True):
            sibling = (index ^ 1) - first
            if sibling < len(nodes):
                proof.append(nodes[sibling])
            elif sibling == len(nodes) and index % 2 == 0 and ragged is not None:
                proof.append(ragged)
            index >>= 1
        return tuple(proof)


def extend(frontier: Frontier, leaf_hashes: Sequence[bytes]) -> Extension:
    """Append `leaf_hashes` (32 bytes each) in order; needs nothing of the old tree but its frontier."""
    size = frontier.size + len(leaf_hashes)
    edge = dict(zip(_set_bits(frontier.size), frontier.hashes, strict=True))
    levels: list[tuple[int, list[bytes]]] = []
    ragged: list[bytes | None] = []
    right: bytes | None = None
    nodes = list(leaf_hashes)
    for level in range(size.bit_length()):
        first = frontier.size >> level
        if first % 2:
            nodes.insert(0, edge[level])
            first -= 1
        levels.append((first, nodes))
        ragged.append(right)
        if size >> level & 1:
            right = nodes[-1] if right is None else node_hash(nodes[-1], right)
        nodes = [_sha256(b"\x01" + nodes[i] + nodes[i + 1]).digest() for i in range(0, len(nodes) - 1, 2)]
    hashes = tuple(levels[level][1][-1] for level in _set_bits(size))
    return Extension(
        first=frontier.size,
        frontier=Frontier(size=size, hashes=hashes),
        root=EMPTY_ROOT if right is None else right,
        levels=tuple(levels),
        ragged=tuple(ragged),
    )


def _set_bits(size: int) -> list[int]:
    return [level for level in range(size.bit_length() - 1, -1, -1) if size >> level & 1]
