"""The .tlog-proof file: format, verification, and attacks 17 and 18 of facts/log.md section 3."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attest.errors import Malformed
from attest.tlog.checkpoint import Checkpoint, sign_checkpoint
from attest.tlog.keys import SignerKey
from attest.tlog.merkle import leaf_hash, root_of
from attest.tlog.proof_file import ProofFile, verify
from attest.tlog.proofs import inclusion_proof
from tests.attest.tlog.refusal import refused

ORIGIN = "example.com/audit/2026"
LOG = SignerKey.from_seed(ORIGIN, bytes([1]) * 32)
DATA = [b"entry %d" % i for i in range(13)]
HASHES = [leaf_hash(each) for each in DATA]


def proof_of(index: int, size: int) -> ProofFile:
    tree = Checkpoint(origin=ORIGIN, size=size, root=root_of(HASHES[:size]))
    return ProofFile(
        index=index,
        hashes=inclusion_proof(HASHES[:size], index),
        checkpoint=sign_checkpoint(tree, LOG),
        extra=DATA[index],
    )


PROOF = proof_of(5, 13)
RAW = PROOF.encode()


@given(st.integers(1, 13), st.data())
def test_every_proof_verifies_and_round_trips(size: int, data: st.DataObject) -> None:
    proof = proof_of(data.draw(st.integers(0, size - 1)), size)
    assert ProofFile.parse(proof.encode()) == proof
    assert verify(proof, DATA[proof.index], ORIGIN, [LOG.public]).checkpoint.size == size
    bare = replace(proof, extra=None)
    assert ProofFile.parse(bare.encode()) == bare


@pytest.mark.parametrize(
    ("change", "checks"),
    [
        pytest.param({"index": 4}, ("PROOF_ROOT",), id="another index"),
        pytest.param({"index": 12}, ("PROOF_LENGTH",), id="an index with a shorter path"),
        pytest.param({"index": 13}, ("PROOF_INDEX",), id="an index past the tree"),
        pytest.param({"hashes": PROOF.hashes[:-1]}, ("PROOF_LENGTH",), id="a hash missing"),
        pytest.param({"hashes": PROOF.hashes[::-1]}, ("PROOF_ROOT",), id="hashes in another order"),
        pytest.param({"checkpoint": proof_of(5, 12).checkpoint}, ("PROOF_ROOT",), id="18: another checkpoint"),
        pytest.param(
            {"checkpoint": PROOF.checkpoint.replace(b"\n13\n", b"\n14\n")}, ("NOTE_SIGNATURE",), id="18: another size"
        ),
        pytest.param({"checkpoint": b""}, ("NOTE_FORMAT",), id="no checkpoint"),
    ],
)
def test_proofs_that_show_nothing(change: dict[str, Any], checks: tuple[str, ...]) -> None:
    with refused(*checks):
        verify(replace(PROOF, **change), DATA[5], ORIGIN, [LOG.public])


def test_a_signed_checkpoint_of_the_right_root_and_the_wrong_size() -> None:
    """Attack 18 with the log's key: the path of index 2 of 3 also fits index 1 of 2, which must not pass as 2 of 2."""
    root = root_of(HASHES[:3])
    forged = sign_checkpoint(Checkpoint(origin=ORIGIN, size=2, root=root), LOG)
    proof = replace(proof_of(2, 3), checkpoint=forged)
    with refused("PROOF_INDEX"):
        verify(proof, DATA[2], ORIGIN, [LOG.public])


def test_another_leaf_or_log() -> None:
    with refused("PROOF_ROOT"):
        verify(PROOF, DATA[4], ORIGIN, [LOG.public])
    with refused("CHECKPOINT_ORIGIN"):
        verify(PROOF, DATA[5], "example.com/audit/2027", [LOG.public])
    with refused("NOTE_UNSIGNED"):
        verify(PROOF, DATA[5], ORIGIN, [SignerKey.from_seed(ORIGIN, bytes([2]) * 32).public])


