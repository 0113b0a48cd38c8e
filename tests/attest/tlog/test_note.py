"""Signed notes: what is well formed, whose signatures count, and attacks 19 to 27 of facts/log.md section 3."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attest.tlog.keys import KeyType, SignerKey, VerifierKey
from attest.tlog.note import (
    MAX_NOTE,
    MAX_SIGNATURES,
    Note,
    Signature,
    check_keys,
    open_note,
    parse_signatures,
    sign_text,
)
from tests.attest.tlog.refusal import refused

LOG = SignerKey.from_seed("example.com/log", bytes([1]) * 32)
OTHER = SignerKey.from_seed("example.com/other", bytes([2]) * 32)
TEXT = "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned è subito sera.\n".encode()
RAW = sign_text(TEXT, LOG).encode()
LINE = RAW[len(TEXT) + 1 :]


def line(signer: SignerKey, text: bytes, *, name: str | None = None, key_id: bytes | None = None) -> bytes:
    used = key_id if key_id is not None else signer.public.key_id
    return Signature(name=name or signer.name, key_id=used, blob=signer.sign(text)).encode()


def test_a_note_with_blank_lines_opens() -> None:
    opened = open_note(RAW, [LOG.public])
    assert opened.text == TEXT
    assert [(each.key, each.timestamp) for each in opened.signatures] == [(LOG.public, None)]
    assert Note.parse(RAW).encode() == RAW


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_refused_by_name(raw: bytes) -> None:
    with refused("NOTE_FORMAT"):
        Note.parse(raw)


@given(st.integers(0, len(RAW) - 1), st.integers(1, 255))
def test_no_changed_byte_opens_another_text(at: int, change: int) -> None:
    """A changed byte is refused; one of the signature's unused base64 bits at most leaves the same note."""
    changed = RAW[:at] + bytes([RAW[at] ^ change]) + RAW[at + 1 :]
    if at >= len(TEXT) + 1 and changed.count(b"\n") == RAW.count(b"\n") and same_signature(changed):
        assert open_note(changed, [LOG.public]).text == TEXT
        return
    with refused("NOTE_FORMAT", "NOTE_SIGNATURE", "NOTE_UNSIGNED"):
        open_note(changed, [LOG.public])


def same_signature(raw: bytes) -> bool:
    prefix, _, encoded = raw.rstrip(b"\n").rpartition(b" ")
    try:
        return prefix == RAW.rstrip(b"\n").rpartition(b" ")[0] and base64.b64decode(
            encoded, validate=True
        ) == base64.b64decode(LINE.split(b" ")[2].strip(), validate=True)
    except ValueError:
        return False


@pytest.mark.parametrize(
    ("raw", "check"),
    [
        pytest.param(b"", "NOTE_FORMAT", id="nothing"),
        pytest.param(TEXT, "NOTE_FORMAT", id="signatures missing"),
        pytest.param(TEXT + b"\n", "NOTE_FORMAT", id="no line after the blank one"),
        pytest.param(b"text\n" + LINE, "NOTE_FORMAT", id="no blank line"),
        pytest.param(RAW[:-1], "NOTE_FORMAT", id="24: final newline missing"),
        pytest.param(RAW + b"\n", "NOTE_FORMAT", id="blank line at the end"),
        pytest.param(RAW.replace(b"\n", b"\r\n"), "NOTE_FORMAT", id="24: CRLF"),
        pytest.param(RAW.replace(b"sole", b"so\0le"), "NOTE_FORMAT", id="24: NUL in the text"),
        pytest.param(RAW.replace(b"sole", b"so\tle"), "NOTE_FORMAT", id="24: TAB in the text"),
        pytest.param(RAW.replace(b"example.com/log ", "example.com/log\u00a0".encode()), "NOTE_FORMAT", id="24: NBSP"),
        pytest.param(
            RAW.replace(b"example.com/log ", "example.com/l\u00a0g ".encode()), "NOTE_FORMAT", id="24: NBSP name"
        ),
        pytest.param(RAW.replace(b"sole", b"so\xffle"), "NOTE_FORMAT", id="not UTF-8"),
        pytest.param(RAW.replace("\u2014".encode(), b"-"), "NOTE_FORMAT", id="hyphen for the em dash"),
        pytest.param(RAW.replace("\u2014 ".encode(), "\u2014  ".encode()), "NOTE_FORMAT", id="two spaces"),
        pytest.param(RAW.replace(b"log ", b"log  "), "NOTE_FORMAT", id="two spaces after the name"),
        pytest.param(RAW.replace(b"/log ", b"+log "), "NOTE_FORMAT", id="plus in the name"),
        pytest.param(RAW.replace(b"example.com/log ", b""), "NOTE_FORMAT", id="no name"),
        pytest.param(RAW.replace(LINE, "\u2014 a AAAAAA==\n".encode()), "NOTE_FORMAT", id="key id alone"),
        pytest.param(RAW.replace(b"\n\n\xe2", b"\n\n\n\xe2"), "NOTE_SIGNATURE", id="a blank line more"),
        pytest.param(RAW[:-2] + b" \n", "NOTE_FORMAT", id="space at the end of a line"),
        pytest.param(RAW + b"garbage\n", "NOTE_FORMAT", id="a malformed line is not skipped"),
        pytest.param(RAW + b"\n" + LINE, "NOTE_SIGNATURE", id="split at the last blank line"),
    ],
)
def test_notes_that_are_refused(raw: bytes, check: str) -> None:
    with refused(check):
        open_note(raw, [LOG.public])


