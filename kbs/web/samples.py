"""Figures of many processes in one answer: each worker leaves its samples in a file, the web process reads all.

A file that is older than a few reports is of a worker that is gone or stuck; it counts as not up.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

__all__ = ["FRESH_MS", "Workers", "encode", "fresh_workers"]

FRESH_MS = 10_000


def encode(registry: CollectorRegistry) -> bytes:
    """All samples of a registry, as they lie in a worker's file."""
    families = [
        {
            "name": family.name,
            "type": family.type,
            "text": family.documentation,
            "samples": [[s.name, s.labels, s.value] for s in family.samples if not s.name.endswith("_created")],
        }
        for family in registry.collect()
    ]
    return json.dumps(families).encode()


def fresh_workers(directory: Path, now: int) -> dict[str, bool]:
    """Each worker that ever left a file, and whether it did so just now; `now` in ms since 1970."""
    found = {}
    for path in sorted(directory.glob("worker-*.json")):
        age = now - path.stat().st_mtime_ns // 1_000_000
        found[path.stem.removeprefix("worker-")] = age <= FRESH_MS
    return found


class Workers(Collector):
    """The samples of every worker that is up, each with the label `worker`."""

    def __init__(self, directory: Path, clock: Callable[[], int]) -> None:
        self._directory = directory
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        """Families in which all workers' samples stand together."""
        up = Metric("sealgate_worker_up", "1 if the worker reported within ten seconds.", "gauge")
        families: dict[str, Metric] = {}
        for worker, fresh in fresh_workers(self._directory, self._clock()).items():
            up.add_sample("sealgate_worker_up", {"worker": worker}, float(fresh))
            if not fresh:
                continue
            for family in self._read(worker):
                metric = families.setdefault(family["name"], Metric(family["name"], family["text"], family["type"]))
                for name, labels, value in family["samples"]:
                    metric.add_sample(name, {**labels, "worker": worker}, value)
        yield up
        yield from families.values()

    def _read(self, worker: str) -> list[dict[str, Any]]:
        try:
            found: list[dict[str, Any]] = json.loads((self._directory / f"worker-{worker}.json").read_bytes())
        except (OSError, ValueError):
            return []  # it was just replaced, or it is gone
        return found
