"""The measures of releases, leases and receipts that the product's table includes."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from pathlib import Path

from tests.flow.test_account import lower, outcome
from tests.flow.test_false_brokers import LIARS, told
from tests.makers.site import make_site
from tests.measure.table import Measure, Result

__all__ = ["MEASURES"]


def _false_brokers(_long: bool) -> Result:
    async def all_of_them() -> list[tuple[str, str, int]]:
        seen = []
        for name in LIARS:
            with tempfile.TemporaryDirectory() as directory:
                seen.append((name, *await told(name, await make_site(Path(directory) / "site"))))
        return seen

    seen = asyncio.run(all_of_them())
    fine = all(check.startswith(LIARS[name][1]) and not keys for name, check, keys in seen)
    return Result(figure="; ".join(f"{name}: {check}, {keys} keys opened" for name, check, keys in seen), met=fine)


def _ceiling(long: bool) -> Result:
    """So many machines ask at the same moment for what ten may have."""
    count = 400 if long else 60

    async def storm() -> Counter[str]:
        with tempfile.TemporaryDirectory() as directory:
            site = await make_site(Path(directory) / "site")
            with site.open() as running:
                await lower(running, new_nodes_per_hour=10)
                chips = [site.vendor.chip(number) for number in range(1_000, 1_000 + count)]
                return Counter(await asyncio.gather(*(outcome(chip, running.broker) for chip in chips)))

    outcomes = asyncio.run(storm())
    return Result(
        figure=", ".join(f"{number} {what}" for what, number in sorted(outcomes.items())),
        met=outcomes == {"granted": 10, "EXPOSURE_BUDGET": count - 10},
    )


MEASURES = (
    Measure(
        name="false brokers: another log key, another deployment's receipt, another key, a replayed reply",
        target="each refused by name, no key opened",
        take=_false_brokers,
    ),
    Measure(
        name="ceiling of 10 new nodes in an hour, many at the same moment",
        target="exactly 10 granted, all others EXPOSURE_BUDGET",
        take=_ceiling,
    ),
)
