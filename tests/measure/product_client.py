"""The measures of sealing, of reading in place and of the workload's client."""

from __future__ import annotations

import functools
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from clients.workload import age, bulk
from clients.workload.age_recipient import KeyPair
from clients.workload.manifest import Manifest
from clients.workload.sealed import open_sealed
from tests.makers.sealed import sparse
from tests.measure import product_boot
from tests.measure.table import Measure, Result

__all__ = ["MEASURES"]

_ASSET = "tenants/acme/assets/llm"
_PAIR = KeyPair.generate(bytes(range(32)))
_SIZE = 256 << 20


@contextmanager
def _folder() -> Iterator[Path]:
    """In memory where there is such a place, so that no disk is measured."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as name:
        yield Path(name)


@functools.cache
def _plain() -> memoryview:
    """What is sealed, in memory: not one hot chunk over and over, which no caller has."""
    return memoryview(b"".join(os.urandom(1 << 20) for _ in range(_SIZE >> 20)))


def _bare() -> float:
    """CPU seconds of the bare AEAD over the very bytes that are sealed, in chunks."""
    aead, plain, nonce = ChaCha20Poly1305(bytes(32)), _plain(), bytes(12)
    before = time.process_time()
    for at in range(0, _SIZE, age.CHUNK):
        aead.encrypt(nonce, plain[at : at + age.CHUNK], None)
    return time.process_time() - before


def _seal(folder: Path, workers: int, *, exact: bool = False) -> None:
    target = folder / "sealed"
    keys = {"file_key": os.urandom(16), "nonce": os.urandom(16)}
    line = bulk.seal_whole(
        folder / "plain", target, _PAIR.recipient,
        path="sealed", exact=exact, workers=workers, told=lambda _: None, **keys,
    )  # fmt: skip
    (folder / "manifest.json").write_bytes(Manifest(asset=_ASSET, files=(line,)).encode())


def _open(folder: Path, workers: int) -> None:
    manifest = Manifest.parse((folder / "manifest.json").read_bytes())
    with open_sealed(folder, "sealed", manifest=manifest, identity=_PAIR) as sealed:
        bulk.check_whole(sealed, workers=workers, told=lambda _: None)


@contextmanager
def _discarding() -> Iterator[None]:
    """What is sealed is dropped after its first piece: the cost of a file system's pages is not sealing's."""
    write = bulk._write

    def first_alone(descriptor: int, data: bytes | memoryview, offset: int) -> None:
        if offset == 0:
            write(descriptor, data, offset)

    bulk._write = first_alone
    try:
        yield
    finally:
        bulk._write = write


def _source(folder: Path) -> None:
    (folder / "plain").write_bytes(_plain())


def _share(work: Callable[[], None], rounds: int) -> float:
    """The median of bare AEAD over `work`, by CPU time, interleaved."""
    ratios = []
    for _ in range(rounds):
        bare = _bare()
        before = time.process_time()
        work()
        ratios.append(bare / (time.process_time() - before))
    return statistics.median(ratios)


def _sealing_share(long: bool) -> Result:
    with _folder() as folder, _discarding():
        _source(folder)

        def work() -> None:
            (folder / "sealed").unlink(missing_ok=True)
            _seal(folder, 1)

        share = _share(work, 15 if long else 7)
    return Result(figure=f"{share:.2f}", met=share >= 0.7)


def _opening_share(long: bool) -> Result:
    with _folder() as folder:
        _source(folder)
        _seal(folder, 1)
        share = _share(lambda: _open(folder, 1), 15 if long else 7)
    return Result(figure=f"{share:.2f}", met=share >= 0.7)


def _written_share(long: bool) -> Result:
    """With the sealed file kept: beside it what copying the plaintext costs."""
    with _folder() as folder:
        _source(folder)

        def work() -> None:
            (folder / "sealed").unlink(missing_ok=True)
            _seal(folder, 1)

        share = _share(work, 15 if long else 7)
        exact = _share(lambda: _seal_exact(folder), 3)
    return Result(figure=f"{share:.2f}; with --exact {exact:.2f}", met=None)


def _seal_exact(folder: Path) -> None:
    for name in ("sealed", "sealed.tree"):
        (folder / name).unlink(missing_ok=True)
    _seal(folder, 1, exact=True)


def _two_bare() -> float:
    """How many times as fast two threads of bare AEAD are as one: what this machine has free just now."""
    before = time.perf_counter()
    _bare()
    middle = time.perf_counter()
    threads = [Thread(target=_bare) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return 2 * (middle - before) / (time.perf_counter() - middle)


def _two(long: bool) -> Result:
    """Wall clock of one worker over that of two, for both directions; and for the AEAD alone, interleaved."""
    sealing, opening, free = [], [], []
    with _folder() as folder:
        _source(folder)
        for _ in range(15 if long else 7):
            spent = []
            for workers in (1, 2):
                (folder / "sealed").unlink(missing_ok=True)
                before = time.perf_counter()
                _seal(folder, workers)
                middle = time.perf_counter()
                _open(folder, workers)
                spent.append((middle - before, time.perf_counter() - middle))
            sealing.append(spent[0][0] / spent[1][0])
            opening.append(spent[0][1] / spent[1][1])
            free.append(_two_bare())
    seal, opened, bare = map(statistics.median, (sealing, opening, free))
    enough = min(1.6, 0.8 * bare) if bare > 1.2 else 1.6  # a machine that is not free says nothing
    figure = f"seal {seal:.2f}, open {opened:.2f}; two bare AEADs {bare:.2f}"
    return Result(figure=figure, met=min(seal, opened) >= enough)


def _random(long: bool) -> Result:
    """64 KiB that begin inside a chunk: two chunks are opened."""
    size, count = 100 << 30, 1_000 if long else 200
    starts = [7_919 * n * 131 % (size // age.CHUNK - 2) for n in range(count)]
    chunk = os.urandom(age.CHUNK)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        manifest = sparse(folder / "big", size, {at + k: chunk for at in starts for k in (0, 1)}, _PAIR, _ASSET)
        before = time.perf_counter()
        with open_sealed(folder, "big", manifest=manifest, identity=_PAIR) as sealed:
            opened = time.perf_counter() - before
            into, spent, busy = memoryview(bytearray(age.CHUNK)), [], []
            for at in starts:
                before, cpu = time.perf_counter(), time.thread_time()
                sealed.read_at(at * age.CHUNK + 4_321, into)
                spent.append(time.perf_counter() - before)
                busy.append(time.thread_time() - cpu)
    half, late = statistics.median(spent) * 1e3, sorted(busy)[-len(busy) // 100] * 1e3
    figure = f"median {half:.2f} ms, p99 of CPU time {late:.2f} ms, opening the file {opened * 1e3:.1f} ms"
    return Result(figure=figure, met=max(half, late) < 1)


MEASURES = (
    Measure(name="seal, one core, over the bare AEAD", target="at least 0.7 (output discarded)", take=_sealing_share),
    Measure(name="open, one core, over the bare AEAD", target="at least 0.7 (every byte read)", take=_opening_share),
    Measure(name="seal into a file in memory, over the bare AEAD", target="printed", take=_written_share),
    Measure(
        name="seal and open, two workers over one",
        target="at least 1.6 each, or 0.8 of what two bare AEADs get",
        take=_two,
    ),
    Measure(name="64 KiB at a random offset of 100 GB", target="median, and p99 of CPU time, below 1 ms", take=_random),
    *product_boot.MEASURES,
)
