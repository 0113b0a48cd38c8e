"""What every test may ask for."""

from __future__ import annotations

from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, settings

from tests.makers.site import SimulatedSite, make_site
from tests.vectors import not_run

# Slow is no finding. `make test` gives the same answer for the same commit; fresh examples are for make measure and
# make fuzz, whose finds become cases of their own.
settings.register_profile("fresh", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("same", settings.get_profile("fresh"), derandomize=True)
settings.load_profile("same")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says how many cases went without their captured evidence: a suite that is green without it proves less."""
    reports = [each.longrepr for each in terminalreporter.stats.get("skipped", ())]
    reasons = [each[2] for each in reports if isinstance(each, tuple)]
    cases = not_run(reasons)
    if cases:
        terminalreporter.write_line(f"{cases} cases not run: they need the vectors (CONTRIBUTING.md says where)")


@pytest_asyncio.fixture
async def site(tmp_path: Path) -> SimulatedSite:
    """A simulated site with one asset."""
    return await make_site(tmp_path / "site")
