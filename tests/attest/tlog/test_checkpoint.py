"""Checkpoints: strict text, the log's own signature, and attacks 18, 22, 23 and 24 of facts/log.md section 3."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from attest.errors import Malformed
from attest.tlog.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from attest.tlog.cosignature import ed25519_message, ml_dsa_44_message
from attest.tlog.keys import KeyType, SignerKey, VerifierKey
from attest.tlog.merkle import EMPTY_ROOT
from attest.tlog.note import Note, Signature, sign_text
from tests.attest.tlog.refusal import refused

ORIGIN = "example.com/audit/2026"
LOG = SignerKey.from_seed(ORIGIN, bytes([1]) * 32)
WITNESS = SignerKey.from_seed("witness.example.com", bytes([2]) * 32)
WITNESS_KEY = VerifierKey(name=WITNESS.name, type=KeyType.ED25519_COSIGNATURE, key=WITNESS.public.key)
QUANTUM = MLDSA44PrivateKey.from_seed_bytes(bytes([3]) * 32)
ROOT = bytes(range(32))
ROOT_TEXT = base64.b64encode(ROOT).decode()
TREE = Checkpoint(origin=ORIGIN, size=5, root=ROOT)
SIGNED = sign_checkpoint(TREE, LOG)
NOW = 1_767_139_200


def cosigned(raw: bytes, timestamp: int = NOW, *, blob: bytes | None = None) -> bytes:
    """`raw` with the witness's 0x04 line."""
    note = Note.parse(raw)
    signature = WITNESS.sign(ed25519_message(timestamp, note.text))
    blob = timestamp.to_bytes(8, "big") + signature if blob is None else blob
    return raw + Signature(name=WITNESS_KEY.name, key_id=WITNESS_KEY.key_id, blob=blob).encode()


def quantum_key(name: str) -> VerifierKey:
    raw = QUANTUM.public_key().public_bytes_raw()
    return VerifierKey(name=name, type=KeyType.ML_DSA_44_COSIGNATURE, key=raw)


def quantum_line(name: str, timestamp: int, tree: Checkpoint = TREE) -> bytes:
    """A 0x06 line of the ML-DSA key under `name`."""
    blob = timestamp.to_bytes(8, "big") + QUANTUM.sign(ml_dsa_44_message(name, timestamp, tree))
    return Signature(name=name, key_id=quantum_key(name).key_id, blob=blob).encode()


def test_text_is_three_lines() -> None:
    assert TREE.text() == f"{ORIGIN}\n5\n{ROOT_TEXT}\n".encode()
    assert Checkpoint.parse(TREE.text()) == TREE


@given(st.integers(0, 2**63 - 1), st.binary(min_size=32, max_size=32))
def test_text_round_trips(size: int, root: bytes) -> None:
    tree = Checkpoint(origin=ORIGIN, size=size, root=root if size else EMPTY_ROOT)
    assert Checkpoint.parse(tree.text()) == tree


PIECES = [
    ORIGIN,
    "\u00e4 b+c",
    "",
    "0",
    "5",
    "05",
    "5 ",
    ROOT_TEXT,
    ROOT_TEXT[:-1],
    base64.b64encode(EMPTY_ROOT).decode(),
    "x",
]


@given(st.lists(st.sampled_from(PIECES), min_size=3, max_size=5), st.sampled_from(["\n", "\n\n", ""]))
def test_what_parses_encodes_to_the_same_bytes(lines: list[str], end: str) -> None:
    raw = ("\n".join(lines) + end).encode()
    try:
        parsed = Checkpoint.parse(raw, allow_extensions=True)
    except Malformed:
        return
    assert parsed.text() == raw


SIZES = [
    "+5",
    "05",
    "5 ",
    " 5",
    "1_000",
    "-5",
    "",
    "0x5",
    "5.0",
    "5e0",
    "\u0665",
    "00",
    "5\u00a0",
    "9223372036854775808",
    "9" * 5000,
]


@pytest.mark.parametrize("size", SIZES)
def test_23_sizes_that_int_would_take_are_refused(size: str) -> None:
    with refused("CHECKPOINT_FORMAT"):
        Checkpoint.parse(f"{ORIGIN}\n{size}\n{ROOT_TEXT}\n".encode())
    with refused("CHECKPOINT_FORMAT"):
        open_checkpoint(
            sign_text(f"{ORIGIN}\n{size or '?'}\n{ROOT_TEXT}\n".encode(), LOG).encode(), ORIGIN, [LOG.public]
        )


