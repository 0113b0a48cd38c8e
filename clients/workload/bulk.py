"""Whole files at the speed of the AEAD: many chunks at a time, on several processors.

Chunks are independent of each other, so that any worker may take any of them; a file's layout is known from its size.
The AEAD, the hash and the kernel release the interpreter's lock. A file appears under its name when it is whole and on
the disk, never before. What was interrupted is made anew under another file key: continuing one would need the key to
be kept, and a source that changed meanwhile would be sealed twice under one nonce.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock, Thread

from attest.tlog.merkle import HASH_SIZE, leaf_hash
from clients.errors import Usage
from clients.workload import age
from clients.workload.age_recipient import Recipient
from clients.workload.manifest import TREE_SUFFIX, Listed
from clients.workload.sealed import root_of_tree
from clients.workload.sealed_file import SealedFile

__all__ = ["BATCH", "Told", "check_whole", "open_whole", "seal_whole"]

BATCH = 16  # chunks that a worker takes at a time
_WHOLE = age.CHUNK + age.TAG

Told = Callable[[int], object]
Step = Callable[[int, int], int]


def seal_whole(
    source: Path,
    target: Path,
    recipient: Recipient,
    *,
    path: str,
    file_key: bytes,
    nonce: bytes,
    exact: bool,
    workers: int,
    told: Told,
) -> Listed:
    """Seal the file `source` to `target`; returns its line of the manifest, with a root if `exact`.

    `file_key` and `nonce` as `Sealer` demands. `told` is called with the bytes of plaintext done since the last call,
    from any worker. Raises Usage if `source` changes meanwhile, OSError; `target` is then not there.
    """
    sealer = age.Sealer(recipient, file_key=file_key, nonce=nonce)
    start = len(sealer.first)
    tree_path = target.with_name(f"{target.name}{TREE_SUFFIX}")
    with source.open("rb", buffering=0) as plain, _appearing(target, 0o666) as sealed:
        before = os.fstat(plain.fileno())
        chunks = max(-(-before.st_size // age.CHUNK), 1)
        _write(sealed, sealer.first, 0)
        header, root = hashlib.sha256(sealer.first).digest(), b""
        with _appearing(tree_path, 0o666) if exact else _nothing() as tree:
            if tree is not None:
                _write(tree, leaf_hash(sealer.first), 0)

            def make() -> Step:
                return _sealing(plain.fileno(), sealed, tree, sealer, start=start, size=before.st_size, chunks=chunks)

            _work(chunks, workers, make, told)
            if tree is not None:
                with os.fdopen(os.dup(tree), "rb") as hashes:
                    hashes.seek(0)
                    root = root_of_tree(hashes)
            after = os.fstat(plain.fileno())
            if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
                raise Usage(f"{source} changed while it was sealed; seal it again when nothing writes to it")
    return Listed(path=path, size=start + before.st_size + chunks * age.TAG, header=header, root=root)


def open_whole(sealed: SealedFile, target: Path, *, workers: int, told: Told) -> int:
    """Write the plaintext of `sealed` to `target`, which only its owner can read; returns its size.

    Every chunk is checked before it is written, and `target` appears when all of them are. Raises as `read_at` does.
    """
    with _appearing(target, 0o600) as plain:
        _read(sealed, plain, workers, told)
    return sealed.size


def check_whole(sealed: SealedFile, *, workers: int, told: Told) -> int:
    """Open every chunk and keep none; returns the plaintext's size. Raises as `read_at` does."""
    _read(sealed, None, workers, told)
    return sealed.size


def _read(sealed: SealedFile, plain: int | None, workers: int, told: Told) -> None:
    def make() -> Step:
        buffer = memoryview(bytearray(BATCH * age.CHUNK))

        def step(first: int, count: int) -> int:
            offset = first * age.CHUNK
            size = sealed.read_at(offset, buffer[: count * age.CHUNK])
            if plain is not None:
                _write(plain, buffer[:size], offset)
            return size

        return step

    _work(max(-(-sealed.size // age.CHUNK), 1), workers, make, told)


def _sealing(
    plain: int, sealed: int, tree: int | None, sealer: age.Sealer, *, start: int, size: int, chunks: int
) -> Step:
    """One worker's step, with buffers of its own."""
    source, target = memoryview(bytearray(BATCH * age.CHUNK)), memoryview(bytearray(BATCH * _WHOLE))
    whole = [
        (source[at * age.CHUNK : (at + 1) * age.CHUNK], target[at * _WHOLE : (at + 1) * _WHOLE]) for at in range(BATCH)
    ]

    def step(first: int, count: int) -> int:
        offset = first * age.CHUNK
        wanted = min(count * age.CHUNK, size - offset)
        if os.preadv(plain, [source[:wanted]], offset) != wanted:
            raise Usage("a file became shorter while it was sealed; seal it again when nothing writes to it")
        for at in range(count):
            chunk, into = whole[at]
            last = first + at == chunks - 1
            if last:
                chunk = source[at * age.CHUNK : wanted]
                into = target[at * _WHOLE : at * _WHOLE + len(chunk) + age.TAG]
            sealer.seal_into(first + at, chunk, into, last=last)
        done = target[: wanted + count * age.TAG]
        _write(sealed, done, start + first * _WHOLE)
        if tree is not None:
            hashes = b"".join(leaf_hash(bytes(done[at * _WHOLE : (at + 1) * _WHOLE])) for at in range(count))
            _write(tree, hashes, (1 + first) * HASH_SIZE)
        return wanted

    return step


def _work(chunks: int, workers: int, make: Callable[[], Step], told: Told) -> None:
    """Every chunk once, in batches, by so many workers; raises what the first that failed raised."""
    batches, lock, failed = iter(range(0, chunks, BATCH)), Lock(), list[BaseException]()

    def run() -> None:
        try:
            step = make()
            while not failed:
                with lock:
                    first = next(batches, None)
                if first is None:
                    return
                told(step(first, min(BATCH, chunks - first)))
        except BaseException as error:  # noqa: BLE001  # handed to the caller below
            failed.append(error)

    threads = [Thread(target=run, daemon=True) for _ in range(min(workers, -(-chunks // BATCH)) - 1)]
    try:
        for each in threads:
            each.start()
        run()
    except BaseException as error:  # noqa: BLE001  # Ctrl-C between two lines: the others have to end first
        failed.append(error)
    _join(threads, failed)
    if failed:
        raise failed[0]


def _join(threads: Sequence[Thread], failed: list[BaseException]) -> None:
    """Until all have ended, whatever comes meanwhile: their descriptors are closed next, and perhaps used again."""
    for each in threads:
        while each.is_alive():
            try:
                each.join()
            except BaseException as error:  # noqa: BLE001  # Ctrl-C; they see it in `failed`
                failed.append(error)


@contextmanager
def _appearing(path: Path, mode: int) -> Iterator[int]:
    """A new file that gets its name when the block ends well; what an earlier try left is removed.

    Raises FileExistsError if there is one of that name already.
    """
    if path.exists():
        raise FileExistsError(17, "it exists already", str(path))
    half = path.with_name(f".{path.name}.half")
    half.unlink(missing_ok=True)
    descriptor = -1
    try:
        descriptor = os.open(half, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, mode)
        yield descriptor
        os.fsync(descriptor)
        half.rename(path)
    except BaseException:
        half.unlink(missing_ok=True)
        raise
    finally:
        if descriptor >= 0:
            os.close(descriptor)


@contextmanager
def _nothing() -> Iterator[None]:
    yield None


def _write(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    """All of `data`, however little each write takes."""
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written
