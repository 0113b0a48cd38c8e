"""A look ahead over the wire: who passes by grace, whom an announced recovery refuses, what is not at hand."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime as dt
import json
import sqlite3
from collections.abc import AsyncIterator
from typing import Any

import pytest

from attest.anchors import Anchors
from clients.cli.main import Doors, main
from kbs.catalog.register import put
from kbs.policy.bundle import default_bundle
from kbs.release.release import release
from kbs.rpc.server import Listeners
from kbs.serve.collateral import looked_after, open_collateral
from kbs.serve.config.sections import Collateral as Section
from kbs.serve.service import serve
from kbs.serve.wiring import Running, open_site, wall_clock
from tests.makers import intel as maker
from tests.makers import site as sites
from tests.makers.kds import FakeKds
from tests.makers.pcs import ROOT_CRL, FakePcs
from tests.makers.site import ASSET, SimulatedSite
from tests.makers.vendor_http import VendorServer
from tests.makers.workload import build

PROFILE, REFERENCES = "tenants/acme/profiles/snp-default", "tenants/acme/referenceSets/trainer-1-4"
MEASURED = {"mr_td": b"\xd1" * 48, "rtmr0": b"\xa0" * 48, "rtmr1": b"\xa1" * 48, "rtmr2": b"\xa2" * 48}


@contextlib.asynccontextmanager
async def _serving(site: SimulatedSite, section: Section, anchors: Anchors) -> AsyncIterator[tuple[Running, Listeners]]:
    clocks: dict[str, Any] = {"clock": wall_clock, "monotonic": wall_clock, "chance": lambda: 0.5}
    bundle = default_bundle()
    both = dataclasses.replace(bundle, policies=bundle.policies.replace('["snp"]', '["snp", "tdx"]'))
    async with open_collateral(section, site.site.store, anchors, **clocks) as keeper:
        with open_site(site.site, keeper, anchors, bundle=both) as running:
            async with (
                looked_after(running, keeper, lambda days, found: None) as people,
                serve(
                    running, site.tls(), host="127.0.0.1", workload_port=0, people_port=0, people=[people]
                ) as listeners,
            ):
                yield running, listeners


async def _preflight(
    site: SimulatedSite, listeners: Listeners, capsys: pytest.CaptureFixture[str], days: int, *, code: int = 0
) -> tuple[Any, str]:
    """The JSON and the sentences."""
    said = []
    for form in (["--json"], []):
        assert await _sealgate(site, listeners, "preflight", "--days", str(days), *form) == code
        said.append(capsys.readouterr().out)
    return json.loads(said[0]), said[1]


async def _sealgate(site: SimulatedSite, listeners: Listeners, *words: str) -> int:
    who = ["--trust", str(site.trust), "--broker", f"127.0.0.1:{listeners.people_port}"]
    who += ["--key", str(site.directory / "operator.key"), "--cert", str(site.directory / "operator.pem")]
    doors = Doors(now=dt.datetime.now(dt.UTC), simulated=True)
    return await asyncio.to_thread(main, ["collateral", *words, *who], doors)


async def _change(running: Running, kind: str, name: str, document: dict[str, object]) -> None:
    rows = {each: digest for each, _, digest, _ in running.reader.objects()[2]}
    await sites.register(running, [put(kind, name, document, entry=sites.draft_of(running), replaces=rows[name])])


async def test_who_passes_by_grace_alone_and_who_is_refused_besides(
    site: SimulatedSite, capsys: pytest.CaptureFixture[str]
) -> None:
    until = (site.vendor.now + dt.timedelta(days=10)).strftime("%Y-%m-%dT00:00:00Z")
    grace = {
        "product": "milan", "level": {"ucode": 209}, "advisories": ["AMD-SB-3019"],
        "owner": "platform-team", "until": until,
    }  # fmt: skip
    snp = {"products": ["milan"], "minimum_tcb": {"milan": {"bl": 3, "snp": 24, "ucode": 230}}, "grace": [grace]}
    async with (
        VendorServer(FakeKds(site.vendor, site.chip)) as server,
        _serving(site, Section(kds=server.base), site.anchors) as (running, listeners),
    ):
        for number in (1, 2):
            chip = site.vendor.chip(number)
            await release(build(chip, running.broker.challenges, running.broker.clock()).ask, running.broker)
        await _change(running, "profile", PROFILE, {"name": PROFILE, "profile": {"snp": snp}})
        found, said = await _preflight(site, listeners, capsys, 5)
        assert (found["refused"], found["refusals"]) == (0, [])
        assert found["graces"]
        for passed in found["graces"]:
            assert (passed["product"], passed["asset"], passed["count"]) == ("Milan", ASSET, 2)
            assert len(set(passed["nodes"])) == 2
            assert "by leave of platform-team, for AMD-SB-3019" in passed["leave"]
        assert f"2 of Milan for {ASSET} pass" in said

        over, _ = await _preflight(site, listeners, capsys, 20, code=3)
        assert (over["refused"], over["graces"]) == (2, [])
        await _change(running, "profile", PROFILE, {"name": PROFILE, "profile": {"snp": {**snp, "allow_smt": False}}})
        both, _ = await _preflight(site, listeners, capsys, 5, code=3)
        assert (both["refused"], both["graces"]) == (2, [])


async def test_whom_a_recovery_will_refuse_and_what_is_not_at_hand(
    site: SimulatedSite, capsys: pytest.CaptureFixture[str]
) -> None:
    intel = maker.mint(now=dt.datetime.now(dt.UTC))
    pcs = FakePcs(intel)
    later = maker.time_text(intel.now + dt.timedelta(days=29, hours=1))
    higher = [intel.level(sgx=tuple(svn + 1 for svn in maker.COMPONENTS)), intel.level("OutOfDate")]
    pcs.early_tcb = {"tcbEvaluationDataNumber": 21, "nextUpdate": later, "tcbLevels": higher}
    pcs.events = {21: "2026-05-12T00:00:00Z"}
    async with VendorServer(pcs) as server:
        section = Section(kds=server.base, pcs=server.base, pcs_root_crl=f"{server.base}{ROOT_CRL}")
        async with _serving(site, section, intel.anchors) as (running, listeners):
            await _trust_tdx(running)
            for number in range(3):
                workload = build(site.chip, running.broker.challenges, running.broker.clock())
                quote = intel.platform(number=number).evidence(workload.bound, **MEASURED)
                await release(dataclasses.replace(workload.ask, evidence=quote), running.broker)
            assert await _sealgate(site, listeners, "refresh") == 0
            capsys.readouterr()
            found, said = await _preflight(site, listeners, capsys, 1)
            [change] = found["changes"]
            assert {name: change[name] for name in ("family", "evaluation", "event", "platforms", "refused")} == {
                "family": "TDX 90c06f000000", "evaluation": 21, "event": "2026-05-12T00:00:00Z",
                "platforms": 3, "refused": 3,
            }  # fmt: skip
            [why] = change["refusals"]
            assert (why["check"], why["count"], len(why["nodes"])) == ("TCB_STATUS_NOT_ACCEPTED", 3, 3)
            assert (found["platforms"], found["refused"], found["missing"]) == (3, 0, [])
            assert "21 (TCB recovery of 2026-05-12) is the standard, 3 of 3" in said
    with contextlib.closing(sqlite3.connect(site.site.store)) as connection:  # as if it had never had any collateral
        connection.execute("DELETE FROM collateral_item")
        connection.commit()
    async with _serving(site, Section(fetch="nothing"), intel.anchors) as (_, listeners):
        found, said = await _preflight(site, listeners, capsys, 1)
        [missing] = found["missing"]
        assert (missing["check"], missing["count"], missing["product"]) == ("COLLATERAL_MISSING", 3, maker.FMSPC.hex())
        assert (found["refused"], found["refusals"], found["changes"]) == (0, [], [])
        assert "Cannot be judged until it is fetched or imported:" in said


async def _trust_tdx(running: Running) -> None:
    """The asset is for TDs now: one image, measured whole."""
    registers = {name: value.hex() for name, value in MEASURED.items() if name != "mr_td"}
    value = {"name": "trainer", "platform": "tdx", "measurement": MEASURED["mr_td"].hex(), **registers}
    references = {
        "name": REFERENCES, "state": "active", "shared": False,
        "values": [{**value, "covers": ["cmdline", "firmware", "initrd", "kernel"]}],
    }  # fmt: skip
    await _change(running, "profile", PROFILE, {"name": PROFILE, "profile": {"tdx": {}}})
    await _change(running, "reference-set", REFERENCES, references)
