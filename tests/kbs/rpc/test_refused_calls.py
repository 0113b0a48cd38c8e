"""Somebody who is refused in a loop, by mistake or with a stolen certificate, cannot fill the log. It is counted."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from sealgate.v1.catalog_pb2 import Asset, GetAssetRequest

from attest.tlog.entry import parse_leaf
from attest.tlog.merkle import leaf_hash, root_of
from kbs.model.refusal import Refused, Slowed
from kbs.serve.service import log_refused_calls
from kbs.serve.wiring import Running
from tests.kbs.rpc.called import People, enrol
from tests.makers.site import ASSET, SimulatedSite

BURST, LOOP = 20, 200


@pytest_asyncio.fixture
async def running(site: SimulatedSite) -> AsyncIterator[Running]:
    with site.open() as opened:
        yield opened


async def refused(person: People, name: str = "tenants/umbrella/assets/x") -> Refused:
    with pytest.raises(Refused) as caught:
        await person("GetAsset", GetAssetRequest(name=name), Asset)
    return caught.value


def bodies(running: Running, start: int) -> list[Any]:
    return [parse_leaf(leaf).body for leaf in running.reader.leaves(start, running.reader.head().size)]


async def test_a_loop_of_refusals_is_bounded_counted_and_told_to_wait(running: Running) -> None:
    eve = await enrol(running, "eve", "auditor")
    bob = await enrol(running, "bob", "auditor")
    size = running.reader.head().size
    answers = [await refused(eve) for _ in range(LOOP)]
    assert [a.reason for a in answers[:BURST]] == ["ACCESS_DENIED"] * BURST
    assert all(a.ticket for a in answers[:BURST])
    assert all(isinstance(a, Slowed) and a.retry_after > 0 and not a.ticket for a in answers[BURST:])
    assert running.reader.head().size == size + BURST
    # nobody else's allowance, and nothing that she may do, is touched
    assert (await refused(bob)).ticket
    assert (await eve("GetAsset", GetAssetRequest(name=ASSET), Asset)).name == ASSET
    await log_refused_calls(running, running.broker.clock() + 60_000)
    *each, batch = bodies(running, size)
    assert {e["type"] for e in each} == {"access.refused"}
    assert (batch["type"], batch["actor"]) == ("access.refused-batch", each[0]["actor"])
    assert (batch["total"], batch["counts"]) == (LOOP - BURST, [{"count": LOOP - BURST, "reason": "ACCESS_DENIED"}])
    document = running.reader.document(size, bytes.fromhex(each[0]["decision_digest"]))
    assert document is not None
    one = leaf_hash(hashlib.sha256(document).digest())
    assert batch["decisions_root"] == root_of([one] * (LOOP - BURST)).hex()
    # once said, it is not said again
    await log_refused_calls(running, running.broker.clock() + 10**9, last=True)
    assert running.reader.head().size == size + BURST + 2


async def test_different_questions_share_the_allowance(running: Running) -> None:
    eve = await enrol(running, "eve", "auditor")
    size = running.reader.head().size
    for number in range(LOOP):
        await refused(eve, f"tenants/umbrella/assets/x{number}")
    assert running.reader.head().size == size + BURST
