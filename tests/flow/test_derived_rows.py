"""Attack 11: rows that are derived from the log are edited in the database, to hide or to exchange entries.

No index is trusted: what a row leads to says of itself whose it is. A row that is gone hides what it led to from lists,
which prove nothing; the log still has it.
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from attest.tlog.entry import parse_leaf
from clients.workload.held import HeldLease
from tests.flow.test_lease_cli import get, node, person, run
from tests.flow.test_leases import published
from tests.makers.site import SimulatedSite


def edit(site: SimulatedSite, statement: str, *values: object) -> None:
    """Whoever can write the database file."""
    with closing(sqlite3.connect(site.site.store)) as connection, connection:
        connection.execute(statement, values)


def tickets(site: SimulatedSite) -> list[str]:
    with closing(sqlite3.connect(site.site.store)) as connection:
        return [ticket for (ticket,) in connection.execute("SELECT ticket FROM ticket ORDER BY idx")]


async def test_a_ticket_that_leads_to_another_entry(
    site: SimulatedSite, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with site.serve() as (_, listeners):
        for name in ("one", "two"):
            assert await asyncio.to_thread(get, site, listeners, tmp_path / name / "lease.json") == 0
        one, two = tickets(site)
        me = person(site, listeners)
        assert await asyncio.to_thread(run, site, "explain", one, *me) == 0
        edit(site, "UPDATE ticket SET idx = (SELECT idx FROM ticket WHERE ticket = ?) WHERE ticket = ?", two, one)
        capsys.readouterr()
        assert await asyncio.to_thread(run, site, "explain", one, *me) == 5
        assert "LOG_UNAVAILABLE" in capsys.readouterr().err
        assert await asyncio.to_thread(run, site, "explain", two, *me) == 0


async def test_a_lease_that_leads_to_the_grant_of_another(
    site: SimulatedSite, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with site.serve() as (running, listeners):
        leases = [tmp_path / name / "lease.json" for name in ("one", "two")]
        for lease in leases:
            assert await asyncio.to_thread(get, site, listeners, lease) == 0
        one, two = (HeldLease.parse(lease.read_bytes(), "it").lease_id for lease in leases)
        await published(running)
        edit(site, "UPDATE lease SET idx = (SELECT idx FROM lease WHERE lease_id = ?) WHERE lease_id = ?", two, one)
        name, out = f"tenants/acme/leases/{one}", ["--out", str(tmp_path / "proof")]
        for asked in (
            ["lease", "receipt", name, *out, *person(site, listeners)],
            ["keys", "receipt", "--lease", str(leases[0]), *out, *node(site, listeners)],
        ):
            capsys.readouterr()
            assert await asyncio.to_thread(run, site, *asked) == 4
            assert "RECEIPT_LEASE" in capsys.readouterr().err
        assert not (tmp_path / "proof").exists()


async def test_a_lease_that_is_gone_is_in_the_log_all_the_same(
    site: SimulatedSite, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with site.serve() as (running, listeners):
        lease = tmp_path / "one" / "lease.json"
        assert await asyncio.to_thread(get, site, listeners, lease) == 0
        lease_id = HeldLease.parse(lease.read_bytes(), "it").lease_id
        edit(site, "DELETE FROM lease_key WHERE lease_id = ?", lease_id)
        edit(site, "DELETE FROM lease_device WHERE lease_id = ?", lease_id)
        edit(site, "DELETE FROM lease WHERE lease_id = ?", lease_id)
        asked = ["lease", "list", "--tenant", "acme", "--expect", "0", *person(site, listeners)]
        assert await asyncio.to_thread(run, site, *asked) == 0
        bodies = [parse_leaf(leaf).body for leaf in running.reader.leaves(0, running.reader.head().size)]
        assert next(b["lease"] for b in bodies if b["type"] == "release.granted")["id"] == lease_id  # type: ignore[index]
