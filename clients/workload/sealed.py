"""Sealed files on disk: what a manifest says of one, and the checks that stand before reading one.

Sources: C2SP age, section "Header"; RFC 6962 section 2.1 (the tree). Anyone can seal to a public key, so opening proves
nothing about who sealed; the manifest does. It pins a file by size and header, which fixes the file key, and where the
sealer asked for it also by the root over the file's pieces: header with nonce, then each sealed chunk. The hashes of
the pieces, 32 bytes for each 64 KiB, then lie beside the file in `<path>.tree`, which is believed only as far as it
gives the root. Why so: docs/decisions/0004-sealed-files-are-age-v1.md and 0008.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from attest.tlog.merkle import HASH_SIZE, Frontier, extend, leaf_hash
from clients.workload import age
from clients.workload.age_recipient import KeyPair, NotListed, Recipient, SealedError
from clients.workload.manifest import TREE_SUFFIX, Listed, Manifest
from clients.workload.sealed_file import SealedFile, check_piece

__all__ = ["list_file", "open_sealed", "root_of_tree", "seal_file"]

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


def list_file(sealed: BinaryIO, tree: BinaryIO | None = None, *, path: str) -> Listed:
    """The manifest's line of a seekable file that is sealed already, by age itself for example; needs no key.

    With `tree` the piece hashes are written to it, and the line pins the pieces too. Raises as `parse_header` and
    `Layout` do.
    """
    _, layout, first = _outline(sealed)
    if tree is None:
        return Listed(path=path, size=layout.size, header=hashlib.sha256(first).digest())
    sealed.seek(layout.start)

    def pieces() -> Iterator[bytes]:
        yield first
        for index in range(layout.chunks):
            yield age.read_full(sealed, layout.span(index)[1])

    return _listed(path, pieces(), tree)


def open_sealed(folder: Path, path: str, *, manifest: Manifest, identity: KeyPair) -> SealedFile:
    """Open `folder/path` for reading at random, or refuse.

    1. the manifest lists the path       4. the file key opens, and the header's MAC holds
    2. the size is the listed one        5. where pieces are pinned, the tree gives the root
    3. so are header and nonce           6. the last chunk was sealed as the last

    What is read later is checked when it is read. `manifest` MUST be the registered one. Raises SealedError with the
    path in front, or OSError where the file or its tree cannot be read.
    """
    listed = manifest.file(path)  # 1
    file = io.FileIO(folder / path)
    try:
        _check_size(file, listed.size)  # 2
        header, layout, first = _outline(file)
        _check_header(first, listed.header)  # 3
        file_key = age.open_file_key(header, identity)  # 4
        tree = None
        if listed.root:
            tree = _read_tree(folder / f"{path}{TREE_SUFFIX}", 1 + layout.chunks, listed.root)  # 5
            check_piece(tree, 0, first)
        payload = age.Payload(layout=layout, file_key=file_key, nonce=first[-age.NONCE :])
        return SealedFile(file, path=path, payload=payload, tree=tree)  # 6
    except SealedError as error:
        file.close()
        raise error.within(path) from error.__cause__
    except BaseException:
        file.close()
        raise


def _check_size(file: io.FileIO, size: int) -> None:
    got = file.seek(0, os.SEEK_END)
    if got != size:
        raise NotListed("MANIFEST_SIZE", "size", expected=size, got=got)


def _check_header(first: bytes, expected: bytes) -> None:
    got = hashlib.sha256(first).digest()
    if got != expected:
        raise NotListed("MANIFEST_HEADER", "header", expected=expected, got=got)


def _outline(sealed: BinaryIO) -> tuple[age.Header, age.Layout, bytes]:
    """Header, layout and first piece of the sealed file; its position is anywhere afterwards."""
    size = sealed.seek(0, os.SEEK_END)
    sealed.seek(0)
    prefix = age.read_full(sealed, age.MAX_HEADER + age.NONCE)
    header = age.parse_header(prefix)
    layout = age.Layout(start=header.length + age.NONCE, size=size)
    return header, layout, prefix[: layout.start]


def _listed(path: str, pieces: Iterable[bytes], tree: BinaryIO) -> Listed:
    size, header = 0, b""

    def hashes() -> Iterator[bytes]:
        nonlocal size, header
        for piece in pieces:
            size += len(piece)
            header = header or hashlib.sha256(piece).digest()
            leaf = leaf_hash(piece)
            tree.write(leaf)
            yield leaf

    root = _root_of(hashes())
    return Listed(path=path, size=size, header=header, root=root)


def _root_of(hashes: Iterator[bytes]) -> bytes:
    """`root_of` in constant memory."""
    frontier = Frontier()
    while batch := list(islice(hashes, _BATCH)):
        frontier = extend(frontier, batch).frontier
    return frontier.root()


def root_of_tree(tree: BinaryIO) -> bytes:
    """The root that the piece hashes in `tree` give, read from its position on in constant memory."""
    return _root_of(iter(lambda: tree.read(HASH_SIZE), b""))


def _read_tree(path: Path, pieces: int, root: bytes) -> bytes:
    with path.open("rb") as file:
        tree = file.read(pieces * HASH_SIZE + 1)
    if len(tree) != pieces * HASH_SIZE:
        raise NotListed("MANIFEST_TREE", "tree", expected=f"{pieces * HASH_SIZE} bytes", got=len(tree))
    got = root_of_tree(io.BytesIO(tree))
    if got != root:
        raise NotListed("MANIFEST_DIGEST", "tree", expected=root, got=got)
    return tree