def test_extra_is_not_authenticated() -> None:
    changed = replace(PROOF, extra=b"anything")
    assert verify(changed, DATA[5], ORIGIN, [LOG.public]).checkpoint.size == 13


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(b"proof@v1", b"proof@v2", id="version"),
        pytest.param(b"c2sp", b"\nc2sp", id="line before"),
        pytest.param(b"\n", b"\r\n", id="CRLF"),
        pytest.param(b"index 5", b"index 05", id="05"),
        pytest.param(b"index 5", b"index +5", id="+5"),
        pytest.param(b"index 5", b"index  5", id="two spaces"),
        pytest.param(b"index 5", b"index 5 ", id="space after"),
        pytest.param(b"index 5", b"index 1_000", id="1_000"),
        pytest.param(b"index 5", b"index -1", id="-1"),
        pytest.param(b"index 5", b"index 9223372036854775808", id="2**63"),
        pytest.param(b"index 5\n", b"", id="no index"),
        pytest.param(b"index 5\n", b"index 5\nindex 5\n", id="index twice"),
        pytest.param(b"extra ", b"extra", id="no space"),
        pytest.param(b"extra ", b"extra =", id="not base64"),
        pytest.param(b"extra ZW50cnkgNQ==", b"extra ", id="empty extra"),
        pytest.param(b"extra ", b"extra AAAA\nextra ", id="extra twice"),
        pytest.param(b"index 5\n", b"index 5\nAAAA\n", id="a short hash"),
        pytest.param(b"index 5\n", b"index 5\n" + b"A" * 43 + b"\n", id="a hash without padding"),
        pytest.param(b"index 5\n", b"index 5\n" + (b"A" * 43 + b"=\n") * 63, id="64 hashes and more"),
        pytest.param(b"index 5\n", b"index 5\n" + b"A" * 200_000 + b"\n", id="a very long line"),
        pytest.param(b"index 5\n", b"index 5\n\xff\n", id="not ASCII"),
    ],
)
def test_files_that_are_refused(old: bytes, new: bytes) -> None:
    assert old in RAW
    with refused("PROOF_FORMAT"):
        ProofFile.parse(RAW.replace(old, new))


def test_a_file_without_a_checkpoint_or_with_too_much() -> None:
    for raw in (b"", b"c2sp.org/tlog-proof@v1", RAW.split(b"\n\n")[0], RAW.split(b"\n\n")[0] + b"\n"):
        with refused("PROOF_FORMAT"):
            ProofFile.parse(raw)
    with refused("PROOF_FORMAT"):
        ProofFile.parse(RAW + b"x" * 1_000_000)


def test_a_long_head_is_refused_before_it_is_read() -> None:
    with pytest.raises(Malformed) as caught:
        ProofFile.parse(RAW.replace(b"index 5\n", b"index 5\n" + b"A\n" * 100_000))
    assert (caught.value.check, caught.value.path) == ("PROOF_FORMAT", "file")
    largest = ProofFile(index=2**63 - 1, hashes=(bytes(32),) * 63, checkpoint=b"", extra=bytes(65_535))
    assert ProofFile.parse(largest.encode()) == largest


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"index": -1}, id="index -1"),
        pytest.param({"index": 2**63}, id="index 2**63"),
        pytest.param({"hashes": (bytes(32),) * 64}, id="64 hashes"),
        pytest.param({"hashes": (bytes(31),)}, id="31 bytes"),
        pytest.param({"extra": b""}, id="empty extra"),
        pytest.param({"extra": bytes(65_536)}, id="long extra"),
        pytest.param({"checkpoint": bytes(1_000_001)}, id="long checkpoint"),
    ],
)
def test_proofs_that_cannot_be_written(change: dict[str, Any]) -> None:
    with refused("PROOF_FORMAT"):
        replace(PROOF, **change)
