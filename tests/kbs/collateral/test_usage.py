"""What no decision rests on any more is neither renewed nor kept; what one does rest on always is."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from kbs.collateral.usage import Usage
from kbs.model.collateral import Piece
from kbs.store.collateral import CollateralCache
from tests.kbs.collateral.built import DAY, HOUR, Clock, built
from tests.kbs.collateral.test_nvidia import GPU, fake, judged
from tests.kbs.collateral.test_nvidia import VENDOR as GPUS
from tests.kbs.collateral.test_pcs import EARLY, INTEL, NAMES, quoted
from tests.kbs.store.opened import make_store
from tests.makers.pcs import FakePcs
from tests.makers.vendor_http import VendorServer


async def test_a_family_that_is_gone_is_dropped_with_what_stands_beside_it(tmp_path: Path) -> None:
    pcs = FakePcs(INTEL)
    async with VendorServer(pcs) as server, built(tmp_path / "s.db", pcs, server) as it:
        await it.verify(quoted())
        await it.service.renew(it.clock.now)
        assert it.cache.names() == sorted((*NAMES, *EARLY))
        for _ in range(20):  # renewed daily, used by nobody
            it.clock.now += DAY
            await it.service.renew(it.clock.now)
            assert it.cache.names() == sorted((*NAMES, *EARLY))
        it.clock.now += 10 * DAY
        asked = sum(server.asked.values())
        assert await it.service.renew(it.clock.now) == []
        assert (it.cache.names(), it.cache.uses()) == ([], {})
        await it.service.renew(it.clock.now + DAY)
        assert sum(server.asked.values()) == asked  # nobody is asked about it again


def test_who_closes_waits_for_a_thread_that_reads(tmp_path: Path) -> None:
    """A task that is cancelled leaves its thread behind: a connection closed under it would end the process."""
    make_store(tmp_path / "s.db")
    cache = CollateralCache(tmp_path / "s.db")
    cache.note({"a": 1})
    reading, go_on, read = threading.Event(), threading.Event(), []
    real = cache._writer

    class Slow:
        def execute(self, *arguments: Any) -> Any:
            reading.set()
            go_on.wait(20)
            return real.execute(*arguments)

        def close(self) -> None:
            read.append("closed")
            real.close()

    cache._writer = Slow()  # type: ignore[assignment]  # a connection that takes its time
    reader = threading.Thread(target=lambda: read.append(str(cache.uses())))
    reader.start()
    assert reading.wait(20)
    closer = threading.Thread(target=cache.close)
    closer.start()
    go_on.set()
    reader.join(20)
    closer.join(20)
    assert read == ["{'a': 1}", "closed"]


async def test_what_decisions_rest_on_stays(tmp_path: Path) -> None:
    """A decision a week, as long as Intel's documents of the test live; from memory, without a look at the cache."""
    pcs = FakePcs(INTEL)
    async with VendorServer(pcs) as server, built(tmp_path / "s.db", pcs, server, unused_ms=8 * DAY) as it:
        for _ in range(4):
            await it.verify(quoted())
            await it.service.renew(it.clock.now)
            it.clock.now += 7 * DAY
            await it.service.renew(it.clock.now)
            assert it.cache.names() == sorted((*NAMES, *EARLY))


async def test_who_comes_back_is_fetched_for_again(tmp_path: Path) -> None:
    pcs = FakePcs(INTEL)
    async with VendorServer(pcs) as server, built(tmp_path / "s.db", pcs, server, unused_ms=7 * DAY) as it:
        await it.verify(quoted())
        await it.service.renew(it.clock.now)
        it.clock.now += 7 * DAY
        await it.service.renew(it.clock.now)
        assert it.cache.names() == []
        await it.verify(quoted(INTEL.platform(number=2)))
        assert it.cache.names() == NAMES


async def test_responses_about_devices_that_are_gone_are_not_asked_for_for_ever(tmp_path: Path) -> None:
    vendor = fake()
    async with VendorServer(vendor, post=vendor.post) as server, built(tmp_path / "s.db", vendor, server) as it:
        await judged(it, GPU)
        await it.service.renew(it.clock.now)
        kept = it.cache.names("nvidia/")
        assert any(name.startswith("nvidia/ocsp/") for name in kept)
        it.clock.now += 30 * DAY
        asked = sum(server.asked.values())
        await it.service.renew(it.clock.now)
        assert (it.cache.names("nvidia/"), sum(server.asked.values())) == ([], asked)
    assert GPUS is vendor.vendor


@pytest.fixture
def cache(tmp_path: Path) -> CollateralCache:
    return CollateralCache(make_store(tmp_path / "s.db"))


async def test_replicas_share_what_is_used(cache: CollateralCache) -> None:
    """One replica decides, the other sweeps; what is imported counts as used, and a renewal does not."""
    clock = Clock()
    one, two = (Usage(cache, clock, unused_ms=30 * DAY) for _ in range(2))
    names = ["nvidia/rim/A", "nvidia/rim/B"]
    cache.put([Piece(name=name, data=b"x", fetched_at=clock.now, good_until=clock.now + 400 * DAY) for name in names])
    assert await two.settle(names) == frozenset()
    clock.now += 20 * DAY
    one.mark(names[:1])
    assert await one.settle(names) == frozenset()
    cache.put([Piece(name=names[1], data=b"y", fetched_at=clock.now, good_until=clock.now + 400 * DAY)])
    clock.now += 10 * DAY
    assert await two.settle(names) == {names[1]}
    assert (cache.names(), set(cache.uses())) == (names[:1], {names[0]})


async def test_it_is_written_down_a_few_times_a_day(cache: CollateralCache) -> None:
    clock, written = Clock(), []
    note = cache.note
    cache.note = lambda uses: (written.append(sorted(uses)), note(uses))[1]  # type: ignore[method-assign,func-returns-value]
    usage = Usage(cache, clock, unused_ms=30 * DAY)
    for _ in range(24):
        usage.mark(["amd/crl/VCEK/Milan"])
        await usage.settle(["amd/crl/VCEK/Milan"])
        clock.now += HOUR
    assert len(written) == 4
