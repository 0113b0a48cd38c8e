"""What monitors and verifiers read: health by what workers leave, their figures side by side, keys."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from kbs.serve.metrics import Meters
from kbs.web.samples import encode
from kbs.web.status import add_status
from kbs.web.tiles import make_app

NOW = 1_790_000_000_000


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    return folder


def _client(run: Path) -> TestClient:  # type: ignore[type-arg]
    app = make_app(run.parent / "log")
    add_status(app, run, run.parent / "log", lambda: NOW)
    return TestClient(TestServer(app))


def _report(run: Path, worker: int, age_ms: int, meters: Meters | None = None) -> None:
    path = run / f"worker-{worker}.json"
    path.write_bytes(encode((meters or Meters()).registry))
    os.utime(path, ns=((NOW - age_ms) * 1_000_000,) * 2)


# name: (age of each worker's report in ms, HTTP status, what is said)
HEALTH = {
    "all": ([0, 9_000], 200, "serving"),
    "one is late": ([0, 11_000], 200, "degraded"),
    "all are late": ([11_000, 60_000], 503, "down"),
    "there never was one": ([], 200, "publishing"),
}


@pytest.mark.parametrize("name", HEALTH)
async def test_health(name: str, run: Path) -> None:
    ages, status, said = HEALTH[name]
    for worker, age in enumerate(ages):
        _report(run, worker, age)
    async with _client(run) as client:
        answer = await client.get("/healthz")
        document = await answer.json()
    assert (answer.status, document["status"], document["published"]) == (status, said, False)


async def test_the_figures_of_all_workers(run: Path) -> None:
    for worker in (0, 1, 2):
        meters = Meters()
        meters.observe("KeyRelease/ReleaseKeys", "OK", 0.003)
        meters.observe("KeyRelease/ReleaseKeys", "ACCESS_DENIED", 0.003)
        meters.lag(0.3, stalled=True)
        meters.lag(0.001, stalled=False)
        meters.log(7, -5_000)
        _report(run, worker, 60_000 if worker == 2 else 0, meters)
    (run / "worker-3.json").write_text("{")  # cut short
    os.utime(run / "worker-3.json", ns=(NOW * 1_000_000,) * 2)
    async with _client(run) as client:
        answer = await client.get("/metrics")
        text = await answer.text()
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    samples = {
        (s.name, *sorted(s.labels.items())): s.value
        for family in text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
        for s in family.samples
    }
    one = ("worker", "1")
    denied = (("method", "KeyRelease/ReleaseKeys"), ("reason", "ACCESS_DENIED"))
    assert samples["sealgate_calls_total", *denied, one] == 1
    assert samples["sealgate_call_seconds_count", denied[0], one] == 2
    assert samples["sealgate_loop_lag_max_seconds", one] == 0.3
    assert samples["sealgate_loop_lag_seconds", one] == 0.001
    assert samples["sealgate_loop_stalls_total", one] == 1
    assert samples["sealgate_log_ahead_seconds", one] == 0
    up = {worker: samples["sealgate_worker_up", ("worker", worker)] for worker in "0123"}
    assert up == {"0": 1, "1": 1, "2": 0, "3": 1}
    assert not any(("worker", "2") in name for name in samples if name[0] != "sealgate_worker_up")


async def test_keys(run: Path) -> None:
    async with _client(run) as client:
        assert (await client.get("/.well-known/jwks.json")).status == 404
        (run / "jwks.json").write_text(json.dumps({"keys": []}))
        answer = await client.get("/.well-known/jwks.json")
        assert (answer.status, await answer.json(content_type=None)) == (200, {"keys": []})
