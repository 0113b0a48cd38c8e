"""Signed notes: a text and signature lines under it.

Source: C2SP signed-note v1.0.0, sections "Format" and "Signatures". A note is split at its *last* blank line, the bytes
that were signed are kept as they came, and every line must be well formed. Lines of unknown keys are ignored; a line of
a known key that does not verify condemns the whole note.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from attest.errors import Malformed, NotLogged
from attest.tlog.cosignature import verify_cosignature
from attest.tlog.fields import format_base64, parse_base64
from attest.tlog.keys import KeyType, SignerKey, VerifierKey, is_key_name

__all__ = [
    "MAX_NOTE",
    "MAX_SIGNATURES",
    "KeyType",
    "Note",
    "Opened",
    "Signature",
    "SignerKey",
    "Verified",
    "VerifierKey",
    "check_keys",
    "open_note",
    "parse_signatures",
    "sign_text",
]

MAX_NOTE = 1_000_000
MAX_SIGNATURES = 100

_DASH = "\u2014 "


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """One signature line, not verified. `blob` is what follows the key id."""

    name: str
    key_id: bytes
    blob: bytes

    def encode(self) -> bytes:
        """The line with its newline."""
        return f"{_DASH}{self.name} {format_base64(self.key_id + self.blob)}\n".encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A well-formed note; nothing in it has been verified. `text` is what the signatures cover, with its newline."""

    text: bytes
    signatures: tuple[Signature, ...]

    @classmethod
    def parse(cls, raw: bytes) -> Note:
        """Split a note. Raises Malformed NOTE_LENGTH or NOTE_FORMAT."""
        _check_characters(raw)
        at = raw.rfind(b"\n\n")
        if at < 0:
            raise _wrong("note", "a text, a blank line and signatures", "no blank line")
        return cls(text=raw[: at + 1], signatures=parse_signatures(raw[at + 2 :]))

    def encode(self) -> bytes:
        """The note as bytes, signature lines in canonical base64."""
        return self.text + b"\n" + b"".join(each.encode() for each in self.signatures)


def parse_signatures(raw: bytes) -> tuple[Signature, ...]:
    """Read one or more signature lines, such as a witness answers with. Raises Malformed NOTE_LENGTH or NOTE_FORMAT."""
    lines = _check_characters(raw).split("\n")
    if lines.pop() != "" or not lines:
        raise _wrong("signatures", "one or more lines, each ending in a newline", raw)
    if len(lines) > MAX_SIGNATURES:
        raise Malformed("NOTE_LENGTH", "signatures", expected=f"at most {MAX_SIGNATURES} lines", got=len(lines))
    return tuple(_parse_line(at, line) for at, line in enumerate(lines))


def _parse_line(at: int, line: str) -> Signature:
    name, space, encoded = line.removeprefix(_DASH).partition(" ")
    # Go's decoder lets unused bits be anything and notes with such lines exist; what is signed is the text.
    data = parse_base64(encoded, canonical=False)
    if not line.startswith(_DASH) or not space or not is_key_name(name) or data is None or len(data) < 5:
        raise _wrong(f"signatures[{at}]", "em dash, name and base64(key id, signature)", repr(line))
    return Signature(name=name, key_id=data[:4], blob=data[4:])


def _check_characters(raw: bytes) -> str:
    if len(raw) > MAX_NOTE:
        raise Malformed("NOTE_LENGTH", "note", expected=f"at most {MAX_NOTE} bytes", got=f"{len(raw)} bytes")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _wrong("note", "UTF-8", raw) from error
    control = next((each for each in text if each < " " and each != "\n"), None)
    if control is not None:
        raise _wrong("note", "no control character but newline", repr(control))
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """A signature that verified: whose, and when the cosigner says it was made (POSIX seconds; None if not said)."""

    key: VerifierKey
    timestamp: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A note of which at least one known key signed `text`; one `Verified` for each such key, in the order of lines."""

    text: bytes
    signatures: tuple[Verified, ...]


def check_keys(keys: Sequence[VerifierKey]) -> dict[tuple[str, bytes], VerifierKey]:
    """The keys by (name, key id).

    Raises Malformed VKEY_DUPLICATE if two keys have the same name and id, or if one public key stands under two names
    or types: it would be counted as two parties, and an Ed25519 cosignature does not say which of them made it.
    """
    known: dict[tuple[str, bytes], VerifierKey] = {}
    raw: dict[bytes, VerifierKey] = {}
    for key in keys:
        other = known.setdefault((key.name, key.key_id), key)
        if other is key:
            other = raw.setdefault(key.key, key)
        if other != key:
            raise Malformed("VKEY_DUPLICATE", key.name, expected="each key once", got=f"also {other.name}")
    return known


def open_note(raw: bytes, keys: Sequence[VerifierKey], *, now: int | None = None) -> Opened:
    """Parse a note and verify every signature by one of `keys`.

    Raises Malformed as `Note.parse` and `check_keys`; NotLogged NOTE_SIGNATURE if a known key's signature fails,
    NOTE_UNSIGNED if there is none of a known key, and as `verify_cosignature`, to which `now` goes.
    """
    known = check_keys(keys)
    note = Note.parse(raw)
    verified: dict[tuple[str, bytes], Verified] = {}
    for line in note.signatures:
        place = (line.name, line.key_id)
        if place not in known:
            continue
        each = Verified(key=known[place], timestamp=_verify(known[place], note.text, line.blob, now))
        earlier = verified.setdefault(place, each)
        if (earlier.timestamp or 0) < (each.timestamp or 0):
            verified[place] = each
    if not verified:
        # With its id: another key of the same name is what a reader is to see.
        names = ", ".join(sorted({f"{line.name}+{line.key_id.hex()}" for line in note.signatures}))
        expected = ", ".join(f"{key.name}+{key.key_id.hex()}" for key in keys) or "a known key"
        raise NotLogged("NOTE_UNSIGNED", "signatures", expected=f"a signature by {expected}", got=f"by {names}")
    return Opened(text=note.text, signatures=tuple(verified.values()))


def _verify(key: VerifierKey, text: bytes, blob: bytes, now: int | None) -> int | None:
    if key.type is not KeyType.ED25519:
        return verify_cosignature(key, text, blob, now=now)
    try:
        Ed25519PublicKey.from_public_bytes(key.key).verify(blob, text)
    except InvalidSignature as error:
        raise NotLogged("NOTE_SIGNATURE", key.name, expected="a signature of this text", got="another") from error
    return None


def sign_text(text: bytes, signer: SignerKey) -> Note:
    """A note of `text` signed by `signer`. Raises Malformed NOTE_FORMAT for a text that no note can hold."""
    if not text.endswith(b"\n"):
        raise _wrong("text", "a text that ends in a newline", text)
    _check_characters(text)
    signature = Signature(name=signer.name, key_id=signer.public.key_id, blob=signer.sign(text))
    return Note(text=text, signatures=(signature,))


def _wrong(path: str, expected: object, got: object) -> Malformed:
    return Malformed("NOTE_FORMAT", path, expected=expected, got=got)
