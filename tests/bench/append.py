"""What the log costs: its share of a release, its cost when it is long, and how long a release takes under load."""

from __future__ import annotations

import asyncio
import os
import random
import statistics
import tempfile
import time
from pathlib import Path

from kbs.log.calls import query
from kbs.model.unit import Unit, Verdict
from kbs.release.release import release
from kbs.serve.wiring import Running
from tests.makers.site import SimulatedSite, make_site, unslowed
from tests.makers.workload import Workload, build

__all__ = ["append_share", "cost_by_size", "latency_at_half_load"]

_AT_ONCE = 64


def _workloads(site: SimulatedSite, running: Running, count: int) -> list[Workload]:
    return [build(site.chip, running.broker.challenges, running.broker.clock()) for _ in range(count)]


async def _release_all(workloads: list[Workload], running: Running) -> None:
    for first in range(0, len(workloads), _AT_ONCE):
        asks = [w.ask for w in workloads[first : first + _AT_ONCE]]
        await asyncio.gather(*(release(ask, running.broker) for ask in asks))


def append_share(rounds: int = 7) -> tuple[float, float]:
    """(share of the write door's thread in the CPU of a release, releases per second of CPU)."""
    return asyncio.run(_append_share(rounds))


async def _append_share(rounds: int) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as name:
        site = await make_site(Path(name) / "site")
        shares, rates = [], []
        with site.open(repeats=unslowed()) as running:
            for number in range(rounds + 1):
                workloads = _workloads(site, running, 192)
                whole, loop = time.process_time(), time.thread_time()
                await _release_all(workloads, running)
                whole, loop = time.process_time() - whole, time.thread_time() - loop
                if number:  # the first round warms up
                    shares.append((whole - loop) / whole)
                    rates.append(len(workloads) / whole)
    return statistics.median(shares), statistics.median(rates)


def cost_by_size(large: int, rounds: int = 7) -> tuple[float, float]:
    """CPU microseconds of a release in a log of 10^3 entries and in one of `large`."""
    return asyncio.run(_cost_by_size(large, rounds))


async def _cost_by_size(large: int, rounds: int) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as name:
        sites = [await make_site(Path(name) / str(size)) for size in (1_000, large)]
        with sites[0].open(repeats=unslowed()) as small, sites[1].open(repeats=unslowed()) as long:
            await _fill(small, 1_000)
            await _fill(long, large)
            times: list[tuple[float, float]] = []
            for number in range(rounds + 1):
                row = []
                for site, running in ((sites[0], small), (sites[1], long)):
                    workloads = _workloads(site, running, 128)
                    started = time.process_time()
                    await _release_all(workloads, running)
                    row.append((time.process_time() - started) / len(workloads) * 1e6)
                if number:  # the first round warms both sides up
                    times.append((row[0], row[1]))
    return statistics.median(a for a, _ in times), statistics.median(b for _, b in times)


async def _fill(running: Running, size: int) -> None:
    """Entries of no consequence, through the one door there is."""
    while (have := running.reader.head().size) < size:
        units = []
        for _ in range(min(512, size - have)):
            draft = query(
                entry_id=os.urandom(16).hex(),
                tenant="acme",
                actor="person-filler",
                broker=running.broker.identity,
                scope=bytes(32),
            )
            units.append(Unit(verdict=Verdict(draft=draft)))
        await running.door.commit(units)


def latency_at_half_load(seconds: float = 5.0) -> tuple[float, float, float]:
    """(releases per second offered, p50 in ms, p99 in ms) with arrivals at half of what one process can do."""
    return asyncio.run(_latency(seconds))


async def _latency(seconds: float) -> tuple[float, float, float]:
    with tempfile.TemporaryDirectory() as name:
        site = await make_site(Path(name) / "site")
        with site.open(repeats=unslowed()) as running:
            workloads = _workloads(site, running, 512)
            started = time.monotonic()
            await _release_all(workloads, running)
            rate = len(workloads) / (time.monotonic() - started) / 2
            rng, took = random.Random(5), list[float]()
            workloads = _workloads(site, running, int(rate * seconds))

            async def one(workload: Workload) -> None:
                begun = time.monotonic()
                await release(workload.ask, running.broker)
                took.append((time.monotonic() - begun) * 1_000)

            tasks, due = [], time.monotonic()
            for workload in workloads:
                due += rng.expovariate(rate)
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                tasks.append(asyncio.create_task(one(workload)))
            await asyncio.gather(*tasks)
    took.sort()
    return rate, took[len(took) // 2], took[int(len(took) * 0.99)]