@pytest.mark.parametrize(
    ("text", "check"),
    [
        pytest.param("", "CHECKPOINT_FORMAT", id="nothing"),
        pytest.param(f"{ORIGIN}\n5\n", "CHECKPOINT_FORMAT", id="no root"),
        pytest.param(f"{ORIGIN}\n5\n{ROOT_TEXT}", "CHECKPOINT_FORMAT", id="24: final newline missing"),
        pytest.param(f"{ORIGIN}\r\n5\r\n{ROOT_TEXT}\r\n", "CHECKPOINT_FORMAT", id="24: CRLF"),
        pytest.param(f"{ORIGIN}\0\n5\n{ROOT_TEXT}\n", "CHECKPOINT_FORMAT", id="24: NUL"),
        pytest.param(f"\n5\n{ROOT_TEXT}\n", "CHECKPOINT_FORMAT", id="no origin"),
        pytest.param(f"{'o' * 256}\n5\n{ROOT_TEXT}\n", "CHECKPOINT_FORMAT", id="origin too long"),
        pytest.param(f"{ORIGIN}\n5\n{ROOT_TEXT[:-1]}\n", "CHECKPOINT_FORMAT", id="padding missing"),
        pytest.param(f"{ORIGIN}\n5\n{ROOT_TEXT} \n", "CHECKPOINT_FORMAT", id="space after the root"),
        pytest.param(f"{ORIGIN}\n5\n{ROOT_TEXT[:-2]}9=\n", "CHECKPOINT_FORMAT", id="unused bits set"),
        pytest.param(f"{ORIGIN}\n5\n{base64.b64encode(ROOT[:31]).decode()}\n", "CHECKPOINT_FORMAT", id="31 bytes"),
        pytest.param(f"{ORIGIN}\n5\n{base64.b64encode(ROOT + b'x').decode()}\n", "CHECKPOINT_FORMAT", id="33 bytes"),
        pytest.param(
            f"{ORIGIN}\n5\n{base64.urlsafe_b64encode(bytes([255]) * 32).decode()}\n", "CHECKPOINT_FORMAT", id="urlsafe"
        ),
        pytest.param(f"{ORIGIN}\n0\n{ROOT_TEXT}\n", "CHECKPOINT_ROOT", id="an empty tree with a root"),
        pytest.param(f"{ORIGIN}\n5\n{ROOT_TEXT}\nextension\n", "CHECKPOINT_EXTENSION", id="22: extension line"),
        pytest.param(f"{ORIGIN}\n5\n{ROOT_TEXT}\n\n", "CHECKPOINT_EXTENSION", id="empty line"),
    ],
)
def test_texts_that_are_refused(text: str, check: str) -> None:
    with refused(check):
        Checkpoint.parse(text.encode())


def test_not_utf8() -> None:
    with refused("CHECKPOINT_FORMAT"):
        Checkpoint.parse(b"\xff\n5\n" + ROOT_TEXT.encode() + b"\n")


def test_extension_lines_of_other_logs() -> None:
    text = TREE.text() + b"extension\nmore\n"
    parsed = Checkpoint.parse(text, allow_extensions=True)
    assert parsed.extensions == ("extension", "more")
    assert parsed.text() == text
    with refused("CHECKPOINT_FORMAT"):
        Checkpoint.parse(TREE.text() + b"a\n\nb\n", allow_extensions=True)


def test_22_an_extension_line_is_not_ours_even_if_signed() -> None:
    added = SIGNED.replace(b"\n\n", b"\nextension\n\n")
    with refused("NOTE_SIGNATURE"):
        open_checkpoint(added, ORIGIN, [LOG.public])
    signed = sign_text(TREE.text() + b"extension\n", LOG).encode()
    with refused("CHECKPOINT_EXTENSION"):
        open_checkpoint(signed, ORIGIN, [LOG.public])
    assert open_checkpoint(signed, ORIGIN, [LOG.public], allow_extensions=True).checkpoint.extensions == ("extension",)
    with refused("CHECKPOINT_EXTENSION"):
        sign_checkpoint(Checkpoint(origin=ORIGIN, size=5, root=ROOT, extensions=("extension",)), LOG)


def test_open_gives_back_what_was_signed() -> None:
    opened = open_checkpoint(SIGNED, ORIGIN, [LOG.public, WITNESS_KEY])
    assert (opened.checkpoint, opened.raw, opened.witnesses) == (TREE, SIGNED, ())
    assert [each.key for each in opened.log] == [LOG.public]
    assert sign_checkpoint(TREE, LOG) == SIGNED


def test_origin_is_compared_and_is_the_signers_name() -> None:
    with refused("CHECKPOINT_ORIGIN"):
        open_checkpoint(SIGNED, "example.com/audit/2027", [LOG.public])
    with refused("CHECKPOINT_ORIGIN"):
        sign_checkpoint(TREE, WITNESS)


def test_witnesses_are_told_from_the_log() -> None:
    opened = open_checkpoint(cosigned(SIGNED), ORIGIN, [LOG.public, WITNESS_KEY])
    assert [(each.key, each.timestamp) for each in opened.witnesses] == [(WITNESS_KEY, NOW)]
    alone = cosigned(sign_text(TREE.text(), SignerKey.from_seed("stranger", bytes([9]) * 32)).encode())
    with refused("CHECKPOINT_UNSIGNED"):
        open_checkpoint(alone, ORIGIN, [LOG.public, WITNESS_KEY])


