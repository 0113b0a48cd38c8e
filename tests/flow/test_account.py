"""Step 6: ceilings that hold however many ask at once, and repeats that are slowed and never locked."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from attest.tlog.entry import parse_leaf
from kbs.catalog.register import put
from kbs.guard.repeats import RepeatMeter
from kbs.model.refusal import Refused, Slowed
from kbs.release.port import Broker
from kbs.release.release import release
from kbs.serve.wiring import Running
from tests.makers import site as maker
from tests.makers.amd import Chip
from tests.makers.site import ASSET, SimulatedSite
from tests.makers.workload import build, holder_public

LIMIT = 10


async def lower(running: Running, **changed: Any) -> None:
    """The asset's ceilings become these."""
    old = running.broker.catalogue.current().assets[ASSET]
    document = maker.asset_document(old.content_digest.hex(), **changed)
    change = put("asset", ASSET, document, entry=maker.draft_of(running), replaces=old.digest, assets=(ASSET,))
    await maker.register(running, [change])


async def outcome(chip: Chip, broker: Broker, **changed: Any) -> str:
    """`granted`, or the reason of the refusal."""
    try:
        await release(build(chip, broker.challenges, broker.clock(), **changed).ask, broker)
    except Refused as refused:
        return refused.reason
    return "granted"


CEILINGS: dict[str, dict[str, Any]] = {
    "new nodes in an hour": {"new_nodes_per_hour": LIMIT},
    "bytes in a day": {"size_bytes": 1_000, "bytes_per_day": 1_000 * LIMIT + 999},
}


@pytest.mark.parametrize("name", CEILINGS)
async def test_many_at_once_get_exactly_what_the_ceiling_says(site: SimulatedSite, name: str) -> None:
    with site.open() as running:
        await lower(running, **CEILINGS[name])
        chips = [site.vendor.chip(number) for number in range(40, 40 + 3 * LIMIT)]
        before = running.reader.head().size
        outcomes = await asyncio.gather(*(outcome(chip, running.broker) for chip in chips))
        assert Counter(outcomes) == {"granted": LIMIT, "EXPOSURE_BUDGET": 2 * LIMIT}
        types = Counter(
            (body["type"], body["reason"])
            for body in (parse_leaf(leaf).body for leaf in running.reader.leaves(before, running.reader.head().size))
        )
        assert types == {("release.granted", "ALLOWED"): LIMIT, ("release.refused", "EXPOSURE_BUDGET"): 2 * LIMIT}
        # Whoever was let in asks again and is no new exposure; whoever was not stays out, and counts nothing.
        again = await asyncio.gather(*(outcome(chip, running.broker) for chip in chips))
        assert again == outcomes


async def test_the_ceiling_looks_back_an_hour_from_every_moment(site: SimulatedSite) -> None:
    """A window that began anew at each full hour would let twice the limit through around it."""
    with site.open() as running:
        await lower(running, new_nodes_per_hour=2)
        start = running.broker.clock()
        full = start - start % 3_600_000 + 2 * 3_600_000
        chips = iter([site.vendor.chip(number) for number in range(70, 76)])

        async def ask(now: int) -> str:
            return await outcome(next(chips), dataclasses.replace(running.broker, clock=lambda: now))

        told = [await ask(full + second * 1_000) for second in (-60, -60, 60, 3_500, 3_600)]
        assert told == ["granted", "granted", "EXPOSURE_BUDGET", "EXPOSURE_BUDGET", "granted"]


async def test_a_repeat_is_slowed_and_served_after_the_wait(site: SimulatedSite) -> None:
    moment = 0
    with site.open() as running:
        broker = dataclasses.replace(
            running.broker, repeats=RepeatMeter(burst=2, every_ms=30_000), monotonic=lambda: moment
        )
        workload = build(site.chip, broker.challenges, broker.clock())
        answer = await release(workload.ask, broker)
        assert await outcome(site.chip, broker) == "granted"
        size = running.reader.head().size
        third = build(site.chip, broker.challenges, broker.clock())
        with pytest.raises(Slowed) as slowed:
            await release(third.ask, broker)
        assert (slowed.value.reason, slowed.value.retry_after, slowed.value.ticket) == ("RATE_LIMITED", 30.0, "")
        assert running.reader.head().size == size
        # A lost reply is no repeat, another node and another thing asked for are not slowed with it.
        assert await release(workload.ask, broker) == answer
        assert await outcome(site.vendor.chip(5), broker) == "granted"
        assert await outcome(site.chip, broker, names=("tenants/acme/assets/none",)) == "ACCESS_DENIED"
        moment += 30_000
        assert (await release(third.ask, broker)).grant.keys


async def test_nobody_is_slowed_by_what_another_cannot_prove(site: SimulatedSite) -> None:
    """A thousand reports of this chip's that were made for other requests: none is its own doing."""
    with site.open() as running:
        broker = dataclasses.replace(running.broker, repeats=RepeatMeter(burst=1, every_ms=60_000))
        for _ in range(20):
            with pytest.raises(Exception, match="REPORT_DATA_MISMATCH"):
                await outcome(site.chip, broker, report_data=bytes(64))
        assert await outcome(site.chip, broker) == "granted"


# name: (what is asked first, its reason)
UNCOUNTED: dict[str, tuple[dict[str, Any], str]] = {
    "a rehearsal": ({"rehearsal": True}, "granted"),
    "a refusal": ({"measurement": bytes(48)}, "ACCESS_DENIED"),
    "a refusal of one of two": ({"names": (ASSET, "tenants/acme/assets/none")}, "ACCESS_DENIED"),
}


@pytest.mark.parametrize("name", UNCOUNTED)
async def test_what_hands_nothing_out_counts_nothing(site: SimulatedSite, name: str) -> None:
    """Neither before the ceiling is reached, nor is it told of the ceiling after."""
    changed, reason = UNCOUNTED[name]
    with site.open() as running:
        await lower(running, new_nodes_per_hour=1)
        assert await outcome(site.vendor.chip(80), running.broker, **changed) == reason
        body = parse_leaf(running.reader.entries(running.reader.head().size - 1, 1 << 30)[0][1]).body
        assert body["account"] == []
        assert await outcome(site.vendor.chip(81), running.broker) == "granted"
        assert await outcome(site.vendor.chip(82), running.broker) == "EXPOSURE_BUDGET"
        assert await outcome(site.vendor.chip(83), running.broker, **changed) == reason


async def test_a_renewal_is_not_slowed_by_releases(site: SimulatedSite) -> None:
    key = holder_public(ec.derive_private_key(7, ec.SECP256R1()))
    holder: dict[str, Any] = {"holder_key": key, "report_id": bytes(32)}
    with site.open() as running:
        broker = dataclasses.replace(running.broker, repeats=RepeatMeter(burst=1, every_ms=60_000), monotonic=lambda: 0)
        answer = await release(build(site.chip, broker.challenges, broker.clock(), **holder).ask, broker)
        assert answer.grant.lease is not None
        renews = {**holder, "renews": answer.grant.lease.lease_id}
        assert await outcome(site.chip, broker, **renews) == "granted"
        assert await outcome(site.chip, broker, **renews) == "RATE_LIMITED"
