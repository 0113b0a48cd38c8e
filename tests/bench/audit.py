"""An audit (V1 to V6, with a saved state) against its bare parts: SHA-256 and `json.loads` of the same entries.

CPU time of the process, sides interleaved, medians. `python -m tests.bench.audit`
"""

from __future__ import annotations

import hashlib
import json
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

from clients.auditor.report import Verdict
from clients.auditor.source import Directory
from clients.auditor.verify import verify
from tests.makers.log import MadeLog, make_log

__all__ = ["bench", "bench_audit"]


def bench(entries: int = 20_000, rounds: int = 7) -> str:
    """One line with the medians."""
    rate, ratio, peak = bench_audit(entries, rounds)
    return (
        f"{rate:,.0f} entries/s of CPU, {ratio:.2f} times the cost of SHA-256 and "
        f"json.loads alone, peak {peak:.1f} MiB ({rounds} rounds of {entries} entries)"
    )


def bench_audit(entries: int = 20_000, rounds: int = 7) -> tuple[float, float, float]:
    """Entries per second of CPU, the ratio to the bare parts (medians), and the peak of what Python allocates, MiB."""
    ours, bare, peak = _measure(entries, rounds)
    ratio = statistics.median(a / b for a, b in zip(ours, bare, strict=True))
    return entries / statistics.median(ours), ratio, peak


def _measure(entries: int, rounds: int) -> tuple[list[float], list[float], float]:
    with tempfile.TemporaryDirectory() as name:
        log = make_log(Path(name), entries)
        saved = log.checkpoint(entries // 2)
        sides = ([], [])  # type: tuple[list[float], list[float]]
        for number in range(rounds + 1):
            ours = _spent(lambda: _audit(log, saved))
            bare = _spent(lambda: _bare(log))
            if number:  # the first warms up
                sides[0].append(ours)
                sides[1].append(bare)
        tracemalloc.start()
        _audit(log, saved)
        peak = tracemalloc.get_traced_memory()[1] / 2**20
        tracemalloc.stop()
    return *sides, peak


def _spent(run: Callable[[], None]) -> float:
    started = time.process_time()
    run()
    return time.process_time() - started


def _audit(log: MadeLog, saved: bytes) -> None:
    report = verify(Directory(log.directory), log.trust, saved=saved)
    if report.verdict is not Verdict.OK:
        raise ValueError(report.text())


def _bare(log: MadeLog) -> None:
    for leaf in log.leaves:
        hashlib.sha256(b"\0" + leaf).digest()
        json.loads(leaf)


if __name__ == "__main__":
    print(f"audit        {bench()}")
