"""The measures of log and store."""

from __future__ import annotations

import asyncio
import subprocess
import sys

from tests.bench.append import append_share, cost_by_size, latency_at_half_load
from tests.bench.audit import bench_audit
from tests.measure.table import Measure, Result
from tests.soak.crash import POINTS, soak
from tests.soak.writers import write_together

__all__ = ["MEASURES"]


def _pytest(*arguments: str) -> Result:
    """Runs tests; met if some ran and none failed or was skipped."""
    command = [sys.executable, "-m", "pytest", "--no-header", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1_200)
    last = (done.stdout.strip().splitlines() or ["nothing ran"])[-1]
    return Result(figure=last, met=done.returncode == 0 and "passed" in last and "skipped" not in last)


def _attacks(_long: bool) -> Result:
    return _pytest(
        "tests/clients/test_audit.py",
        "tests/clients/test_audit_attacks.py",
        "tests/clients/test_verifier.py",
        "tests/attest/tlog",
    )


def _kills(long: bool) -> Result:
    rounds = 20 if long else 3
    found = asyncio.run(soak(rounds))
    figure = (
        f"{found.kills} kills at {len(POINTS)} points, {found.requests} requests of which {found.unanswered} were "
        f"unanswered when it died; {len(found.wrongs)} wrong {found.wrongs[:3]}"
    )
    return Result(figure=figure, met=not found.wrongs and found.kills == rounds * len(POINTS))


def _writers(long: bool) -> Result:
    found = write_together(8, 100_000 if long else 2_000)
    figure = f"{found.entries} entries in {found.batches} batches; {len(found.wrongs)} wrong {list(found.wrongs[:3])}"
    return Result(figure=figure, met=not found.wrongs)


def _faults(_long: bool) -> Result:
    return _pytest("tests/kbs_ops", "tests/kbs/store")


def _share(long: bool) -> Result:
    share, rate = append_share(15 if long else 9)
    return Result(
        figure=f"{share:.1%} of the CPU of a release, at {rate:.0f} releases per CPU second", met=share < 0.10
    )


def _latency(long: bool) -> Result:
    rate, median, p99 = latency_at_half_load(20.0 if long else 6.0)
    return Result(figure=f"p50 {median:.1f} ms, p99 {p99:.1f} ms at {rate:.0f} per second", met=p99 < 60)


def _audit(long: bool) -> Result:
    rate, ratio, peak = bench_audit(200_000 if long else 20_000, 7)
    figure = f"{rate:.0f} entries per CPU second, {ratio:.2f} times SHA-256 and json.loads alone, peak {peak:.1f} MiB"
    return Result(figure=figure, met=rate >= 20_000)


def _growth(long: bool) -> Result:
    large = 1_000_000 if long else 100_000
    small_us, large_us = cost_by_size(large)
    ratio = large_us / small_us
    figure = f"{small_us:.0f} us at 10^3 entries, {large_us:.0f} us at {large}: ratio {ratio:.2f}"
    return Result(figure=figure, met=ratio <= 1.15)


MEASURES = (
    Measure(name="attacks on the log", target="each with the detection that it states", take=_attacks),
    Measure(name="kill -9 under load", target="no key without its entry, no fork, no reply lost", take=_kills),
    Measure(name="eight processes write at once", target="contiguous, one root, no challenge twice", take=_writers),
    Measure(name="disk, locks, clocks, files", target="a named error, no key, back by itself or frozen", take=_faults),
    Measure(name="append", target="under 10 % of the CPU of a release", take=_share),
    Measure(name="release at half load", target="p99 under 60 ms", take=_latency),
    Measure(name="audit verify V1 to V4", target="at least 20,000 entries per second and core", take=_audit),
    Measure(name="a release in a long log (short form: 10^5 entries)", target="within 15 %", take=_growth),
)
