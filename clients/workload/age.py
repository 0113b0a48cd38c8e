"""age v1 files: a text header that wraps the file key, then the payload in chunks of 64 KiB.

Source: C2SP age (c2sp.org/age, read 2025-12), sections "Header", "Payload" and "mlkem768x25519 recipient stanza". No
clock and no randomness: file key and nonce are arguments. A file is *pieces*: the header with the nonce, then each
sealed chunk; pieces are what a manifest commits to (clients/workload/sealed.py).
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from clients.workload.age_recipient import ENC_SIZE, KeyPair, NotSealed, Recipient, Tampered, WrongKey

if TYPE_CHECKING:
    from cryptography.utils import Buffer

__all__ = [
    "CHUNK",
    "MAX_HEADER",
    "NONCE",
    "TAG",
    "Header",
    "Layout",
    "Payload",
    "Sealer",
    "Stanza",
    "encode_header",
    "open_file_key",
    "parse_header",
    "read_full",
    "seal",
    "seal_pieces",
]

CHUNK = 65_536  # bytes of plaintext
TAG = 16  # bytes that sealing adds to a chunk
NONCE = 16
MAX_HEADER = 65_536  # bytes; one mlkem768x25519 stanza makes 1627

_FILE_KEY = 16
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
        raise WrongKey("SEALED_KEY", "header", expected=f"a stanza for {identity!r}", got=f"other keys: {types}")
    if not hmac.compare_digest(_header_mac(file_key, header.signed), header.mac):
        raise Tampered("SEALED_MAC", "header.mac", expected="the MAC of this header", got=header.mac)
    return file_key


def _wrapped(at: int, stanza: Stanza) -> bytes:
    enc = _canonical(stanza.args[1].encode("ascii"), f"stanza[{at}].enc") if len(stanza.args) == 2 else b""
    if len(enc) != ENC_SIZE or len(stanza.body) != _FILE_KEY + TAG:
        got = f"{len(stanza.args)}, {len(enc)} and {len(stanza.body)}"
        raise _no_header(f"stanza[{at}]", f"2 arguments, {ENC_SIZE} bytes, a body of {_FILE_KEY + TAG}", got)
    return enc + stanza.body


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where the chunks of a sealed file of `size` bytes lie; it takes no key to know.

    Raises Tampered SEALED_TRUNCATED if the last chunk has no room for its tag, or, unless alone, for nothing but that.
    """

    start: int
    size: int

    def __post_init__(self) -> None:
        least = self.start + max(self.chunks - 1, 0) * (CHUNK + TAG) + TAG + (self.chunks > 1)
        if self.size < least:
            raise Tampered("SEALED_TRUNCATED", "payload", expected=f"{least} bytes or more", got=self.size)

    @property
    def chunks(self) -> int:
        """How many chunks there are, at least one."""
        return -(-(self.size - self.start) // (CHUNK + TAG))

    @property
    def plain_size(self) -> int:
        """Bytes of plaintext."""
        return self.size - self.start - self.chunks * TAG

    def span(self, index: int) -> tuple[int, int]:
        """Offset and length of sealed chunk `index` in the file."""
        offset = self.start + index * (CHUNK + TAG)
        return offset, min(CHUNK + TAG, self.size - offset)


class Payload:
    """A payload that opens at any chunk, from any thread; `layout.plain_size` holds once the last chunk has opened."""

    __slots__ = ("_aead", "layout")

    def __init__(self, *, layout: Layout, file_key: bytes, nonce: bytes) -> None:
        self.layout = layout
        self._aead = ChaCha20Poly1305(_derive(file_key, nonce, b"payload"))

    def open_at(self, index: int, sealed: bytes) -> bytes:
        """The plaintext of chunk `index` from its sealed bytes, those of `layout.span(index)`.

        Raises Tampered: SEALED_TRUNCATED if others followed the last chunk when it was sealed, else SEALED_CHUNK.
        """
        last = index == self.layout.chunks - 1
        opened = self._open(_chunk_nonce(index, last=last), sealed)
        if opened is None and last and self._open(_chunk_nonce(index, last=False), sealed) is not None:
            raise Tampered("SEALED_TRUNCATED", f"chunk[{index}]", expected="the final chunk", got="one before it")
        if opened is None:
            raise Tampered("SEALED_CHUNK", f"chunk[{index}]", expected="this chunk of this file", got="other bytes")
        return opened

    def open_into(self, index: int, sealed: Buffer, into: Buffer) -> None:
        """As `open_at`, into a buffer of exactly the plaintext's size, which is undefined where this raises."""
        last = index == self.layout.chunks - 1
        try:
            self._aead.decrypt_into(_chunk_nonce(index, last=last), sealed, None, into)
        except InvalidTag:
            self.open_at(index, bytes(sealed))

    def _open(self, nonce: bytes, sealed: bytes) -> bytes | None:
        try:
            return self._aead.decrypt(nonce, sealed, None)
        except InvalidTag:
            return None


class Sealer:
    """One file while it is sealed: its first piece, and its chunks in any order and from any thread.

    `file_key` and `nonce` MUST be 16 fresh bytes of a CSPRNG each, used for this file only; another length: ValueError.
    Each index MUST be sealed with one plaintext only: a file that is begun again gets another key.
    """

    __slots__ = ("_aead", "first")

    def __init__(self, recipient: Recipient, *, file_key: bytes, nonce: bytes) -> None:
        if len(file_key) != _FILE_KEY or len(nonce) != NONCE:
            raise ValueError("file key and nonce are 16 bytes each")
        wrapped = recipient.wrap(file_key)
        stanza = Stanza(args=(_TYPE, _base64(wrapped[:ENC_SIZE]).decode("ascii")), body=wrapped[ENC_SIZE:])
        self.first = encode_header([stanza], file_key) + nonce
        self._aead = ChaCha20Poly1305(_derive(file_key, nonce, b"payload"))

    def seal_at(self, index: int, plain: bytes, *, last: bool) -> bytes:
        """The sealed chunk `index`; `last` for the file's last chunk and no other."""
        return self._aead.encrypt(_chunk_nonce(index, last=last), plain, None)

    def seal_into(self, index: int, plain: Buffer, into: Buffer, *, last: bool) -> None:
        """As `seal_at`, into a buffer that is `TAG` bytes longer than `plain`."""
        self._aead.encrypt_into(_chunk_nonce(index, last=last), plain, None, into)


def seal_pieces(source: BinaryIO, recipient: Recipient, *, file_key: bytes, nonce: bytes) -> Iterator[bytes]:
    """Seal `source` to `recipient`, piece by piece, never holding more than two chunks.

    `file_key` and `nonce` as `Sealer` demands.
    """
    sealer = Sealer(recipient, file_key=file_key, nonce=nonce)
    yield sealer.first
    chunk = read_full(source, CHUNK)
    for index in count():
        following = read_full(source, CHUNK)
        yield sealer.seal_at(index, chunk, last=not following)
        if not following:
            return
        chunk = following


def seal(source: BinaryIO, sink: BinaryIO, recipient: Recipient, *, file_key: bytes, nonce: bytes) -> None:
    """Write `source` to `sink` as an age v1 file; as `seal_pieces`. `sink.write` MUST take all it is given."""
    for piece in seal_pieces(source, recipient, file_key=file_key, nonce=nonce):
        sink.write(piece)


def read_full(source: BinaryIO, length: int) -> bytes:
    """`length` bytes of `source`, fewer only at its end, however little each read returns."""
    data = source.read(length)
    while len(data) < length and (more := source.read(length - len(data))):
        data += more
    return data


def _header_mac(file_key: bytes, signed: bytes) -> bytes:
    return hmac.digest(_derive(file_key, b"", b"header"), signed, "sha256")


def _derive(file_key: bytes, salt: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(file_key)


def _chunk_nonce(index: int, *, last: bool) -> bytes:
    return index.to_bytes(11, "big") + bytes([last])


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
