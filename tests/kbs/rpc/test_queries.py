"""Questions are answered with an entry each, and a loop of them cannot fill the log; none is answered without one."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from google.protobuf.message import Message
from sealgate.v1.leases_pb2 import ListLeasesRequest, ListLeasesResponse

from attest.tlog.entry import parse_leaf
from kbs.guard.queries import QueryMeter
from kbs.model.refusal import Slowed
from kbs.rpc import leases
from kbs.serve.service import log_refused_calls
from kbs.serve.wiring import Running
from tests.kbs.rpc.called import enrol
from tests.makers.site import SimulatedSite

BURST = 4


class Told:
    """The leases of a running site, counting what is read of them."""

    def __init__(self, running: Running) -> None:
        self._leases = running.leases
        self.read = 0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._leases, name)

        def reading(*args: Any, **kwargs: Any) -> Any:
            self.read += 1
            return found(*args, **kwargs)

        return reading


class Asking:
    """Whoever has the key of that digest lists leases."""

    def __init__(self, running: Running, name: str, told: Told) -> None:
        self._digest = name.encode().ljust(32, b"-")
        self._list = leases.methods(running.broker, told, running.receipts)["ListLeases"]

    def key_digest(self) -> bytes:
        return self._digest

    async def __call__(self, **fields: Any) -> Message:
        request = ListLeasesRequest(parent="tenants/acme", **fields)
        return ListLeasesResponse.FromString(await self._list(request.SerializeToString(), self))  # type: ignore[arg-type]


@pytest_asyncio.fixture
async def running(site: SimulatedSite) -> AsyncIterator[Running]:
    with site.open() as opened:
        yield opened


async def test_a_loop_of_questions_is_bounded_counted_and_told_to_wait(running: Running) -> None:
    moment = [0]
    broker = dataclasses.replace(
        running.broker, queries=QueryMeter(burst=BURST, every_ms=1_000), monotonic=lambda: moment[0]
    )
    running = dataclasses.replace(running, broker=broker)
    for name in ("eve", "bob"):
        await enrol(running, name, "auditor")
    told = Told(running)
    eve, bob = Asking(running, "eve", told), Asking(running, "bob", told)
    size = running.reader.head().size
    for number in range(BURST):  # the same or another: each has its entry
        await eve(page_size=1 + number % 2)
    read = told.read
    for number in range(30):
        with pytest.raises(Slowed) as caught:
            await eve(page_size=1 + number)
        assert (caught.value.reason, caught.value.retry_after) == ("RATE_LIMITED", 1.0)
    assert told.read == read  # what is not answered is not read either
    assert running.reader.head().size == size + BURST
    await bob()  # nobody else's allowance is touched
    moment[0] = 1_000
    await eve()
    with pytest.raises(Slowed):
        await eve()
    assert running.reader.head().size == size + BURST + 2
    await log_refused_calls(running, running.broker.clock() + 60_000)
    bodies: list[Any] = [parse_leaf(leaf).body for leaf in running.reader.leaves(size, running.reader.head().size)]
    *each, batch = bodies
    assert {entry["type"] for entry in each} == {"query.performed"}
    assert (batch["type"], batch["actor"], batch["total"]) == ("access.refused-batch", each[0]["actor"], 31)
    assert batch["counts"] == [{"count": 31, "reason": "RATE_LIMITED"}]


async def test_a_question_that_cannot_be_logged_is_not_answered(running: Running) -> None:
    class Full:
        async def commit(self, units: object) -> list[object]:
            del units
            raise OSError("no space left")

    broken = dataclasses.replace(running, broker=dataclasses.replace(running.broker, store=Full()))  # type: ignore[arg-type]
    await enrol(running, "eve", "auditor")
    told = Told(running)
    with pytest.raises(OSError, match="no space left"):
        await Asking(broken, "eve", told)()
    assert told.read == 0
