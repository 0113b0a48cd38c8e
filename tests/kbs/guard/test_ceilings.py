"""What one release adds to which meters."""

from __future__ import annotations

import pytest

from kbs.guard.ceilings import counts
from kbs.model.asset import Asset
from kbs.model.names import AssetName

HOUR, DAY = 3_600_000, 86_400_000
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


@pytest.mark.parametrize(
    ("now", "hour", "day"),
    [
        (0, 0, 0),
        (HOUR - 1, 0, 0),
        (HOUR, HOUR, 0),
        (DAY - 1, DAY - HOUR, 0),
        (DAY, DAY, DAY),
        (20_717 * DAY + 5 * HOUR + 1, 20_717 * DAY + 5 * HOUR, 20_717 * DAY),
    ],
)
def test_windows_are_hours_and_days(now: int, hour: int, day: int) -> None:
    nodes, size = counts(ASSET, "node-a", now)
    assert (nodes.meter, nodes.window, nodes.add, nodes.limit, nodes.member) == (f"nodes:{NAME}", hour, 1, 7, "node-a")
    assert (size.meter, size.window, size.add, size.limit, size.member) == (
        f"bytes:{NAME}",
        day,
        1_000,
        9_000,
        "node-a",
    )
