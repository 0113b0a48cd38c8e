"""What one release adds to which meters."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import hypothesis.strategies as st
import pytest
from hypothesis import given

from kbs.guard.ceilings import counts
from kbs.model.asset import Asset
from kbs.model.log import Draft
from kbs.model.names import AssetName
from kbs.model.unit import Unit, Verdict
from kbs.store.judge import judge
from kbs.store.ledger import Ledger
from kbs.store.schema import ddl

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
NAME = "tenants/acme/assets/llm"
ASSET = Asset(
    name=AssetName.parse(NAME),
    kind="weights",
    tier=2,
    owner="o",
    size_bytes=1_000,
    purposes=frozenset({"training"}),
    profile="p",
    references=("r",),
    content_digest=b"",
    new_nodes_per_hour=7,
    bytes_per_day=9_000,
    lease_seconds=60,
    digest=bytes(32),
)
YES, NO = Verdict(draft=Draft(body=b"yes")), Verdict(draft=Draft(body=b"no"))


@pytest.mark.parametrize(
    ("now", "five", "half"),
    [
        (0, 0, 0),
        (5 * MINUTE - 1, 0, 0),
        (5 * MINUTE, 5 * MINUTE, 0),
        (HOUR - 1, HOUR - 5 * MINUTE, HOUR - 30 * MINUTE),
        (HOUR, HOUR, HOUR),
        (20_717 * DAY + 5 * HOUR + 1, 20_717 * DAY + 5 * HOUR, 20_717 * DAY + 5 * HOUR),
    ],
)
def test_windows_look_back_an_hour_and_a_day(now: int, five: int, half: int) -> None:
    nodes, size = counts(ASSET, "node-a", now)
    assert (nodes.meter, nodes.window, nodes.since) == (f"nodes:{NAME}", five, five - HOUR)
    assert (size.meter, size.window, size.since) == (f"bytes:{NAME}", half, half - DAY)
    assert (nodes.add, nodes.limit, nodes.member) == (1, 7, "node-a")
    assert (size.add, size.limit, size.member) == (1_000, 9_000, "node-a")


@given(st.lists(st.tuples(st.integers(0, 5 * MINUTE), st.sampled_from("abcdefghijklmno")), max_size=60))
def test_no_hour_and_no_day_sees_more_than_its_ceiling(steps: list[tuple[int, str]]) -> None:
    """Requests at any moments, through the store's own judge: whatever window one lays over them, no more were let in
    than the ceiling says, and a node that was counted in it is let in whatever the others did."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        for statement in ddl():
            connection.execute(statement)
        connection.execute("INSERT INTO state VALUES (1, 0, 0)")
        now, admitted = 30 * DAY, []
        for step, node in steps:
            now += step
            unit = Unit(verdict=YES, counts=tuple(counts(ASSET, node, now)), over_budget=NO)
            ledger = Ledger(connection, [unit], now)
            verdict = judge(ledger, unit, now)
            ledger.write()
            if verdict is YES:
                admitted.append((now, node))
            else:
                assert all(who != node or at <= now - HOUR for at, who in admitted)
    for first, _ in admitted:
        fresh = {who for at, who in admitted if first <= at <= first + HOUR}
        fresh -= {who for at, who in admitted if first - HOUR <= at < first}
        assert len(fresh) <= ASSET.new_nodes_per_hour
