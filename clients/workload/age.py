"""age v1 files: a text header that wraps the file key, then the payload in chunks of 64 KiB.

Source: C2SP age (c2sp.org/age, read 2025-12), section "Payload"; its header is in age_header.py. No
clock and no randomness: file key and nonce are arguments. A file is *pieces*: the header with the nonce, then each
sealed chunk; pieces are what a manifest commits to (clients/workload/sealed.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from clients.workload.age_header import (
    FILE_KEY,
    MAX_HEADER,
    Header,
    Stanza,
    derive,
    encode_header,
    header_for,
    open_file_key,
    parse_header,
)
from clients.workload.age_recipient import Recipient, Tampered

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
        self._aead = ChaCha20Poly1305(derive(file_key, nonce, b"payload"))

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
        if len(file_key) != FILE_KEY or len(nonce) != NONCE:
            raise ValueError("file key and nonce are 16 bytes each")
        self.first = header_for(recipient, file_key) + nonce
        self._aead = ChaCha20Poly1305(derive(file_key, nonce, b"payload"))

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


def _chunk_nonce(index: int, *, last: bool) -> bytes:
    return index.to_bytes(11, "big") + bytes([last])
