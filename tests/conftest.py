"""What every test may ask for."""

from __future__ import annotations

from pathlib import Path

import pytest_asyncio

from tests.makers.site import SimulatedSite, make_site


@pytest_asyncio.fixture
async def site(tmp_path: Path) -> SimulatedSite:
    """A simulated site with one asset."""
    return await make_site(tmp_path / "site")
