"""Several processes on one SQLite store, as `serve` runs them: nobody waits for a leader, and the log is one."""

from __future__ import annotations

import asyncio
import os
from contextlib import ExitStack
from pathlib import Path

from attest.anchors import BUILT_IN
from attest.evidence import Collateral
from kbs.collateral.shelf import Shelf
from kbs.log.calls import query
from kbs.model.unit import Committed, Unit, Verdict
from kbs.serve.check import check_site
from kbs.serve.site import Site, initialise
from kbs.serve.wiring import Running, open_site, wall_clock

WRITERS, EACH = 3, 60


def _unit(running: Running) -> Unit:
    draft = query(
        entry_id=os.urandom(16).hex(), tenant="acme", actor="person-a", broker=running.broker.identity, scope=bytes(32)
    )
    return Unit(verdict=Verdict(draft=draft))


async def test_writers_that_share_a_store(tmp_path: Path) -> None:
    site = Site(directory=tmp_path / "site", deployment="keys.example.com")
    await initialise(site, wall_clock, simulated=False)

    async def write(running: Running) -> list[int]:
        indices = []
        for _ in range(EACH):
            [outcome] = await running.door.commit([_unit(running)])
            assert isinstance(outcome, Committed)
            indices.append(outcome.place.index)
        return indices

    async def publish(running: Running) -> list[int]:
        return [await asyncio.to_thread(running.publish) for _ in range(10)]

    with ExitStack() as held:
        writers = [held.enter_context(open_site(site, Shelf(Collateral()), BUILT_IN)) for _ in range(WRITERS)]
        results = await asyncio.gather(*map(write, writers), *map(publish, writers))
        written, published = results[:WRITERS], results[WRITERS:]
        assert sorted(index for each in written for index in each) == list(range(1, 1 + WRITERS * EACH))
        assert all(each == sorted(each) for each in (*written, *published))
        assert {running.publish() for running in writers} == {1 + WRITERS * EACH}
    assert check_site(site.store, site.log).store.passed
