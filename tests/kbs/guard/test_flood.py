"""Floods of refusals before a decision: nothing uncounted, constant memory, one entry a window."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import grpc
import pytest

from attest.tlog.entry import parse_leaf
from attest.tlog.merkle import leaf_hash, root_of
from kbs.guard.flood import FloodMeter
from kbs.serve.service import log_flood
from tests.makers.site import SimulatedSite

# name: (refusals, limit, ms since the start, is the window closed as a flood)
WINDOWS: dict[str, tuple[int, int, int, bool]] = {
    "none": (0, 10, 60_000, False),
    "at the limit": (10, 10, 60_000, False),
    "above it": (11, 10, 60_000, True),
    "above it, but not over yet": (11, 10, 59_999, False),
    "many": (1_000, 10, 90_000, True),
    "the clock went back": (11, 10, -3_600_000, False),
}


@pytest.mark.parametrize("name", WINDOWS)
def test_windows(name: str) -> None:
    refusals, limit, later, closed = WINDOWS[name]
    meter = FloodMeter(1_000, limit=limit)
    requests = [b"request %d" % n for n in range(refusals)]
    for number, request in enumerate(requests):
        meter.count("A" if number % 3 else "B", request)
    flood = meter.close_window(1_000 + later)
    assert (flood is not None) is closed
    if flood is not None:
        assert flood.total == refusals
        assert dict(flood.counts)["B"] == -(-refusals // 3)
        assert flood.root == root_of([leaf_hash(hashlib.sha256(r).digest()) for r in requests])
        assert meter.close_window(1_000 + 2 * later) is None


async def test_a_flood_is_one_entry_and_stores_nothing_else(site: SimulatedSite) -> None:
    async with site.serve() as (running, listeners):
        before = running.reader.head().size
        credentials = grpc.ssl_channel_credentials(site.broker_ca.pem)
        async with grpc.aio.secure_channel(f"127.0.0.1:{listeners.workload_port}", credentials) as channel:
            call: Any = channel.unary_unary("/sealgate.v1.KeyRelease/ReleaseKeys")
            answers: list[Any] = []
            for _ in range(7):  # below the limit of streams on one connection
                calls = [call(b"\xff" * 40, timeout=20) for _ in range(100)]
                answers += await asyncio.gather(*calls, return_exceptions=True)
        assert {a.code() for a in answers if isinstance(a, grpc.aio.AioRpcError)} == {grpc.StatusCode.INVALID_ARGUMENT}
        assert running.reader.head().size == before
        await log_flood(running, running.broker.clock() + 60_000)
        assert running.reader.head().size == before + 1
        body: Any = parse_leaf(running.reader.entries(before, before + 1)[0][1]).body
    assert (body["type"], body["total"]) == ("refusal.batch", 700)
    assert body["counts"] == [{"reason": "REQUEST_MALFORMED", "count": 700}]
