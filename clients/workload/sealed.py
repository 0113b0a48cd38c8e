"""Sealed files on disk: sealing with a Merkle root, and reading at random with every byte checked before it is used.

Sources: C2SP age, section "Payload" (seeking); RFC 6962 section 2.1 (the tree). Anyone can seal to a public key, so
opening proves nothing about who sealed; the manifest does. Its root is over the file's pieces: header with nonce, then
each sealed chunk. The hashes of the pieces, 32 bytes for each 64 KiB, lie beside the file in `<path>.tree`, which is
believed only as far as it gives the root. Why so: docs/decisions/0004-sealed-files-are-age-v1.md.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from attest.tlog.merkle import HASH_SIZE, Frontier, extend, leaf_hash
from clients.workload import age
from clients.workload.age_recipient import KeyPair, NotListed, Recipient, SealedError, Tampered
from clients.workload.manifest import TREE_SUFFIX, Listed, Manifest

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["SealedFile", "list_file", "open_sealed", "seal_file"]

_BATCH = 8192  # hashes that enter the tree at a time


def seal_file(
    source: BinaryIO,
    sink: BinaryIO,
    tree: BinaryIO,
    recipient: Recipient,
    *,
    path: str,
    file_key: bytes,
    nonce: bytes,
) -> Listed:
    """Seal `source` into `sink` and its piece hashes into `tree`, in constant memory; returns its line of the manifest.

    `file_key` and `nonce` as `seal_pieces` demands. `path` is the sealed file's; its tree belongs at `<path>.tree`.
    """

    def written() -> Iterator[bytes]:
        for piece in age.seal_pieces(source, recipient, file_key=file_key, nonce=nonce):
            sink.write(piece)
            yield piece

    return _listed(path, written(), tree)


def list_file(sealed: BinaryIO, tree: BinaryIO, *, path: str) -> Listed:
    """The manifest's line of a seekable file that is sealed already, by age itself for example; needs no key.

    Raises as `parse_header` and `Layout` do.
    """
    _, layout, first = _outline(sealed)
    sealed.seek(layout.start)

    def pieces() -> Iterator[bytes]:
        yield first
        for index in range(layout.chunks):
            yield age.read_full(sealed, layout.span(index)[1])

    return _listed(path, pieces(), tree)


def open_sealed(folder: Path, path: str, *, manifest: Manifest, identity: KeyPair) -> SealedFile:
    """Open `folder/path` for reading at random, or refuse.

    1. the manifest lists the path       4. header and nonce are the listed ones
    2. the size is the listed one        5. the file key opens, and the header's MAC holds
    3. the tree gives the listed root    6. the last chunk was sealed as the last

    What is read later is checked when it is read. `manifest` MUST be the registered one. Raises SealedError with the
    path in front, or OSError where the file or its tree cannot be read.
    """
    listed = manifest.file(path)  # 1
    file = io.FileIO(folder / path)
    try:
        _check_size(file, listed.size)  # 2
        header, layout, first = _outline(file)
        tree = _read_tree(folder / f"{path}{TREE_SUFFIX}", 1 + layout.chunks, listed.root)  # 3
        _check_piece(tree, 0, first)  # 4
        file_key = age.open_file_key(header, identity)  # 5
        payload = age.Payload(layout=layout, file_key=file_key, nonce=first[-age.NONCE :])
        return SealedFile(file, path=path, payload=payload, tree=tree)  # 6
    except SealedError as error:
        file.close()
        raise error.within(path) from error.__cause__
    except BaseException:
        file.close()
        raise


class SealedFile(io.RawIOBase):
    """The plaintext of one sealed file: seekable, read-only, safe to read from several threads.

    Only the chunks touched are read, and each is compared with the tree, then authenticated, before a byte of it is
    handed out. Threads that share the position get stretches that follow each other; `read_at` needs no position. The
    chunk last opened is kept, so that small reads do not open it again. `open_sealed` makes these; the last chunk is
    opened at once, since only it tells that nothing was cut off before the manifest was made.
    """

    def __init__(self, file: io.FileIO, *, path: str, payload: age.Payload, tree: bytes) -> None:
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

    def _chunk(self, index: int) -> bytes:
        kept = self._kept
        if kept is not None and kept[0] == index:
            return kept[1]
        offset, length = self._payload.layout.span(index)
        sealed = os.pread(self._file.fileno(), length, offset)
        if len(sealed) != length:
            raise Tampered("SEALED_TRUNCATED", f"chunk[{index}]", expected=f"{length} bytes", got=len(sealed))
        _check_piece(self._tree, 1 + index, sealed)
        plain = self._payload.open_at(index, sealed)
        self._kept = (index, plain)
        return plain

    def read_at(self, offset: int, into: memoryview) -> int:
        """Fill `into`, a view of bytes, from `offset` on; returns how many bytes there were before the end.

        Raises NotListed MANIFEST_DIGEST, Tampered SEALED_TRUNCATED or SEALED_CHUNK; `into` is then undefined.
        """
        if offset < 0:
            raise ValueError(f"negative offset {offset}")
        done = 0
        wanted = min(len(into), max(self.size - offset, 0))
        while done < wanted:
            index, skip = divmod(offset + done, age.CHUNK)
            try:
                plain = self._chunk(index)
            except SealedError as error:
                raise error.within(self.name) from error.__cause__
            step = min(len(plain) - skip, wanted - done)
            into[done : done + step] = memoryview(plain)[skip : skip + step]
            done += step
        return wanted

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


def _check_size(file: io.FileIO, size: int) -> None:
    got = file.seek(0, os.SEEK_END)
    if got != size:
        raise NotListed("MANIFEST_SIZE", "size", expected=size, got=got)


def _outline(sealed: BinaryIO) -> tuple[age.Header, age.Layout, bytes]:
    """Header, layout and first piece of the sealed file; its position is anywhere afterwards."""
    size = sealed.seek(0, os.SEEK_END)
    sealed.seek(0)
    prefix = age.read_full(sealed, age.MAX_HEADER + age.NONCE)
    header = age.parse_header(prefix)
    layout = age.Layout(start=header.length + age.NONCE, size=size)
    return header, layout, prefix[: layout.start]


def _listed(path: str, pieces: Iterable[bytes], tree: BinaryIO) -> Listed:
    size = 0

    def hashes() -> Iterator[bytes]:
        nonlocal size
        for piece in pieces:
            size += len(piece)
            leaf = leaf_hash(piece)
            tree.write(leaf)
            yield leaf

    root = _root_of(hashes())
    return Listed(path=path, size=size, root=root)


def _root_of(hashes: Iterator[bytes]) -> bytes:
    """`root_of` in constant memory."""
    frontier = Frontier()
    while batch := list(islice(hashes, _BATCH)):
        frontier = extend(frontier, batch).frontier
    return frontier.root()


def _read_tree(path: Path, pieces: int, root: bytes) -> bytes:
    with path.open("rb") as file:
        tree = file.read(pieces * HASH_SIZE + 1)
    if len(tree) != pieces * HASH_SIZE:
        raise NotListed("MANIFEST_TREE", "tree", expected=f"{pieces * HASH_SIZE} bytes", got=len(tree))
    got = _root_of(tree[at : at + HASH_SIZE] for at in range(0, len(tree), HASH_SIZE))
    if got != root:
        raise NotListed("MANIFEST_DIGEST", "tree", expected=root, got=got)
    return tree


def _check_piece(tree: bytes, piece: int, data: bytes) -> None:
    expected, got = tree[piece * HASH_SIZE : (piece + 1) * HASH_SIZE], leaf_hash(data)
    if got != expected:
        raise NotListed("MANIFEST_DIGEST", f"chunk[{piece - 1}]" if piece else "header", expected=expected, got=got)
