"""docs/catalogue.md says what the code does: tiers, demands, fields, states."""

from __future__ import annotations

import re
from pathlib import Path

from sealgate.v1 import catalog_pb2 as pb

from kbs.decide.demands import DEMANDS
from kbs.model.tier import TIERS

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "catalogue.md").read_text()
_TB = 10**12
_HIDDEN = {"etag"}


def _rows(heading: str) -> list[list[str]]:
    """The rows of the first table below a heading that begins like that."""
    part = PAGE.split(f"\n## {heading}", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_table_of_tiers_is_that_of_the_code() -> None:
    for number, rule in enumerate(TIERS):
        cells = (
            str(number), f"{rule.lease_seconds // 3_600} h", f"{rule.new_nodes_per_hour:,}",
            f"{rule.bytes_per_day // _TB:,} TB", ", ".join(sorted(rule.covers)),
        )  # fmt: skip
        assert f"| {' | '.join(cells)} |" in PAGE, cells


def test_the_table_of_demands_is_that_of_the_code() -> None:
    for demand in DEMANDS:
        assert f"| {demand.tier} | `{demand.name}` | {demand.asks} |" in PAGE, demand.name
    assert PAGE.count("| `") >= len(DEMANDS)


def test_every_field_is_described() -> None:
    for heading, message in (
        ("Tenant", pb.Tenant), ("Asset", pb.Asset), ("Profile", pb.Profile), ("Reference set", pb.ReferenceSet),
        ("Device", pb.Device),
    ):  # fmt: skip
        described = {name for row in _rows(heading) for name in re.findall(r"`([a-z_]+)`", row[0])}
        fields = {"sunset" if f.name == "sunset_time" else f.name for f in message.DESCRIPTOR.fields}
        assert described == fields - _HIDDEN, heading
