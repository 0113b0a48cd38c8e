"""Inclusion and consistency proofs, for whole trees and for subtrees.

Sources: RFC 6962 sections 2.1.1 and 2.1.2; for subtrees draft-ietf-plants-merkle-tree-certs-02, section "Subtrees".
All four proofs are one walk from the root of the tree down to the range [start, end): a leaf is the subtree of size
one, an older tree the subtree that starts at 0. Verifiers walk the same way as makers, so the length of a valid proof
is known beforehand.

Size and root MUST come from a signed checkpoint and from nowhere else: the same path also verifies for another index in
a tree of another size.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence

from attest.errors import NotLogged
from attest.tlog.merkle import EMPTY_ROOT, HASH_SIZE, MAX_SIZE, node_hash, root_of

__all__ = [
    "consistency_proof",
    "consistency_ranges",
    "inclusion_proof",
    "inclusion_ranges",
    "subtree_consistency_proof",
    "subtree_consistency_ranges",
    "verify_consistency",
    "verify_inclusion",
    "verify_subtree_consistency",
    "verify_subtree_inclusion",
]

Range = tuple[int, int]


class _Side(enum.Enum):
    """Where the proof's hash stands, seen from the node below it."""

    RIGHT = "right"
    LEFT = "left"
    LEFT_OF_BOTH = "left, and inside the range as well"


_Step = tuple[_Side, Range]


def _walk(start: int, end: int, size: int) -> tuple[list[_Step], Range | None]:
    """The steps from the leaf-most to the root, and the range of the hash to start from.

    That range is None when it is the whole of [start, end), whose root the verifier already has.
    """
    steps: list[_Step] = []
    whole = True
    base = 0
    while (start, end) != (0, size):
        k = 1 << (size - 1).bit_length() - 1
        if end <= k:
            steps.append((_Side.RIGHT, (base + k, base + size)))
            size = k
            continue
        if start >= k:
            steps.append((_Side.LEFT, (base, base + k)))
        else:
            steps.append((_Side.LEFT_OF_BOTH, (base, base + k)))
            whole = False
        base, start, end, size = base + k, max(start - k, 0), end - k, size - k
    steps.reverse()
    return steps, None if whole else (base, base + size)


def _check_range(start: int, end: int, size: int) -> None:
    """A subtree's start is a multiple of the power of two that holds its length."""
    if not 0 <= start < end <= size <= MAX_SIZE:
        raise NotLogged("PROOF_INDEX", "range", expected="0 <= start < end <= size < 2**63", got=(start, end, size))
    if start % (1 << (end - start - 1).bit_length()):
        raise NotLogged("PROOF_INDEX", "range", expected="start and end of a subtree", got=(start, end, size))


def subtree_consistency_ranges(start: int, end: int, size: int) -> tuple[Range, ...]:
    """The leaf ranges [from, to) whose roots are, in order, the proof that [start, end) is a subtree of the tree."""
    _check_range(start, end, size)
    steps, seed = _walk(start, end, size)
    ranges = tuple(where for _, where in steps)
    return ranges if seed is None else (seed, *ranges)


def inclusion_ranges(index: int, size: int) -> tuple[Range, ...]:
    """The leaf ranges whose roots are, in order, the inclusion proof of leaf `index` in a tree of `size`."""
    return subtree_consistency_ranges(index, index + 1, size)


def consistency_ranges(old_size: int, size: int) -> tuple[Range, ...]:
    """The leaf ranges whose roots are, in order, the consistency proof between two sizes."""
    return subtree_consistency_ranges(0, old_size, size)


def subtree_consistency_proof(leaf_hashes: Sequence[bytes], start: int, end: int) -> tuple[bytes, ...]:
    """The proof that [start, end) is a subtree of the tree over `leaf_hashes`."""
    return tuple(root_of(leaf_hashes[a:b]) for a, b in subtree_consistency_ranges(start, end, len(leaf_hashes)))


