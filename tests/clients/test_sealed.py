"""Sealed sets on disk: random reads, and every way in which a host could hand over something else.

`python -m tests.clients.test_sealed` measures what docs/decisions/0004-sealed-files-are-age-v1.md states.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given, settings
from hypothesis import strategies as st

from attest.tlog.merkle import leaf_hash, root_of
from clients.workload import age
from clients.workload.age_recipient import KeyPair, SealedError
from clients.workload.manifest import Listed, Manifest
from clients.workload.sealed import list_file, open_sealed, seal_file
from clients.workload.sealed_file import SealedFile

CHUNK, WHOLE = age.CHUNK, age.CHUNK + 16
ASSET = "tenants/acme/assets/llm-70b"
PAIR = KeyPair.generate(bytes(range(32)))
NEXT = KeyPair.generate(bytes(32))
PLAIN = os.urandom(3 * CHUNK + 1000)
EDITED = bytes([PLAIN[0] ^ 1]) + PLAIN[1:]


class Set:
    """A folder with one sealed file, `w.age`, its tree, and a manifest that lists it."""

    def __init__(self, folder: Path, plain: bytes, pair: KeyPair = PAIR) -> None:
        self.folder, self.file, self.tree = folder, folder / "w.age", folder / "w.age.tree"
        with self.file.open("wb") as sink, self.tree.open("wb") as tree:
            self.keys = {"file_key": os.urandom(16), "nonce": os.urandom(16)}
            listed = seal_file(io.BytesIO(plain), sink, tree, pair.recipient, path="w.age", **self.keys)
        self.manifest = Manifest(asset=ASSET, files=(listed,))
        self.start = age.parse_header(self.file.read_bytes()).length + 16

    def open(self, path: str = "w.age", identity: KeyPair = PAIR) -> SealedFile:
        return open_sealed(self.folder, path, manifest=self.manifest, identity=identity)

    def relist(self) -> None:
        """The owner lists whatever lies there now."""
        tree = io.BytesIO()
        with self.file.open("rb") as sealed:
            listed = list_file(sealed, tree, path="w.age")
        self.tree.write_bytes(tree.getvalue())
        self.manifest = Manifest(asset=ASSET, files=(listed,))

    def pin_header(self) -> None:
        """The manifest pins the header alone."""
        self.manifest = Manifest(asset=ASSET, files=(replace(self.manifest.files[0], root=b""),))

    def patch(self, offset: int, data: bytes) -> None:
        with self.file.open("r+b") as file:
            file.seek(offset)
            file.write(data)

    def chunk(self, index: int) -> bytes:
        return self.file.read_bytes()[self.start + index * WHOLE :][:WHOLE]


@pytest.fixture
def made(tmp_path: Path) -> Set:
    return Set(tmp_path, PLAIN)


def refused(check: str) -> Any:
    return pytest.raises(SealedError, match=rf"^{check}: ")


def test_reads_as_a_file_does(made: Set) -> None:
    with made.open() as sealed, io.BytesIO(PLAIN) as plain:
        assert (sealed.size, sealed.name) == (len(PLAIN), "w.age")
        assert sealed.readable()
        assert sealed.seekable()
        assert not sealed.writable()
        for offset, whence in [(0, 0), (CHUNK, 0), (-7, 2), (0, 2), (9, 2), (CHUNK - 3, 0), (5, 1), (-4, 1)]:
            assert sealed.seek(offset, whence) == plain.seek(offset, whence)
            assert sealed.read(11) == plain.read(11)
            assert sealed.tell() == plain.tell()
        sealed.seek(10)
        assert sealed.readall() == PLAIN[10:]
        assert sealed.read() == b""
        with pytest.raises(ValueError, match="negative"):
            sealed.seek(-1)
        with pytest.raises(ValueError, match="negative"):
            sealed.read_at(-1, memoryview(bytearray(1)))
    for closed in (sealed.read, sealed.tell, lambda: sealed.read_at(0, memoryview(bytearray(1)))):
        with pytest.raises(ValueError, match="closed"):
            closed()


def test_reads_under_a_buffer_as_safetensors_are_read(tmp_path: Path) -> None:
    header = json.dumps({"a": {"dtype": "U8", "shape": [9], "data_offsets": [CHUNK, CHUNK + 9]}}).encode()
    data = os.urandom(CHUNK + 9)
    made = Set(tmp_path, len(header).to_bytes(8, "little") + header + data)
    with io.BufferedReader(made.open()) as file:
        length = int.from_bytes(file.read(8), "little")
        start, end = json.loads(file.read(length))["a"]["data_offsets"]
        file.seek(8 + length + start)
        assert file.read(end - start) == data[CHUNK:]


def test_many_threads_read_one_file(made: Set) -> None:
    with made.open() as sealed:

        def read(seed: int) -> bool:
            draw = random.Random(seed)
            ranges = [(draw.randrange(len(PLAIN)), draw.randrange(1, 9000)) for _ in range(100)]
            for offset, length in ranges:
                into = bytearray(length)
                count = sealed.read_at(offset, memoryview(into))
                if into[:count] != PLAIN[offset : offset + length]:
                    return False
            return True

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(read, range(8)))
            pieces = list(pool.map(lambda _: sealed.read(1000), range(len(PLAIN) // 1000 + 2)))
        expected = [PLAIN[at : at + 1000] for at in range(0, len(PLAIN), 1000)]
        assert sorted(piece for piece in pieces if piece) == sorted(expected)


def test_the_root_is_that_of_the_pieces(made: Set) -> None:
    sealed = made.file.read_bytes()
    pieces = [sealed[: made.start], *(made.chunk(index) for index in range(4))]
    assert b"".join(pieces) == sealed
    listed = made.manifest.file("w.age")
    header, root = hashlib.sha256(pieces[0]).digest(), root_of([leaf_hash(piece) for piece in pieces])
    assert listed == Listed(path="w.age", size=len(sealed), header=header, root=root)
    assert made.tree.read_bytes() == b"".join(map(leaf_hash, pieces))
    made.relist()
    assert made.manifest.file("w.age") == listed


def swapped(made: Set) -> None:
    first, second = made.chunk(0), made.chunk(1)
    made.patch(made.start, second + first)


def other_plaintext(made: Set) -> None:
    """What one who was released the key can make: the very header, and another plaintext that authenticates."""
    sink = io.BytesIO()
    age.seal(io.BytesIO(EDITED), sink, PAIR.recipient, **made.keys)
    made.patch(made.start, sink.getvalue()[made.start :])


def kept_tree(made: Set) -> None:
    tree = made.tree.read_bytes()
    Set(made.folder, PLAIN)
    made.tree.write_bytes(tree)


def other_tree(made: Set) -> None:
    made.tree.write_bytes(made.tree.read_bytes()[32:] + bytes(32))


def chunk_of_another(made: Set) -> None:
    with tempfile.TemporaryDirectory() as folder:
        made.patch(made.start + WHOLE, Set(Path(folder), PLAIN).chunk(1))


HOST_CASES: dict[str, tuple[str, Callable[[Set], object]]] = {
    "cut by a byte": ("MANIFEST_SIZE", lambda made: os.truncate(made.file, made.file.stat().st_size - 1)),
    "cut at a chunk": ("MANIFEST_SIZE", lambda made: os.truncate(made.file, made.start + 2 * WHOLE)),
    "cut to nothing": ("MANIFEST_SIZE", lambda made: os.truncate(made.file, 0)),
    "byte appended": ("MANIFEST_SIZE", lambda made: made.file.write_bytes(made.file.read_bytes() + b"x")),
    "version changed": ("SEALED_HEADER", lambda made: made.patch(20, b"2")),
    "stanza changed": ("MANIFEST_HEADER", lambda made: made.patch(60, b"AAAA")),
    "nonce changed": ("MANIFEST_HEADER", lambda made: made.patch(made.start - 16, bytes(16))),
    "chunk changed": ("MANIFEST_DIGEST", lambda made: made.patch(made.start + WHOLE + 5, b"XXXX")),
    "last tag changed": ("MANIFEST_DIGEST", lambda made: made.patch(made.file.stat().st_size - 4, b"XXXX")),
    "chunks swapped": ("MANIFEST_DIGEST", swapped),
    "chunk repeated": ("MANIFEST_DIGEST", lambda made: made.patch(made.start + WHOLE, made.chunk(0))),
    "chunk of another file": ("MANIFEST_DIGEST", chunk_of_another),
    "sealed anew by a stranger, tree included": ("MANIFEST_HEADER", lambda made: Set(made.folder, PLAIN)),
    "sealed anew by a stranger, tree kept": ("MANIFEST_HEADER", kept_tree),
    "another plaintext under the same file key": ("MANIFEST_DIGEST", other_plaintext),
    "tree changed": ("MANIFEST_DIGEST", other_tree),
    "tree cut": ("MANIFEST_TREE", lambda made: os.truncate(made.tree, 64)),
    "tree longer": ("MANIFEST_TREE", lambda made: made.tree.write_bytes(made.tree.read_bytes() + bytes(32))),
    "tree empty": ("MANIFEST_TREE", lambda made: made.tree.write_bytes(b"")),
}


@pytest.mark.parametrize(("check", "edit"), HOST_CASES.values(), ids=HOST_CASES.keys())
def test_what_is_not_listed_is_refused(made: Set, check: str, edit: Callable[[Set], object]) -> None:
    edit(made)
    with refused(check) as caught, made.open() as sealed:
        sealed.readall()
    assert caught.value.path.startswith("w.age: ")


# Pinned by its header alone, as `seal` does unless told otherwise: what a host can do without the key.
HEADER_CASES: dict[str, tuple[str, Callable[[Set], object]]] = {
    "cut by a byte": HOST_CASES["cut by a byte"],
    "cut at a chunk": HOST_CASES["cut at a chunk"],
    "byte appended": HOST_CASES["byte appended"],
    "stanza changed": HOST_CASES["stanza changed"],
    "nonce changed": HOST_CASES["nonce changed"],
    "chunk changed": ("SEALED_CHUNK", lambda made: made.patch(made.start + WHOLE + 5, b"XXXX")),
    "last tag changed": ("SEALED_CHUNK", lambda made: made.patch(made.file.stat().st_size - 4, b"XXXX")),
    "chunks swapped": ("SEALED_CHUNK", swapped),
    "chunk repeated": ("SEALED_CHUNK", lambda made: made.patch(made.start + WHOLE, made.chunk(0))),
    "chunk of another file": ("SEALED_CHUNK", chunk_of_another),
    "another version of the file": ("MANIFEST_HEADER", lambda made: Set(made.folder, PLAIN)),
    "a chunk of another version": ("SEALED_CHUNK", chunk_of_another),
}


@pytest.mark.parametrize(("check", "edit"), HEADER_CASES.values(), ids=HEADER_CASES.keys())
@pytest.mark.parametrize("tree", [True, False])
def test_what_a_header_does_not_open_is_refused(
    made: Set, check: str, edit: Callable[[Set], object], tree: bool
) -> None:
    made.pin_header()
    if not tree:
        made.tree.unlink()
    edit(made)
    for length in (-1, 700):  # whole chunks, and parts of them
        with refused(check) as caught, made.open() as sealed:
            while sealed.read(length):
                pass
        assert caught.value.path.startswith("w.age: ")


def test_what_only_pinned_pieces_refuse(made: Set) -> None:
    """The difference between the two ways: who has the key can make a chunk that opens."""
    other_plaintext(made)
    with refused("MANIFEST_DIGEST"):
        made.open().readall()
    made.pin_header()
    with made.open() as sealed:
        assert sealed.readall() == EDITED


OWNER_CASES: dict[str, tuple[str, Callable[[Set], object]]] = {
    "cut at a chunk": ("SEALED_TRUNCATED", lambda made: os.truncate(made.file, made.start + 2 * WHOLE)),
    "cut in a chunk": ("SEALED_CHUNK", lambda made: os.truncate(made.file, made.start + 2 * WHOLE - 1)),
    "chunks swapped": ("SEALED_CHUNK", swapped),
    "chunk of another file": ("SEALED_CHUNK", chunk_of_another),
    "sealed to another version": ("SEALED_KEY", lambda made: Set(made.folder, PLAIN, NEXT)),
}


@pytest.mark.parametrize(("check", "edit"), OWNER_CASES.values(), ids=OWNER_CASES.keys())
def test_a_manifest_does_not_make_a_bad_file_good(made: Set, check: str, edit: Callable[[Set], object]) -> None:
    edit(made)
    made.relist()
    with refused(check), made.open() as sealed:
        sealed.readall()


def test_a_file_cut_before_it_was_listed_does_not_even_open(made: Set) -> None:
    os.truncate(made.file, made.start + 2 * WHOLE)
    made.relist()
    with refused("SEALED_TRUNCATED"):
        made.open()


def test_a_file_is_listed_only_with_a_whole_header_and_chunk(made: Set) -> None:
    whole = made.file.read_bytes()
    for size, check in [(0, "SEALED_HEADER"), (100, "SEALED_HEADER"), (made.start, "SEALED_TRUNCATED")]:
        with refused(check):
            list_file(io.BytesIO(whole[:size]), io.BytesIO(), path="w.age")


def test_a_path_in_no_manifest_is_refused_before_it_is_touched(made: Set) -> None:
    for path in ("x.age", "../w.age", "w.age.tree"):
        with refused("MANIFEST_UNKNOWN_PATH"):
            made.open(path)


def test_a_missing_file_or_tree_is_an_os_error(made: Set) -> None:
    made.tree.unlink()
    with pytest.raises(FileNotFoundError):
        made.open()
    made.file.unlink()
    with pytest.raises(FileNotFoundError):
        made.open()


def test_the_file_may_change_only_after_it_was_opened(made: Set) -> None:
    with made.open() as sealed:
        assert sealed.read(5) == PLAIN[:5]
        made.patch(made.start + WHOLE, b"XXXX")
        assert sealed.read(5) == PLAIN[5:10]
        sealed.seek(CHUNK)
        with refused("MANIFEST_DIGEST") as caught:
            sealed.read(1)
        assert caught.value.path == "w.age: chunk[1]"
        assert sealed.seek(2 * CHUNK) == 2 * CHUNK
        assert sealed.read(5) == PLAIN[2 * CHUNK : 2 * CHUNK + 5]
        os.truncate(made.file, made.start + 100)
        sealed.seek(0)
        with refused("SEALED_TRUNCATED"):
            sealed.read(1)


@settings(deadline=None, max_examples=40)
@given(
    chunks=st.integers(0, 3),
    extra=st.integers(-2, 2),
    reads=st.lists(st.tuples(st.integers(0, 4 * CHUNK), st.integers(0, 2 * CHUNK)), max_size=8),
)
def test_any_reads_of_any_size(chunks: int, extra: int, reads: list[tuple[int, int]]) -> None:
    plain = os.urandom(max(chunks * CHUNK + extra, 0))
    with tempfile.TemporaryDirectory() as folder, Set(Path(folder), plain).open() as sealed:
        assert sealed.read() == plain
        for offset, length in reads:
            sealed.seek(offset)
            assert sealed.read(length) == plain[offset : offset + length]


def test_a_flip_anywhere_is_refused(made: Set) -> None:
    size = made.file.stat().st_size
    draw = random.Random(1)
    places = [*range(0, made.start + 20, 7), *(draw.randrange(size) for _ in range(150)), size - 1]
    original = made.file.read_bytes()
    for at in places:
        made.patch(at, bytes([original[at] ^ 1 << draw.randrange(8)]))
        with pytest.raises(SealedError), made.open() as sealed:
            sealed.readall()
        made.patch(at, original[at : at + 1])
    with made.open() as sealed:
        assert sealed.readall() == PLAIN


class Zeros(io.RawIOBase):
    """`rest` zero bytes."""

    def __init__(self, rest: int) -> None:
        self.rest = rest

    def read(self, size: int = -1, /) -> bytes:
        count = min(size, self.rest)
        self.rest -= count
        return bytes(count)


class Nowhere(io.RawIOBase):
    """Takes everything."""

    def write(self, data: Any, /) -> int:
        return len(data)


def test_sealing_takes_constant_memory() -> None:
    source, nowhere = cast("BinaryIO", Zeros(300 * CHUNK)), cast("BinaryIO", Nowhere())
    keys = {"file_key": bytes(16), "nonce": bytes(16)}
    tracemalloc.start()
    try:
        listed = seal_file(source, nowhere, nowhere, PAIR.recipient, path="zeros.age", **keys)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert listed.size > 300 * WHOLE
    assert peak < 1_000_000


def measure(rounds: int = 11, chunks: int = 1024) -> None:
    """Print CPU seconds per GiB as ratio to the bare AEAD, medians of interleaved rounds."""
    aead, plain, nonce = ChaCha20Poly1305(bytes(32)), bytes(CHUNK), bytes(12)
    sealed_chunk, keys = aead.encrypt(nonce, plain, None), {"file_key": bytes(16), "nonce": bytes(16)}
    nowhere, into = cast("BinaryIO", Nowhere()), memoryview(bytearray(16 * CHUNK))

    def bare_seal() -> None:
        for _ in range(chunks):
            aead.encrypt(nonce, plain, None)

    def bare_open() -> None:
        for _ in range(chunks):
            aead.decrypt(nonce, sealed_chunk, None)

    def age_seal() -> None:
        age.seal(cast("BinaryIO", Zeros(chunks * CHUNK)), nowhere, PAIR.recipient, **keys)

    def listed_seal() -> None:
        seal_file(cast("BinaryIO", Zeros(chunks * CHUNK)), nowhere, nowhere, PAIR.recipient, path="a", **keys)

    with tempfile.TemporaryDirectory() as folder:
        made = Set(Path(folder), bytes(chunks * CHUNK))

        def opened() -> None:
            with made.open() as sealed:
                while sealed.readinto(into):
                    pass

        def opened_random() -> None:
            with made.open() as sealed:
                for at in range(chunks):
                    sealed.read_at(at * 7919 % chunks * CHUNK, into[:1])

        subjects = [bare_seal, age_seal, listed_seal, bare_open, opened, opened_random]
        spent: dict[str, list[float]] = {each.__name__: [] for each in subjects}
        for _ in range(rounds):
            for each in subjects:
                before = time.process_time()
                each()
                spent[each.__name__].append(time.process_time() - before)
    for name, seconds in spent.items():
        bare = spent["bare_seal" if "seal" in name else "bare_open"]
        ratio = statistics.median(mine / other for mine, other in zip(seconds, bare, strict=True))
        speed = chunks * CHUNK / statistics.median(seconds) / 1e6
        print(f"{name:14} {speed:6.0f} MB/s of CPU time, {ratio:.2f} times the bare AEAD's, {rounds} rounds")


if __name__ == "__main__":
    measure()
