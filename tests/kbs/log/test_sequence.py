"""Places in the log: index, time, chains, proofs; pure, so that what fails leaves nothing behind."""

from __future__ import annotations

import pytest

from attest.errors import AttestError
from attest.tlog.checkpoint import open_checkpoint
from attest.tlog.entry import canonical, parse_leaf
from attest.tlog.keys import VerifierKey
from attest.tlog.merkle import EMPTY_ROOT, Frontier, leaf_hash, root_of
from attest.tlog.proofs import verify_inclusion
from kbs.log.sequence import LogSequencer
from kbs.log.signer import CheckpointSigner
from kbs.model.log import ChainHead, Draft, LogHead

ORIGIN = "sequence.example/audit/1"
SEQUENCER = LogSequencer(ORIGIN)


def _draft(name: str, governance: bool = False) -> Draft:
    return Draft(body=canonical({"name": name}), governance=governance)


def test_an_empty_log() -> None:
    head = SEQUENCER.empty()
    assert (head.size, head.root, head.frontier, head.last_time) == (0, EMPTY_ROOT, b"", 0)
    closed = SEQUENCER.begin(head, 5).close()
    assert (closed.head.size, closed.head.root, closed.proofs) == (0, EMPTY_ROOT, [])


@pytest.mark.parametrize("sizes", [[1], [1, 1, 1], [2, 3], [255, 1, 1], [256, 257], [7, 1, 8, 64, 1]], ids=str)
def test_every_proof_of_every_batch(sizes: list[int]) -> None:
    head, hashes = SEQUENCER.empty(), list[bytes]()
    for now, size in enumerate(sizes):
        batch = SEQUENCER.begin(head, now)
        placed = [batch.place(_draft(f"{now}/{n}"), [], None) for n in range(size)]
        assert [p.index for p in placed] == list(range(len(hashes), len(hashes) + size))
        hashes += [leaf_hash(p.leaf) for p in placed]
        closed = batch.close()
        head = closed.head
        assert (head.size, head.root) == (len(hashes), root_of(hashes))
        for each, proof in zip(placed, closed.proofs, strict=True):
            verify_inclusion(each.leaf_hash, each.index, head.size, proof, head.root)


@pytest.mark.parametrize(("last", "now", "time"), [(0, 5, 5), (5, 5, 5), (9, 5, 9), (2**52, 0, 2**52)])
def test_time_never_goes_back(last: int, now: int, time: int) -> None:
    head = LogHead(size=0, root=EMPTY_ROOT, frontier=b"", last_time=last)
    batch = SEQUENCER.begin(head, now)
    assert parse_leaf(batch.place(_draft("x"), [], None).leaf).header.t == time
    assert batch.close().head.last_time == time


def test_the_header_says_how_chains_go_on() -> None:
    head = LogHead(size=4, root=bytes(32), frontier=bytes(32), last_time=0)
    chains = [("a", None), ("b", ChainHead(index=3, seq=7))]
    header = parse_leaf(
        SEQUENCER.begin(head, 1).place(_draft("x", True), chains, ChainHead(index=2, seq=2)).leaf
    ).header
    assert [(c.asset, c.prev, c.seq) for c in header.chains] == [("a", None, 1), ("b", 3, 8)]
    assert (header.gp, header.gs, header.i, header.log, header.w) == (2, 3, 4, ORIGIN, None)
    first = parse_leaf(SEQUENCER.begin(head, 1).place(_draft("x", True), [], None).leaf).header
    assert (first.gp, first.gs) == (None, 1)
    other = parse_leaf(SEQUENCER.begin(head, 1).place(_draft("x"), [], None).leaf).header
    assert (other.gp, other.gs) == (None, None)


@pytest.mark.parametrize(("size", "frontier"), [(1, b""), (0, bytes(32)), (2, bytes(31)), (3, bytes(32)), (-1, b"")])
def test_a_frontier_of_another_size(size: int, frontier: bytes) -> None:
    with pytest.raises(AttestError):
        SEQUENCER.begin(LogHead(size=size, root=bytes(32), frontier=frontier, last_time=0), 0)


def test_a_place_before_itself_is_refused() -> None:
    head = LogHead(size=4, root=bytes(32), frontier=bytes(32), last_time=0)
    with pytest.raises(AttestError):
        SEQUENCER.begin(head, 1).place(_draft("x"), [("a", ChainHead(index=4, seq=1))], None)


def test_any_replica_signs_the_same_bytes() -> None:
    one, two = (CheckpointSigner(ORIGIN, bytes(32)) for _ in range(2))
    root = Frontier().root()
    signed = [one.checkpoint(size, root) for size in range(200)]
    assert signed == [two.checkpoint(size, root) for size in reversed(range(200))][::-1]
    assert signed == [one.checkpoint(size, root) for size in range(200)]
    assert one.checkpoint(1, bytes(32)) != signed[1]
    key = VerifierKey.parse(one.verifier_key)
    opened = open_checkpoint(signed[7], ORIGIN, [key]).checkpoint
    assert (opened.origin, opened.size, opened.root) == (ORIGIN, 7, root)
    with pytest.raises(AttestError):
        open_checkpoint(CheckpointSigner(ORIGIN, bytes(31) + b"\1").checkpoint(7, root), ORIGIN, [key])
    assert bytes(32).hex() not in repr(one)
