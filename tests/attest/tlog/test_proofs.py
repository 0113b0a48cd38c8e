"""Proofs: the vectors of transparency-dev/merkle, and no mutation of a valid proof verifies."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attest.errors import NotLogged
from attest.tlog.merkle import EMPTY_ROOT, leaf_hash, root_of
from attest.tlog.proofs import (
    consistency_proof,
    consistency_ranges,
    inclusion_proof,
    inclusion_ranges,
    subtree_consistency_proof,
    verify_consistency,
    verify_inclusion,
    verify_subtree_consistency,
    verify_subtree_inclusion,
)
from tests.attest.tlog.refusal import refused
from tests.vectors import VECTORS, needs_vectors

CASES = {"inclusion": 98, "consistency": 98, "subtreeinclusion": 204, "subtreeconsistency": 118}
CHECKS = {"PROOF_INDEX", "PROOF_LENGTH", "PROOF_HASH", "PROOF_ROOT"}
LEAVES = [leaf_hash(b"%d" % i) for i in range(200)]


def vector_files(kind: str) -> list[Path]:
    return sorted((VECTORS / "tlog/merkle/testdata" / kind).rglob("*.json")) if VECTORS is not None else []


def run(kind: str, case: dict[str, Any]) -> None:
    def decoded(name: str) -> bytes:
        return base64.b64decode(case[name], validate=True)

    proof = [base64.b64decode(each, validate=True) for each in case["proof"] or []]
    if kind == "inclusion":
        verify_inclusion(decoded("leafHash"), case["leafIdx"], case["treeSize"], proof, decoded("root"))
    elif kind == "consistency":
        verify_consistency(case["size1"], decoded("root1"), case["size2"], decoded("root2"), proof)
    elif kind == "subtreeinclusion":
        span = (case["start"], case["end"])
        verify_subtree_inclusion(decoded("leafHash"), case["leafIdx"], span, proof, decoded("root"))
    else:
        span = (case["start"], case["end"])
        verify_subtree_consistency(span, decoded("root1"), case["size"], decoded("root2"), proof)


def wrong_verdict(kind: str, path: Path) -> str | None:
    case = json.loads(path.read_bytes())
    try:
        run(kind, case)
    except NotLogged as error:
        return None if case["wantErr"] and error.check in CHECKS else f"{path}: refused: {error}"
    return f"{path}: accepted" if case["wantErr"] else None


@needs_vectors(sum(CASES.values()))
@pytest.mark.parametrize("kind", CASES)
def test_vectors(kind: str) -> None:
    files = vector_files(kind)
    assert len(files) == CASES[kind]
    assert [wrong for path in files if (wrong := wrong_verdict(kind, path)) is not None] == []


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_inclusion_verifies_and_no_mutation_does(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, len(LEAVES)))
    index = data.draw(st.integers(0, size - 1))
    proof, root = inclusion_proof(LEAVES[:size], index), root_of(LEAVES[:size])
    verify_inclusion(LEAVES[index], index, size, proof, root)
    other = data.draw(st.integers(-1, size + 1).filter(lambda i: i != index))
    with refused(*CHECKS):
        verify_inclusion(LEAVES[index], other, size, proof, root)
    with refused("PROOF_ROOT"):
        verify_inclusion(LEAVES[index], index, size, proof, leaf_hash(root))
    with refused("PROOF_ROOT"):
        verify_inclusion(leaf_hash(b"other"), index, size, proof, root)
    for mutated in mutations(data, proof):
        with refused("PROOF_LENGTH", "PROOF_ROOT", "PROOF_HASH"):
            verify_inclusion(LEAVES[index], index, size, mutated, root)


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_consistency_verifies_and_no_mutation_does(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, len(LEAVES)))
    old = data.draw(st.integers(1, size))
    proof, old_root, root = consistency_proof(LEAVES[:size], old), root_of(LEAVES[:old]), root_of(LEAVES[:size])
    verify_consistency(old, old_root, size, root, proof)
    with refused("PROOF_ROOT"):
        verify_consistency(old, leaf_hash(old_root), size, root, proof)
    with refused("PROOF_ROOT"):
        verify_consistency(old, old_root, size, leaf_hash(root), proof)
    if old < size:
        with refused("PROOF_ROOT", "PROOF_LENGTH"):
            verify_consistency(old, root, size, old_root, proof)
    for mutated in mutations(data, proof):
        with refused("PROOF_LENGTH", "PROOF_ROOT", "PROOF_HASH"):
            verify_consistency(old, old_root, size, root, mutated)


def mutations(data: st.DataObject, proof: tuple[bytes, ...]) -> list[tuple[bytes, ...]]:
    """One hash changed, shortened, dropped, added, or two swapped."""
    found = [(*proof, LEAVES[0]), (LEAVES[0], *proof)]
    if proof:
        at = data.draw(st.integers(0, len(proof) - 1))
        bit = data.draw(st.integers(0, 255))
        flipped = (int.from_bytes(proof[at], "big") ^ 1 << bit).to_bytes(32, "big")
        found += [(*proof[:at], flipped, *proof[at + 1 :]), (*proof[:at], proof[at][1:], *proof[at + 1 :])]
        found.append(proof[:at] + proof[at + 1 :])
    if len(proof) > 1:
        found.append((proof[1], proof[0], *proof[2:]))
    return found


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_any_subtree_is_consistent(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, len(LEAVES)))
    level = data.draw(st.integers(0, (size - 1).bit_length()))
    start = data.draw(st.integers(0, (size - 1) >> level)) << level
    end = data.draw(st.integers(start + 1, min(size, start + (1 << level))))
    proof = subtree_consistency_proof(LEAVES[:size], start, end)
    root = root_of(LEAVES[start:end])
    verify_subtree_consistency((start, end), root, size, root_of(LEAVES[:size]), proof)
    index = data.draw(st.integers(start, end - 1))
    inclusion = inclusion_proof(LEAVES[start:end], index - start)
    verify_subtree_inclusion(LEAVES[index], index, (start, end), inclusion, root)
    with refused("PROOF_INDEX"):
        verify_subtree_inclusion(LEAVES[index], end, (start, end), inclusion, root)


@pytest.mark.parametrize("span", [(1, 3), (2, 5), (2, 6), (1, 8), (4, 9), (6, 9), (9, 9), (3, 2)])
def test_ranges_that_are_no_subtrees(span: tuple[int, int]) -> None:
    with refused("PROOF_INDEX"):
        verify_subtree_consistency(span, root_of(LEAVES[slice(*span)]), 8, root_of(LEAVES[:8]), [])
    with refused("PROOF_INDEX"):
        subtree_consistency_proof(LEAVES[:8], *span)


def test_the_empty_range_is_part_of_every_tree() -> None:
    verify_subtree_consistency((8, 8), EMPTY_ROOT, 8, LEAVES[0], [])
    with refused("PROOF_ROOT"):
        verify_subtree_consistency((8, 8), LEAVES[0], 8, LEAVES[0], [])
    with refused("PROOF_LENGTH"):
        verify_subtree_consistency((8, 8), EMPTY_ROOT, 8, LEAVES[0], [LEAVES[0]])


def test_the_same_path_verifies_for_another_index_in_a_tree_of_another_size() -> None:
    """Attack 18: why the size is the signed checkpoint's. Index 2 of 3 and index 1 of 2 have one path and one root."""
    proof, root = inclusion_proof(LEAVES[:3], 2), root_of(LEAVES[:3])
    verify_inclusion(LEAVES[2], 2, 3, proof, root)
    verify_inclusion(LEAVES[2], 1, 2, proof, root)
    with refused("PROOF_LENGTH"):
        verify_inclusion(LEAVES[2], 1, 3, proof, root)