@pytest.mark.parametrize(
    ("blob", "check"),
    [
        pytest.param(NOW.to_bytes(8, "big") + bytes(64), "NOTE_SIGNATURE", id="forged"),
        pytest.param(NOW.to_bytes(8, "big") + WITNESS.sign(TREE.text()), "NOTE_SIGNATURE", id="text without time"),
        pytest.param(
            (NOW + 1).to_bytes(8, "big") + WITNESS.sign(ed25519_message(NOW, TREE.text())),
            "NOTE_SIGNATURE",
            id="other time",
        ),
        pytest.param(WITNESS.sign(TREE.text()), "COSIGNATURE_LENGTH", id="no time"),
        pytest.param(NOW.to_bytes(8, "big") + bytes(65), "COSIGNATURE_LENGTH", id="too long"),
        pytest.param(bytes(8) + WITNESS.sign(ed25519_message(0, TREE.text())), "COSIGNATURE_TIME", id="28: time 0"),
        pytest.param(
            (2**63).to_bytes(8, "big") + WITNESS.sign(ed25519_message(2**63, TREE.text())),
            "COSIGNATURE_TIME",
            id="28: 2**63",
        ),
    ],
)
def test_cosignatures_that_condemn_the_checkpoint(blob: bytes, check: str) -> None:
    raw = cosigned(SIGNED, blob=blob)
    with refused(check):
        open_checkpoint(raw, ORIGIN, [LOG.public, WITNESS_KEY])
    assert open_checkpoint(raw, ORIGIN, [LOG.public]).checkpoint == TREE


def test_28_the_future_is_refused_when_the_caller_says_what_time_it_is() -> None:
    raw = cosigned(SIGNED, NOW)
    keys = [LOG.public, WITNESS_KEY]
    assert open_checkpoint(raw, ORIGIN, keys).witnesses[0].timestamp == NOW
    assert open_checkpoint(raw, ORIGIN, keys, now=NOW).witnesses[0].timestamp == NOW
    with refused("COSIGNATURE_TIME"):
        open_checkpoint(raw, ORIGIN, keys, now=NOW - 1)


def test_the_newest_cosignature_of_a_witness_counts_and_counts_once() -> None:
    for order in ((NOW, NOW + 7), (NOW + 7, NOW)):
        raw = SIGNED
        for timestamp in order:
            raw = cosigned(raw, timestamp)
        opened = open_checkpoint(raw, ORIGIN, [LOG.public, WITNESS_KEY])
        assert [each.timestamp for each in opened.witnesses] == [NOW + 7]


def test_ml_dsa_cosignatures() -> None:
    raw = SIGNED + quantum_line("w.example", NOW)
    opened = open_checkpoint(raw, ORIGIN, [LOG.public, quantum_key("w.example")])
    assert [(each.key.name, each.timestamp) for each in opened.witnesses] == [("w.example", NOW)]
    untimed = open_checkpoint(SIGNED + quantum_line("w.example", 0), ORIGIN, [LOG.public, quantum_key("w.example")])
    assert [each.timestamp for each in untimed.witnesses] == [None]


def test_a_log_may_sign_with_ml_dsa_under_its_own_name() -> None:
    line = quantum_line(ORIGIN, 0)
    raw = Note(text=TREE.text(), signatures=()).encode() + line
    opened = open_checkpoint(raw, ORIGIN, [quantum_key(ORIGIN)])
    assert [each.key.name for each in opened.log] == [ORIGIN]
    assert opened.witnesses == ()


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(quantum_line("w.example", NOW, Checkpoint(origin=ORIGIN, size=6, root=ROOT)), id="another size"),
        pytest.param(quantum_line("w.example", NOW, Checkpoint(origin="o", size=5, root=ROOT)), id="another origin"),
        pytest.param(
            quantum_line("w.example", NOW, Checkpoint(origin=ORIGIN, size=5, root=ROOT[::-1])), id="another root"
        ),
        pytest.param(
            Signature(
                name="w.example",
                key_id=quantum_key("w.example").key_id,
                blob=NOW.to_bytes(8, "big") + QUANTUM.sign(ml_dsa_44_message("w2.example", NOW, TREE)),
            ).encode(),
            id="26: another name",
        ),
    ],
)
def test_ml_dsa_covers_name_origin_size_and_root(line: bytes) -> None:
    with refused("NOTE_SIGNATURE"):
        open_checkpoint(SIGNED + line, ORIGIN, [LOG.public, quantum_key("w.example")])


def test_the_ml_dsa_message_is_laid_out_as_specified() -> None:
    message = ml_dsa_44_message("w", 7, Checkpoint(origin="log", size=258, root=ROOT))
    expected = b"subtree/v1\n\0" + b"\x01w" + bytes(7) + b"\x07" + b"\x03log" + bytes(8) + bytes(6) + b"\x01\x02" + ROOT
    assert message == expected
