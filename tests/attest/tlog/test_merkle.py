"""The tree: known hashes, and the frontier against the recursive definition."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attest.tlog.merkle import EMPTY_ROOT, Frontier, extend, leaf_hash, node_hash, root_of
from attest.tlog.proofs import inclusion_proof, verify_inclusion
from tests.attest.tlog.refusal import refused

LEAVES = [leaf_hash(b"%d" % i) for i in range(1200)]


def naive_root(hashes: Sequence[bytes]) -> bytes:
    """RFC 6962 section 2.1, word for word."""
    if len(hashes) < 2:
        return hashes[0] if hashes else EMPTY_ROOT
    k = 1
    while k * 2 < len(hashes):
        k *= 2
    return node_hash(naive_root(hashes[:k]), naive_root(hashes[k:]))


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        (EMPTY_ROOT, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (leaf_hash(b""), "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
        (leaf_hash(b"L123456"), "395aa064aa4c29f7010acfe3f25db9485bbd4b91897b6ad7ad547639252b4d56"),
        (node_hash(b"N123", b"N456"), "aa217fe888e47007fa15edab33c2b492a722cb106c64667fc2b044444de66bbb"),
    ],
    ids=["empty tree", "empty leaf", "leaf", "node"],
)
def test_known_hashes(got: bytes, expected: str) -> None:
    assert got.hex() == expected


@pytest.mark.parametrize("size", [*range(70), 127, 128, 129, 255, 256, 257, 1000])
def test_root_is_that_of_the_definition(size: int) -> None:
    assert root_of(LEAVES[:size]) == naive_root(LEAVES[:size])


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 90), max_size=8))
def test_frontier_and_proofs_of_any_batches(batches: list[int]) -> None:
    frontier = Frontier()
    for batch in batches:
        size = frontier.size + batch
        frontier = Frontier.decode(frontier.size, frontier.encode())
        extension = extend(frontier, LEAVES[frontier.size : size])
        assert extension.root == root_of(LEAVES[:size]) == extension.frontier.root()
        for index in range(frontier.size, size):
            proof = extension.inclusion(index)
            verify_inclusion(LEAVES[index], index, size, proof, extension.root)
            assert proof == inclusion_proof(LEAVES[:size], index)
        frontier = extension.frontier


def test_every_old_size_and_small_batch() -> None:
    for old in range(66):
        frontier = extend(Frontier(), LEAVES[:old]).frontier
        for size in range(old, 67):
            extension = extend(frontier, LEAVES[old:size])
            assert extension.root == root_of(LEAVES[:size])
            for index in range(old, size):
                assert extension.inclusion(index) == inclusion_proof(LEAVES[:size], index)


def test_a_tree_of_billions_costs_no_more_than_its_edge() -> None:
    size = 2**40 + 12345
    old = Frontier(size=size, hashes=tuple(LEAVES[: size.bit_count()]))
    extension = extend(old, LEAVES[500:600])
    for index in (size, size + 50, size + 99):
        proof = extension.inclusion(index)
        verify_inclusion(LEAVES[500 + index - size], index, size + 100, proof, extension.root)


@pytest.mark.parametrize("index", [-1, 0, 9, 15, 2**64])
def test_only_the_batch_has_proofs(index: int) -> None:
    extension = extend(extend(Frontier(), LEAVES[:10]).frontier, LEAVES[10:15])
    with refused("PROOF_INDEX"):
        extension.inclusion(index)


@pytest.mark.parametrize(
    ("size", "encoded", "check"),
    [
        (0, b"\0" * 32, "FRONTIER_LENGTH"),
        (3, b"\0" * 32, "FRONTIER_LENGTH"),
        (3, b"\0" * 63, "FRONTIER_LENGTH"),
        (3, b"\0" * 65, "FRONTIER_LENGTH"),
        (4, b"\0" * 64, "FRONTIER_LENGTH"),
        (-1, b"\0" * 32, "FRONTIER_SIZE"),
        (2**63, b"\0" * 32, "FRONTIER_SIZE"),
    ],
)
def test_frontier_of_the_wrong_length(size: int, encoded: bytes, check: str) -> None:
    with refused(check):
        Frontier.decode(size, encoded)


def test_the_frontier_of_nothing() -> None:
    assert Frontier.decode(0, b"").root() == EMPTY_ROOT == extend(Frontier(), []).root
    assert Frontier(size=3, hashes=(LEAVES[0], LEAVES[1])).encode() == LEAVES[0] + LEAVES[1]
