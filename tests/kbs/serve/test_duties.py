"""What workers do beside serving, and what they are handed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import threading
import time
from pathlib import Path

import pytest

from kbs.custody.root import HeldRoot
from kbs.custody.secret import Secret
from kbs.serve.child import Handoff, announce, receive, watch_life
from kbs.serve.duties import watch_lag
from kbs.serve.metrics import Meters
from tests.kbs.serve.deployment import Hands


def _handoff(raw: bytes = b"[deployment]\n") -> Handoff:
    root = HeldRoot(Secret(bytes(range(32))))
    return Handoff(raw=raw, path=Path("/etc/b.toml"), root=root, index=3, workload_port=1, people_port=2)


def test_what_is_handed_down_arrives_whole() -> None:
    handed = _handoff(b"# \xc3\xa9\n" * 20_000)  # more than a pipe holds
    reading, writing = os.pipe()
    handing = threading.Thread(target=_write_all, args=(writing, handed.line()))
    handing.start()
    got = receive(reading)
    handing.join()
    os.close(reading)
    os.close(writing)
    assert (got.raw, got.path, got.index) == (handed.raw, handed.path, 3)
    assert (got.workload_port, got.people_port) == (1, 2)
    assert got.root.key == handed.root.key


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def test_a_handoff_shows_no_root_key() -> None:
    handed = _handoff()
    assert handed.root.key.reveal().hex() not in repr(handed)
    assert "HeldRoot" in repr(handed.root)


@pytest.mark.parametrize("data", [b"", b"{", b'{"config": "", "path": "x"'])
def test_a_supervisor_that_ends_before_its_line(data: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    reading, writing = os.pipe()
    os.write(writing, data)
    os.close(writing)
    with pytest.raises(ValueError, match="ended before"):
        receive(reading)
    hands = Hands(now=0)
    assert hands.run("worker", "--life-fd", str(reading), "--status-fd", "1")[0] == 2
    assert "started by `sealgate-broker serve` alone" in capsys.readouterr().err
    os.close(reading)


async def test_a_child_lives_as_long_as_its_supervisor() -> None:
    reading, writing = os.pipe()
    stopped = asyncio.Event()
    watch_life(reading, stopped.set)
    os.write(writing, b"x")  # a word is not the end
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(stopped.wait(), 0.05)
    os.close(writing)
    await asyncio.wait_for(stopped.wait(), 5)
    os.close(reading)


def test_an_announcement_is_one_line_and_then_the_end() -> None:
    reading, writing = os.pipe()
    announce(writing, {"workload": 8443})
    with os.fdopen(reading, "rb") as pipe:
        assert json.loads(pipe.read()) == {"workload": 8443}


async def test_a_loop_that_is_held_up_is_counted_and_said(caplog: pytest.LogCaptureFixture) -> None:
    meters = Meters()
    watching = asyncio.create_task(watch_lag(meters, 40))
    await asyncio.sleep(0)
    end = time.perf_counter() + 0.2
    while time.perf_counter() < end:  # nobody else gets a turn
        pass
    for _ in range(5):
        await asyncio.sleep(0)
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching
    value = meters.registry.get_sample_value
    assert (value("sealgate_loop_stalls_total"), value("sealgate_loop_lag_max_seconds") or 0) >= (1, 0.1)
    assert "its bound is 40 ms" in caplog.text
