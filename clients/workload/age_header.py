"""The header of an age v1 file: who may open it, the wrapped file key, and a MAC under that key.

Source: C2SP age (c2sp.org/age, read 2025-12), sections "Header" and "mlkem768x25519 recipient stanza". Since the MAC is
keyed by the file key, a header fixes that key: no other opens the file.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from clients.workload.age_recipient import ENC_SIZE, KeyPair, NotSealed, Recipient, Tampered, WrongKey

__all__ = [
    "FILE_KEY",
    "MAX_HEADER",
    "Header",
    "Stanza",
    "derive",
    "encode_header",
    "header_for",
    "open_file_key",
    "parse_header",
]

MAX_HEADER = 65_536  # bytes; one mlkem768x25519 stanza makes 1627
FILE_KEY = 16  # bytes

_TAG = 16
_COLUMNS = 64
_TYPE = "mlkem768x25519"
_VERSION = b"age-encryption.org/v1\n"
_STANZA = re.compile(rb"-> ([!-~]+(?: [!-~]+)*)\n((?:[A-Za-z0-9+/]{64}\n)*[A-Za-z0-9+/]{0,63}\n)")
_END = re.compile(rb"--- ([A-Za-z0-9+/]{43})\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stanza:
    """One wrapping of the file key: its arguments, the type first, and its body."""

    args: tuple[str, ...]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """A parsed header, not yet authenticated. `signed` is the exact slice that `mac` covers; `length` includes both."""

    stanzas: tuple[Stanza, ...]
    signed: bytes
    mac: bytes
    length: int


def encode_header(stanzas: Sequence[Stanza], file_key: bytes) -> bytes:
    """The header of `stanzas`, ended by its MAC under `file_key`."""
    lines = [_VERSION]
    for stanza in stanzas:
        body = _base64(stanza.body)
        rows = [body[at : at + _COLUMNS] for at in range(0, len(body) + 1, _COLUMNS)]
        lines += [b"-> %s\n" % " ".join(stanza.args).encode("ascii"), *(row + b"\n" for row in rows)]
    signed = b"".join(lines) + b"---"
    return signed + b" " + _base64(_header_mac(file_key, signed)) + b"\n"


def parse_header(prefix: bytes) -> Header:
    """Read the header at the start of `prefix`, which is a file's first `MAX_HEADER` bytes or all of a shorter one.

    Raises NotSealed SEALED_HEADER for whatever the ABNF does not describe, and for a longer header.
    """
    if not prefix.startswith(_VERSION):
        raise _no_header("version", _VERSION, prefix[: len(_VERSION)])
    at = len(_VERSION)
    stanzas: list[Stanza] = []
    while match := _STANZA.match(prefix, at, MAX_HEADER):
        body = _canonical(match[2].replace(b"\n", b""), f"stanza[{len(stanzas)}].body")
        stanzas.append(Stanza(args=tuple(match[1].decode("ascii").split(" ")), body=body))
        at = match.end()
    end = _END.match(prefix, at, MAX_HEADER)
    if end is None or not stanzas:
        raise _no_header(f"stanza[{len(stanzas)}]", "a stanza, or after the last the MAC line", prefix[at : at + 48])
    signed, mac = prefix[: end.start(1) - 1], _canonical(end[1], "mac")
    return Header(stanzas=tuple(stanzas), signed=signed, mac=mac, length=end.end())


def open_file_key(header: Header, identity: KeyPair) -> bytes:
    """The file key, from the first stanza that `identity` opens; the whole header is authentic afterwards.

    Raises NotSealed SEALED_HEADER for an `mlkem768x25519` stanza not of its form, WrongKey SEALED_KEY if none opens,
    Tampered SEALED_MAC if the header's MAC does not hold. Stanzas of other types are passed over (section "Header").
    """
    ours = [_wrapped(at, stanza) for at, stanza in enumerate(header.stanzas) if stanza.args[0] == _TYPE]
    file_key = next((key for key in map(identity.unwrap, ours) if key is not None), None)
    if file_key is None:
        types = ", ".join(stanza.args[0] for stanza in header.stanzas)
        raise WrongKey(
            "SEALED_KEY",
            "header",
            expected=f"a stanza for {identity.recipient.text()[:24]}...",
            got=f"other keys ({types}), such as another version's",
        )
    if not hmac.compare_digest(_header_mac(file_key, header.signed), header.mac):
        raise Tampered("SEALED_MAC", "header.mac", expected="the MAC of this header", got=header.mac)
    return file_key


def _wrapped(at: int, stanza: Stanza) -> bytes:
    enc = _canonical(stanza.args[1].encode("ascii"), f"stanza[{at}].enc") if len(stanza.args) == 2 else b""
    if len(enc) != ENC_SIZE or len(stanza.body) != FILE_KEY + _TAG:
        got = f"{len(stanza.args)}, {len(enc)} and {len(stanza.body)}"
        raise _no_header(f"stanza[{at}]", f"2 arguments, {ENC_SIZE} bytes, a body of {FILE_KEY + _TAG}", got)
    return enc + stanza.body


def header_for(recipient: Recipient, file_key: bytes) -> bytes:
    """The header of a file that `recipient` alone opens."""
    wrapped = recipient.wrap(file_key)
    stanza = Stanza(args=(_TYPE, _base64(wrapped[:ENC_SIZE]).decode("ascii")), body=wrapped[ENC_SIZE:])
    return encode_header([stanza], file_key)


def derive(file_key: bytes, salt: bytes, info: bytes) -> bytes:
    """HKDF-SHA-256 of the file key: 32 bytes for one purpose."""
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(file_key)


def _header_mac(file_key: bytes, signed: bytes) -> bytes:
    return hmac.digest(derive(file_key, b"", b"header"), signed, "sha256")


def _base64(data: bytes) -> bytes:
    return base64.b64encode(data).rstrip(b"=")


def _canonical(text: bytes, path: str) -> bytes:
    """Unpadded base64 with zero bits at the end (RFC 4648 section 3.5), or NotSealed."""
    try:
        data = base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except ValueError:
        data = b""
    if _base64(data) != text:
        raise _no_header(path, "canonical base64 without padding", text)
    return data


def _no_header(path: str, expected: object, got: object) -> NotSealed:
    expected, got = (repr(each) if isinstance(each, bytes) else each for each in (expected, got))
    return NotSealed("SEALED_HEADER", f"header.{path}", expected=expected, got=got)
