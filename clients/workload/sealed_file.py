"""The plaintext of one sealed file, read at random, with every byte checked before it is handed out.

Source: C2SP age, section "Payload" (seeking). Why so: docs/decisions/0004-sealed-files-are-age-v1.md and 0008.
"""

from __future__ import annotations

import io
import os
import threading
from typing import TYPE_CHECKING

from attest.tlog.merkle import HASH_SIZE, leaf_hash
from clients.workload import age
from clients.workload.age_recipient import NotListed, SealedError, Tampered

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["SealedFile", "check_piece"]

_BATCH = 4  # chunks that are read at a time: large enough for few calls, small enough for the processor's cache


class SealedFile(io.RawIOBase):
    """The plaintext of one sealed file: seekable, read-only, safe to read from several threads.

    Only the chunks touched are read, and each is authenticated, and where the manifest pins pieces compared with the
    tree, before a byte of it is handed out. Threads that share the position get stretches that follow each other;
    `read_at` needs no position. The chunk last opened for a part of it is kept, so that small reads do not open it
    again. `open_sealed` makes these; the last chunk is opened at once, since only it tells that nothing was cut off
    before the manifest was made.
    """

    def __init__(self, file: io.FileIO, *, path: str, payload: age.Payload, tree: bytes | None) -> None:
        super().__init__()
        self.name = path
        self.size = payload.layout.plain_size
        self._file = file
        self._payload = payload
        self._tree = tree
        self._position = 0
        self._lock = threading.Lock()
        self._kept: tuple[int, bytes] | None = None
        self._chunk(payload.layout.chunks - 1)

    def _sealed(self, index: int, count: int) -> bytes:
        """The sealed bytes of `count` chunks from `index` on, compared with the tree where there is one."""
        offset, length = self._payload.layout.span(index)
        if count > 1:
            last, size = self._payload.layout.span(index + count - 1)
            length = last + size - offset
        sealed = os.pread(self._file.fileno(), length, offset)
        if len(sealed) != length:
            raise Tampered("SEALED_TRUNCATED", f"chunk[{index}]", expected=f"{length} bytes", got=len(sealed))
        if self._tree is not None:
            whole = age.CHUNK + age.TAG
            for at in range(count):
                check_piece(self._tree, 1 + index + at, sealed[at * whole : (at + 1) * whole])
        return sealed

    def _chunk(self, index: int) -> bytes:
        kept = self._kept
        if kept is not None and kept[0] == index:
            return kept[1]
        plain = self._payload.open_at(index, self._sealed(index, 1))
        self._kept = (index, plain)
        return plain

    def _open_run(self, index: int, into: memoryview) -> None:
        """Whole chunks from `index` on straight into `into`, which they fill."""
        count = -(-len(into) // age.CHUNK)
        sealed, whole = memoryview(self._sealed(index, count)), age.CHUNK + age.TAG
        for at in range(count):
            plain = into[at * age.CHUNK : (at + 1) * age.CHUNK]
            self._payload.open_into(index + at, sealed[at * whole : at * whole + len(plain) + age.TAG], plain)

    def read_at(self, offset: int, into: memoryview) -> int:
        """Fill `into`, a view of bytes, from `offset` on; returns how many bytes there were before the end.

        Raises NotListed MANIFEST_DIGEST, Tampered SEALED_TRUNCATED or SEALED_CHUNK; `into` is then undefined.
        """
        if offset < 0:
            raise ValueError(f"negative offset {offset}")
        done = 0
        wanted = min(len(into), max(self.size - offset, 0))
        try:
            while done < wanted:
                done += self._step(offset + done, into[done:wanted])
        except SealedError as error:
            raise error.within(self.name) from error.__cause__
        return wanted

    def _step(self, offset: int, into: memoryview) -> int:
        """The next bytes of a read that does not pass the end: whole chunks if it can be, else a part of one."""
        index, skip = divmod(offset, age.CHUNK)
        whole = min(len(into) // age.CHUNK, _BATCH) * age.CHUNK
        if not skip and not whole and offset + len(into) == self.size:
            whole = len(into)  # the last chunk may be shorter than the others, and is whole all the same
        if not skip and whole:
            self._open_run(index, into[:whole])
            return whole
        plain = self._chunk(index)
        step = min(len(plain) - skip, len(into))
        into[:step] = memoryview(plain)[skip : skip + step]
        return step

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill `buffer` from the position on; short only at the end. A read that raises has moved the position."""
        into = memoryview(buffer).cast("B")
        with self._lock:
            self._check_open()
            offset = self._position
            self._position += min(len(into), max(self.size - offset, 0))
        return self.read_at(offset, into)

    def readall(self) -> bytes:
        """Everything from the position on."""
        data = bytearray(max(self.size - self.tell(), 0))
        return bytes(memoryview(data)[: self.readinto(data)])

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move the position, also past the end; ValueError before the start."""
        with self._lock:
            self._check_open()
            position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
            if position < 0:
                raise ValueError(f"negative seek position {position}")
            self._position = position
            return position

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def close(self) -> None:
        """Close the sealed file beneath and forget the chunk kept."""
        self._kept = None
        self._file.close()
        super().close()

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")


def check_piece(tree: bytes, piece: int, data: bytes) -> None:
    """Raises NotListed MANIFEST_DIGEST unless `data` is piece number `piece` of the file that `tree` was made of."""
    expected, got = tree[piece * HASH_SIZE : (piece + 1) * HASH_SIZE], leaf_hash(data)
    if got != expected:
        raise NotListed("MANIFEST_DIGEST", f"chunk[{piece - 1}]" if piece else "header", expected=expected, got=got)