@pytest.mark.parametrize(("index", "size"), [(0, 0), (1, 1), (-1, 4), (4, 4), (0, 2**63), (2**70, 2**71)])
def test_there_is_no_such_leaf(index: int, size: int) -> None:
    with refused("PROOF_INDEX"):
        verify_inclusion(LEAVES[0], index, size, [], LEAVES[0])
    with refused("PROOF_INDEX"):
        inclusion_ranges(index, size)


@pytest.mark.parametrize(("old", "size"), [(0, 0), (0, 5), (6, 5), (-1, 5), (1, 2**63)])
def test_there_is_no_such_older_tree(old: int, size: int) -> None:
    with refused("PROOF_INDEX"):
        verify_consistency(old, LEAVES[0], size, LEAVES[0], [])
    with refused("PROOF_INDEX"):
        consistency_ranges(old, size)


def test_equal_sizes_take_an_empty_proof_and_equal_roots() -> None:
    verify_consistency(5, LEAVES[0], 5, LEAVES[0], [])
    with refused("PROOF_ROOT"):
        verify_consistency(5, LEAVES[0], 5, LEAVES[1], [])
    with refused("PROOF_LENGTH"):
        verify_consistency(5, LEAVES[0], 5, LEAVES[0], [LEAVES[0]])


def test_the_longest_proof_there_can_be() -> None:
    size = 2**63 - 1
    assert len(inclusion_ranges(0, size)) == 63
    with refused("PROOF_ROOT"):
        verify_inclusion(LEAVES[0], 0, size, LEAVES[:63], LEAVES[0])
