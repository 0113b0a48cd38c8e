"""A site is made once, in an empty place, and every start needs what was made there."""

from __future__ import annotations

import dataclasses
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from attest.tlog.entry import parse_leaf
from kbs.custody.envelope import WrapInvalid
from kbs.custody.file import FileRoot
from kbs.custody.root import RootUnusable
from kbs.serve.build import engine_document
from kbs.serve.site import Site, initialise
from kbs.store.errors import StoreUnusable
from kbs.store.read import Reader
from tests.kbs.store.opened import rows
from tests.makers.site import SimulatedSite

NOW = 1_790_000_000_000


async def test_what_a_new_site_holds(tmp_path: Path) -> None:
    site = Site(directory=tmp_path / "a" / "site", deployment="site.example")
    await initialise(site, lambda: NOW, simulated=False)
    assert stat.S_IMODE(site.directory.stat().st_mode) == 0o700
    for file in (site.root_key, site.store):
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0
    reader = Reader(site.store)
    [(index, leaf, _)] = reader.entries(0, 10)
    body: Any = parse_leaf(leaf).body
    assert (index, body["type"], body["deployment"], body["simulated"]) == (0, "log.genesis", "site.example", False)
    assert parse_leaf(leaf).header.log == "site.example/audit/1"
    assert {p: len(reader.broker_keys(p)) for p in ("challenge", "log", "pseudonym")} == dict.fromkeys(
        ("challenge", "log", "pseudonym"), 1
    )
    reader.close()


async def test_nothing_is_made_over_what_is_there(tmp_path: Path) -> None:
    site = Site(directory=tmp_path, deployment="site.example")
    await initialise(site, lambda: NOW, simulated=True)
    before = (site.root_key.read_bytes(), site.store.read_bytes())
    with pytest.raises(FileExistsError):
        await initialise(site, lambda: NOW, simulated=True)
    # The root key was lost: a new one beside the old store would look like a site and open nothing.
    site.root_key.unlink()
    with pytest.raises(StoreUnusable):
        await initialise(site, lambda: NOW, simulated=True)
    assert site.store.read_bytes() == before[1]


def _other_root(site: SimulatedSite) -> None:
    site.site.root_key.unlink()
    FileRoot.create(site.site.root_key)


# name: (what happens to a site, how its next start says no)
BROKEN: dict[str, tuple[Callable[[SimulatedSite], object], type[Exception]]] = {
    "no root key": (lambda s: s.site.root_key.unlink(), RootUnusable),
    "another root key": (_other_root, WrapInvalid),
    "a root key that others can read": (lambda s: s.site.root_key.chmod(0o644), RootUnusable),
    "no store": (lambda s: s.site.store.unlink(), StoreUnusable),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_a_site_that_is_not_whole_does_not_start(site: SimulatedSite, name: str) -> None:
    spoil, error = BROKEN[name]
    spoil(site)
    with pytest.raises(error), site.open():
        pass


async def test_a_site_does_not_start_under_another_deployments_name(site: SimulatedSite) -> None:
    """The log's name is in every entry and never changes; a second name would make entries that no auditor takes."""
    other = dataclasses.replace(site, site=dataclasses.replace(site.site, deployment="other.example"))
    before = rows(site.site.store, "SELECT COUNT(*) FROM log_entry")
    with pytest.raises(Exception) as refused, other.open():  # noqa: PT011  # which room says so is its own affair
        pass
    assert "other.example" in str(refused.value)
    assert rows(site.site.store, "SELECT COUNT(*) FROM log_entry") == before


def test_the_build_is_one_document() -> None:
    document = engine_document()
    assert engine_document.__wrapped__() == document
    for word in (b"attest", b"kbs.decide", b"kbs.policy", b"kbs.release", b"cedarpy", b"cryptography"):
        assert word in document
