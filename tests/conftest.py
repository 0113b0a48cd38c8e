"""What every test may ask for."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.makers.site import SimulatedSite, copied, make_site
from tests.vectors import not_run

# Slow is no finding. `make test` gives the same answer for the same commit; fresh examples are for make measure and
# make fuzz, whose finds become cases of their own.
settings.register_profile("fresh", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("same", settings.get_profile("fresh"), derandomize=True)
settings.load_profile("same")


# What is loaded to run some thousand tests stays to the end. Looking through all of it for garbage, again and again,
# took an eighth of the time.
gc.set_threshold(5_000, 20, 20)


def pytest_collection_finish() -> None:
    """Nothing that is there before the first test is looked through any more."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says how many cases went without their captured evidence: a suite that is green without it proves less."""
    reports = [each.longrepr for each in terminalreporter.stats.get("skipped", ())]
    reasons = [each[2] for each in reports if isinstance(each, tuple)]
    cases = not_run(reasons)
    if cases:
        terminalreporter.write_line(f"{cases} cases not run: they need the vectors (CONTRIBUTING.md says where)")


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> SimulatedSite:
    """A simulated site that nobody opens: each test has a copy."""
    return asyncio.run(make_site(tmp_path_factory.mktemp("once") / "site"))


@pytest.fixture
def site(made_once: SimulatedSite, tmp_path: Path) -> SimulatedSite:
    """A simulated site with one asset."""
    return copied(made_once, tmp_path / "site")
