"""The measures of a product that a site can run: the walk of README.md, and what its rooms measure of themselves."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from deploy.demo.play import invite, played
from deploy.demo.things import things
from deploy.demo.walk import WALK
from tests.measure import collateral, product_api, product_client, product_release
from tests.measure.table import Measure, Result

__all__ = ["MEASURES"]

_MOST = 15


def _walk(_long: bool) -> Result:
    """From nothing to a verified log: each command has to end with 0, or this raises."""
    commands = sum(len(line.split("&& ")) for line in WALK)
    with tempfile.TemporaryDirectory() as name:
        began = time.monotonic()
        with played(Path(name) / "site", usual_ports=False, say=_nothing) as place:
            seconds = time.monotonic() - began
            tried = invite(place).count("\n  # ")
    figure = f"{commands} commands, each ended with 0, {seconds:.0f} s with a simulated node; {tried} things to try"
    return Result(figure=figure, met=commands <= _MOST and tried == len(things("")))


def _nothing(_command: str) -> None:
    """The table is for figures."""


MEASURES = (
    Measure(
        name="from init to an auditor who is satisfied, by the README's commands", target=f"at most {_MOST}", take=_walk
    ),
    *product_client.MEASURES,
    *collateral.PRODUCT,
    *product_release.MEASURES,
    *product_api.MEASURES,
)
