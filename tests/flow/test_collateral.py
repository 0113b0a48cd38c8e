"""`sealgate collateral` over the wire: out of a site that reaches its vendor, into one that does not; a look ahead."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime as dt
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from attest.evidence import SnpEvidence
from attest.tlog.entry import parse_leaf
from clients.cli.main import Doors, main
from kbs.model.refusal import Unavailable
from kbs.release.release import release
from kbs.rpc.server import Listeners
from kbs.serve.collateral import looked_after, open_collateral
from kbs.serve.config.sections import Collateral as Section
from kbs.serve.service import serve
from kbs.serve.wiring import Running, open_site, wall_clock
from tests.makers.kds import FakeKds
from tests.makers.site import SimulatedSite
from tests.makers.vendor_http import VendorServer
from tests.makers.workload import build


@contextlib.asynccontextmanager
async def _serving(site: SimulatedSite, section: Section) -> AsyncIterator[tuple[Running, Listeners]]:
    clocks: dict[str, Any] = {"clock": wall_clock, "monotonic": wall_clock, "chance": lambda: 0.5}
    async with open_collateral(section, site.site.store, site.anchors, **clocks) as keeper:
        with open_site(site.site, keeper, site.anchors) as running:
            async with (
                looked_after(running, keeper, lambda days, found: None) as people,
                serve(
                    running, site.tls(), host="127.0.0.1", workload_port=0, people_port=0, people=[people]
                ) as listeners,
            ):
                yield running, listeners


async def _bare(running: Running, site: SimulatedSite) -> None:
    """A node that brings its report alone."""
    ask = build(site.chip, running.broker.challenges, running.broker.clock()).ask
    assert isinstance(ask.evidence, SnpEvidence)
    await release(dataclasses.replace(ask, evidence=SnpEvidence(report=ask.evidence.report)), running.broker)


async def _sealgate(site: SimulatedSite, listeners: Listeners, *words: str) -> int:
    who = ["--trust", str(site.trust), "--broker", f"127.0.0.1:{listeners.people_port}"]
    who += ["--key", str(site.directory / "operator.key"), "--cert", str(site.directory / "operator.pem")]
    arguments = ["collateral", *words, *(who if words[0] != "show" else who[:2])]
    return await asyncio.to_thread(main, arguments, Doors(now=dt.datetime.now(dt.UTC), simulated=True))


async def test_out_of_one_site_and_into_another(
    site: SimulatedSite, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = tmp_path / "collateral.bundle"
    kds = FakeKds(site.vendor, site.chip)
    async with VendorServer(kds) as server, _serving(site, Section(kds=server.base)) as (running, listeners):
        await _bare(running, site)
        assert await _sealgate(site, listeners, "export", "--out", str(bundle)) == 0
        assert await _sealgate(site, listeners, "export", "--out", str(bundle)) == 2
        capsys.readouterr()
        assert await _sealgate(site, listeners, "show", str(bundle), "--json") == 0
        shown = json.loads(capsys.readouterr().out)
        assert (shown["origin"], len(shown["pieces"])) == (running.broker.signer.origin, 3)

        kds.crl = site.vendor.crl(next_update=site.vendor.now + dt.timedelta(days=300))
        assert await _sealgate(site, listeners, "refresh") == 0
        assert capsys.readouterr().out == "amd/crl/VCEK/Milan\n"
        assert await _sealgate(site, listeners, "refresh", "--json") == 0
        assert json.loads(capsys.readouterr().out) == {"changed": []}

        await asyncio.to_thread(_forget, site)
    async with _serving(site, Section(fetch="nothing")) as (running, listeners):
        with pytest.raises(Unavailable):
            await _bare(running, site)
        assert await _sealgate(site, listeners, "import", str(bundle)) == 0
        assert "3 pieces kept, 0 known already, 0 refused" in capsys.readouterr().out
        await _bare(running, site)  # no vendor was asked: none may be
        assert await _sealgate(site, listeners, "import", str(bundle)) == 0
        assert "0 pieces kept, 3 known" in capsys.readouterr().out
        types = [parse_leaf(leaf).body["type"] for leaf in running.reader.leaves(0, running.reader.head().size)]
        assert types.count("query.performed") == 5


def _forget(site: SimulatedSite) -> None:
    """As if the store had never had any collateral."""
    import sqlite3  # noqa: PLC0415

    with contextlib.closing(sqlite3.connect(site.site.store)) as connection:
        connection.execute("DELETE FROM collateral_item")
        connection.execute("DELETE FROM collateral_blob")
        connection.commit()


async def test_a_look_ahead(site: SimulatedSite, capsys: pytest.CaptureFixture[str]) -> None:
    kds = FakeKds(site.vendor, site.chip)
    day = dt.timedelta(days=1)
    kds.crl = site.vendor.crl(this_update=site.vendor.now - 100 * day, next_update=site.vendor.now + 20 * day)
    async with VendorServer(kds) as server, _serving(site, Section(kds=server.base)) as (running, listeners):
        await _bare(running, site)
        assert await _sealgate(site, listeners, "preflight", "--days", "7", "--json") == 0
        found = json.loads(capsys.readouterr().out)
        assert (found["platforms"], found["refused"], found["endings"]) == (1, 0, [])
        assert await _sealgate(site, listeners, "preflight", "--days", "30") == 0
        said = capsys.readouterr().out
        assert "0 of 1 known platforms will be refused" in said
        assert "amd/crl/VCEK/Milan" in said
        assert await _sealgate(site, listeners, "preflight", "--at", "tomorrow") == 2


# name: (what becomes of the file, exit code, part of what is said)
FILES = {
    "not there": (None, 2, "cannot be read"),
    "changed": (lambda raw: raw.replace(b"amd/crl", b"amd/CRL"), 4, "BUNDLE_DIGEST"),
    "cut": (lambda raw: raw[:-1], 4, "BUNDLE_DIGEST"),
    "anything": (lambda raw: b"anything", 4, "BUNDLE_FORMAT"),
}


@pytest.mark.parametrize("name", FILES)
async def test_a_file_that_is_no_bundle(
    site: SimulatedSite, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    change, code, told = FILES[name]
    bundle = tmp_path / "b"
    kds = FakeKds(site.vendor, site.chip)
    async with VendorServer(kds) as server, _serving(site, Section(kds=server.base)) as (running, listeners):
        await _bare(running, site)
        assert await _sealgate(site, listeners, "export", "--out", str(bundle)) == 0
        bundle.unlink() if change is None else bundle.write_bytes(change(bundle.read_bytes()))
        for verb in ("show", "import"):
            assert await _sealgate(site, listeners, verb, str(bundle)) == code
            assert told in capsys.readouterr().err
