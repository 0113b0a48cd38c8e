"""Collateral as one file: a signed, dated list of pieces, and the pieces.

The signature says who gathered it and when; it makes nothing in it true. Whoever imports a bundle verifies every piece
under the vendors' pinned roots, as if the vendor had answered.

    sealgate.collateral-bundle/1        a signed note (C2SP signed-note): version, who, when (ms), SHA-256 of the rest
    keys.example.com/audit/1
    1780272000000
    <base64>

    — keys.example.com/audit/1 <base64>

    {"pieces":[{"name":..., "fetched_at":..., "good_until":..., "size":...}...]}
    <the pieces' bytes, one after the other>
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from attest.errors import Malformed, NotLogged
from attest.tlog.entry import canonical, parse_canonical
from attest.tlog.fields import format_base64, parse_base64
from attest.tlog.keys import VerifierKey
from attest.tlog.note import Note, open_note
from kbs.model.collateral import Piece

__all__ = [
    "MAX_BUNDLE",
    "VERSION",
    "Bundle",
    "bundle_text",
    "contents_of",
    "is_bundle",
    "join_bundle",
    "open_bundle",
    "read_bundle",
]

VERSION = "sealgate.collateral-bundle/1"
MAX_BUNDLE = 64 << 20
_MAX_INDEX = 8 << 20
_MAX_PIECES = 65_536
_KEYS = {"name": str, "fetched_at": int, "good_until": int, "size": int}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """What a bundle says. `signed_by` is the key that signed it, as a vkey, or empty; no piece is verified."""

    origin: str
    at: int
    signed_by: str
    pieces: tuple[Piece, ...]


def contents_of(pieces: Sequence[Piece]) -> bytes:
    """The part under the signature: the list, then the bytes."""
    ordered = sorted(pieces, key=lambda piece: piece.name)
    lines = [
        {"name": p.name, "fetched_at": p.fetched_at, "good_until": p.good_until, "size": len(p.data)} for p in ordered
    ]
    index = canonical({"pieces": lines}, limit=_MAX_INDEX)
    return index + b"\n" + b"".join(piece.data for piece in ordered)


def bundle_text(origin: str, at: int, contents: bytes) -> bytes:
    """What is signed."""
    digest = format_base64(hashlib.sha256(contents).digest())
    return f"{VERSION}\n{origin}\n{at}\n{digest}\n".encode()


def join_bundle(note: bytes, contents: bytes) -> bytes:
    """The file: the signed note and what it speaks of."""
    return note + b"\n" + contents


def is_bundle(raw: bytes) -> bool:
    """Whether a file says that it is one."""
    return raw.startswith(VERSION.encode() + b"\n")


def open_bundle(raw: bytes, keys: Sequence[VerifierKey]) -> Bundle:
    """The bundle, if one of `keys` signed it.

    Raises Malformed BUNDLE_FORMAT, NOTE_* or VKEY_*, NotLogged NOTE_SIGNATURE, NOTE_UNSIGNED or BUNDLE_DIGEST.
    """
    note, contents = _split(raw)
    opened = open_note(note.encode(), keys)
    return _read(opened.text, contents, opened.signatures[0].key.vkey)


def read_bundle(raw: bytes) -> Bundle:
    """What a bundle says, with its signature not checked: `signed_by` is empty, and `origin` is anybody's word.

    For whoever verifies every piece by its vendor's signature, and says that nobody vouches for the whole. Raises as
    `open_bundle`, but for the signature.
    """
    note, contents = _split(raw)
    return _read(note.text, contents, "")


def _split(raw: bytes) -> tuple[Note, bytes]:
    if len(raw) > MAX_BUNDLE:
        raise _wrong("bundle", f"at most {MAX_BUNDLE} bytes", f"{len(raw)} bytes")
    text, _, rest = raw.partition(b"\n\n")
    signatures, found, contents = rest.partition(b"\n\n")
    if not found:
        raise _wrong("bundle", "a signed note and what it speaks of", "no such parts")
    return Note.parse(text + b"\n\n" + signatures + b"\n"), contents


def _read(text: bytes, contents: bytes, signed_by: str) -> Bundle:
    lines = text.decode("utf-8").split("\n")
    if len(lines) != 5 or lines[0] != VERSION or not lines[2].isascii() or not lines[2].isdigit():
        raise _wrong("bundle.note", f"{VERSION}, origin, time and digest", repr(lines[0][:60]))
    if parse_base64(lines[3]) != hashlib.sha256(contents).digest():
        raise NotLogged("BUNDLE_DIGEST", "bundle", expected=lines[3], got=hashlib.sha256(contents).digest())
    return Bundle(origin=lines[1], at=int(lines[2][:16]), signed_by=signed_by, pieces=_pieces(contents))


def _pieces(contents: bytes) -> tuple[Piece, ...]:
    index, _, data = contents.partition(b"\n")
    document: Any = parse_canonical(index, limit=_MAX_INDEX)
    lines = document.get("pieces")
    if set(document) != {"pieces"} or not isinstance(lines, list) or len(lines) > _MAX_PIECES:
        raise _wrong("bundle.pieces", f"a list of at most {_MAX_PIECES}", "something else")
    pieces, at = [], 0
    for number, line in enumerate(lines):
        fine = isinstance(line, dict) and {k: type(v) for k, v in line.items()} == _KEYS and line["size"] >= 0
        if not fine or at + line["size"] > len(data):
            raise _wrong(f"bundle.pieces[{number}]", "name, times and size of bytes that are there", repr(line)[:80])
        piece = data[at : at + line["size"]]
        at += line["size"]
        pieces.append(
            Piece(name=line["name"], data=piece, fetched_at=line["fetched_at"], good_until=line["good_until"])
        )
    if at != len(data):
        raise _wrong("bundle", f"{at} bytes of pieces", f"{len(data)}")
    return tuple(pieces)


def _wrong(path: str, expected: str, got: str) -> Malformed:
    return Malformed("BUNDLE_FORMAT", path, expected=expected, got=got)