def inclusion_proof(leaf_hashes: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """The inclusion proof of leaf `index`; costs one pass over all leaves, see `tile_tree` for large trees."""
    return subtree_consistency_proof(leaf_hashes, index, index + 1)


def consistency_proof(leaf_hashes: Sequence[bytes], old_size: int) -> tuple[bytes, ...]:
    """The proof that the first `old_size` leaves are the older tree; costs as `inclusion_proof`."""
    return subtree_consistency_proof(leaf_hashes, 0, old_size)


def verify_subtree_consistency(
    subtree: Range, subtree_root: bytes, size: int, root: bytes, proof: Sequence[bytes]
) -> None:
    """Check that `subtree`, the range [start, end), with `subtree_root` is part of the tree of `size` with `root`.

    The empty range has the root of nothing and is part of every tree; that says nothing about `root`.
    Raises NotLogged PROOF_INDEX, PROOF_LENGTH, PROOF_HASH or PROOF_ROOT.
    """
    if subtree[0] == subtree[1]:
        _verify_empty(subtree[0], subtree_root, size, proof)
        return
    _check_range(*subtree, size)
    steps, seed = _walk(*subtree, size)
    expected = len(steps) + (seed is not None)
    if len(proof) != expected:
        raise NotLogged("PROOF_LENGTH", "proof", expected=f"{expected} hashes", got=f"{len(proof)} hashes")
    for at, each in enumerate(proof):
        if len(each) != HASH_SIZE:
            raise NotLogged("PROOF_HASH", f"proof[{at}]", expected="32 bytes", got=f"{len(each)} bytes")
    inside, whole = _fold(steps, subtree_root if seed is None else proof[0], proof[expected - len(steps) :])
    if inside != subtree_root:
        raise NotLogged("PROOF_ROOT", "subtree root", expected=subtree_root, got=inside)
    if whole != root:
        raise NotLogged("PROOF_ROOT", "root", expected=root, got=whole)


def _verify_empty(start: int, subtree_root: bytes, size: int, proof: Sequence[bytes]) -> None:
    if not 0 <= start <= size <= MAX_SIZE:
        raise NotLogged("PROOF_INDEX", "range", expected="0 <= start <= size < 2**63", got=(start, size))
    if proof:
        raise NotLogged("PROOF_LENGTH", "proof", expected="0 hashes", got=f"{len(proof)} hashes")
    if subtree_root != EMPTY_ROOT:
        raise NotLogged("PROOF_ROOT", "subtree root", expected=EMPTY_ROOT, got=subtree_root)


def _fold(steps: Sequence[_Step], seed: bytes, proof: Sequence[bytes]) -> tuple[bytes, bytes]:
    """The roots of the subtree and of the tree that `proof` leads to."""
    inside = whole = seed
    for (side, _), other in zip(steps, proof, strict=True):
        if side is _Side.RIGHT:
            whole = node_hash(whole, other)
            continue
        whole = node_hash(other, whole)
        if side is _Side.LEFT_OF_BOTH:
            inside = node_hash(other, inside)
    return inside, whole


def verify_subtree_inclusion(leaf_hash: bytes, index: int, subtree: Range, proof: Sequence[bytes], root: bytes) -> None:
    """Check that leaf `index` of the log has `leaf_hash`, given the `root` of a subtree [start, end) around it."""
    start, end = subtree
    _check_range(start, end, end)
    verify_inclusion(leaf_hash, index - start, end - start, proof, root)


def verify_inclusion(leaf_hash: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Check that leaf `index` of the tree of `size` with `root` has `leaf_hash`. Raises as the subtree form does."""
    if len(leaf_hash) != HASH_SIZE:
        raise NotLogged("PROOF_HASH", "leaf hash", expected="32 bytes", got=f"{len(leaf_hash)} bytes")
    verify_subtree_consistency((index, index + 1), leaf_hash, size, root, proof)


def verify_consistency(old_size: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]) -> None:
    """Check that the tree of `size` with `root` extends that of `old_size` with `old_root`.

    Raises as the subtree form does; `old_size` 0 is refused, since every tree extends the empty one and no proof of it
    says anything.
    """
    if old_size == 0:
        raise NotLogged("PROOF_INDEX", "old size", expected="at least 1", got=old_size)
    verify_subtree_consistency((0, old_size), old_root, size, root, proof)