def test_25_notes_are_bounded() -> None:
    stranger = line(OTHER, TEXT)
    assert open_note(TEXT + b"\n" + stranger * (MAX_SIGNATURES - 1) + LINE, [LOG.public]).text == TEXT
    with refused("NOTE_LENGTH"):
        open_note(TEXT + b"\n" + stranger * MAX_SIGNATURES + LINE, [LOG.public])
    filler = b"x" * (MAX_NOTE - len(LINE) - 2 - len(LINE)) + b"\n"
    full = sign_text(filler, LOG).encode()
    assert open_note(full, [LOG.public]).text == filler
    with refused("NOTE_LENGTH"):
        open_note(full + b"x" * (MAX_NOTE + 1 - len(full)), [LOG.public])


def test_19_a_signature_by_an_unknown_key_of_the_same_name_is_ignored() -> None:
    impostor = SignerKey.from_seed(LOG.name, bytes([3]) * 32)
    with refused("NOTE_UNSIGNED"):
        open_note(sign_text(TEXT, impostor).encode(), [LOG.public])
    opened = open_note(TEXT + b"\n" + line(impostor, TEXT) + LINE, [LOG.public])
    assert [each.key for each in opened.signatures] == [LOG.public]


def test_20_another_key_under_a_known_name_and_id_condemns_the_note() -> None:
    forged = line(OTHER, TEXT, name=LOG.name, key_id=LOG.public.key_id)
    for raw in (TEXT + b"\n" + forged, TEXT + b"\n" + forged + LINE, TEXT + b"\n" + LINE + forged):
        with refused("NOTE_SIGNATURE"):
            open_note(raw, [LOG.public])


def test_21_one_bad_line_of_two_condemns_the_note() -> None:
    good = TEXT + b"\n" + LINE + line(OTHER, TEXT)
    assert len(open_note(good, [LOG.public, OTHER.public]).signatures) == 2
    bad = TEXT + b"\n" + LINE + line(OTHER, TEXT + b"more\n")
    with refused("NOTE_SIGNATURE"):
        open_note(bad, [LOG.public, OTHER.public])
    assert open_note(bad, [LOG.public]).text == TEXT


@pytest.mark.parametrize("length", [1, 63, 65, 72])
def test_a_signature_of_another_length_condemns_the_note(length: int) -> None:
    short = Signature(name=LOG.name, key_id=LOG.public.key_id, blob=bytes(length)).encode()
    with refused("NOTE_SIGNATURE"):
        open_note(TEXT + b"\n" + short, [LOG.public])


def test_a_key_counts_once_however_many_lines_it_has() -> None:
    assert len(open_note(RAW + LINE, [LOG.public]).signatures) == 1


def test_no_keys_no_note() -> None:
    with refused("NOTE_UNSIGNED"):
        open_note(RAW, [])


def test_26_and_27_one_public_key_is_not_two_parties() -> None:
    witness = VerifierKey(name=LOG.name, type=KeyType.ED25519_COSIGNATURE, key=LOG.public.key)
    renamed = VerifierKey(name="w2", type=KeyType.ED25519_COSIGNATURE, key=LOG.public.key)
    for keys in ([LOG.public, witness], [witness, renamed], [renamed, OTHER.public, witness]):
        with refused("VKEY_DUPLICATE"):
            check_keys(keys)
        with refused("VKEY_DUPLICATE"):
            open_note(RAW, keys)
    assert len(check_keys([LOG.public, LOG.public, OTHER.public])) == 2


def test_witness_answers_are_signature_lines_alone() -> None:
    (found,) = parse_signatures(LINE)
    assert (found.name, found.key_id, found.encode()) == (LOG.name, LOG.public.key_id, LINE)
    for raw in (b"", b"\n", LINE[:-1], b"\n" + LINE, LINE + b"\n"):
        with refused("NOTE_FORMAT"):
            parse_signatures(raw)


@pytest.mark.parametrize("text", [b"", b"no newline", b"a\0\n", b"\xff\n"])
def test_texts_that_cannot_be_signed(text: bytes) -> None:
    with refused("NOTE_FORMAT"):
        sign_text(text, LOG)
