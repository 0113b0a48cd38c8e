"""A broker that has never reached a vendor, and a bundle: a TDX node gets its key, and not a day longer than it may."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from attest.tlog.entry import parse_leaf
from attest.tlog.keys import VerifierKey
from kbs.catalog.register import put
from kbs.collateral.service import CollateralService
from kbs.model.asset import Snapshot
from kbs.model.bundle import bundle_text, contents_of, join_bundle, open_bundle
from kbs.model.refusal import Refused, Unavailable
from kbs.policy.bundle import default_bundle
from kbs.release.fleet import Fleet
from kbs.release.foresight import foresee
from kbs.release.release import release
from kbs.serve.collateral import open_collateral
from kbs.serve.config.sections import Collateral as Section
from kbs.serve.wiring import Running, open_site, wall_clock
from tests.makers import intel as maker
from tests.makers import site as sites
from tests.makers.pcs import ROOT_CRL, FakePcs
from tests.makers.site import SimulatedSite
from tests.makers.vendor_http import VendorServer
from tests.makers.workload import Workload, build

PROFILE, REFERENCES = "tenants/acme/profiles/snp-default", "tenants/acme/referenceSets/trainer-1-4"
MEASURED = {"mr_td": b"\xd1" * 48, "rtmr0": b"\xa0" * 48, "rtmr1": b"\xa1" * 48, "rtmr2": b"\xa2" * 48}
DAY = 86_400_000


@asynccontextmanager
async def _broker(
    site: SimulatedSite, intel: maker.Intel, section: Section, clock: Any = wall_clock
) -> AsyncIterator[tuple[Running, CollateralService]]:
    clocks: dict[str, Any] = {"clock": clock, "monotonic": wall_clock, "chance": lambda: 0.5}
    bundle = default_bundle()
    both = dataclasses.replace(bundle, policies=bundle.policies.replace('["snp"]', '["snp", "tdx"]'))
    async with open_collateral(section, site.site.store, intel.anchors, **clocks) as keeper:
        with open_site(site.site, keeper, intel.anchors, clock=clock, bundle=both) as running:
            yield running, keeper


async def _trust_tdx(running: Running) -> None:
    """The demo's asset is for TDs now: one image, measured whole."""
    rows = {name: digest for name, _, digest, _ in running.reader.objects()[2]}
    value = {"name": "trainer", "platform": "tdx", "measurement": MEASURED["mr_td"].hex()}
    registers = {name: value.hex() for name, value in MEASURED.items() if name != "mr_td"}
    covers = ["cmdline", "firmware", "initrd", "kernel"]
    references = {
        "name": REFERENCES,
        "state": "active",
        "shared": False,
        "values": [{**value, **registers, "covers": covers}],
    }
    entry = sites.draft_of(running)
    profile = put("profile", PROFILE, {"name": PROFILE, "profile": {"tdx": {}}}, entry=entry, replaces=rows[PROFILE])
    await sites.register(running, [profile])
    entry = sites.draft_of(running)
    await sites.register(
        running, [put("reference-set", REFERENCES, references, entry=entry, replaces=rows[REFERENCES])]
    )


def _node(running: Running, site: SimulatedSite, platform: maker.Platform) -> Workload:
    workload = build(site.chip, running.broker.challenges, running.broker.clock())
    return dataclasses.replace(
        workload, ask=dataclasses.replace(workload.ask, evidence=platform.evidence(workload.bound, **MEASURED))
    )


def _forget(site: SimulatedSite) -> None:
    with contextlib.closing(sqlite3.connect(site.site.store)) as connection:
        connection.execute("DELETE FROM collateral_item")
        connection.execute("DELETE FROM collateral_blob")
        connection.commit()


async def test_a_cold_broker_with_a_bundle_releases_to_a_td(site: SimulatedSite) -> None:
    intel = maker.mint(now=dt.datetime.now(dt.UTC))
    platform = intel.platform()
    pcs = FakePcs(intel)
    async with VendorServer(pcs) as server:
        section = Section(kds=server.base, pcs=server.base, pcs_root_crl=f"{server.base}{ROOT_CRL}")
        async with _broker(site, intel, section) as (running, keeper):
            await _trust_tdx(running)
            workload = _node(running, site, platform)
            answer = await release(workload.ask, running.broker)
            assert workload.open(answer) == [site.key.seed]
            body: Any = parse_leaf(answer.place.leaf).body
            assert (body["platform"], body["product"]) == ("tdx", maker.FMSPC.hex())
            now = running.broker.clock()
            contents = contents_of(keeper.pieces(now))
            note = running.broker.signer.note(bundle_text(running.broker.signer.origin, now, contents))
            raw, key = join_bundle(note, contents), VerifierKey.parse(running.broker.signer.verifier_key)
        asked = sum(server.asked.values())
        _forget(site)
        async with _broker(site, intel, Section(fetch="nothing")) as (running, keeper):
            with pytest.raises(Unavailable, match="COLLATERAL_UNAVAILABLE"):
                await release(_node(running, site, platform).ask, running.broker)
            bundle = open_bundle(raw, [key])
            outcomes = await keeper.take(bundle.pieces, running.broker.clock())
            assert {outcome for _, outcome in outcomes} == {"kept"}
            workload = _node(running, site, platform)
            assert workload.open(await release(workload.ask, running.broker)) == [site.key.seed]
            found = await foresee(running.broker, keeper.ends(), Fleet(running.reader), at=running.broker.clock())
            assert (found.platforms, found.refused) == (1, 0)
        later = wall_clock() + 40 * DAY
        async with _broker(site, intel, Section(fetch="nothing"), lambda: later) as (running, keeper):
            with pytest.raises((Unavailable, Refused)):
                await release(_node(running, site, platform).ask, running.broker)
        assert sum(server.asked.values()) == asked


@dataclasses.dataclass(frozen=True)
class Standing:
    """A catalogue in which nothing moves."""

    snapshot: Snapshot

    def current(self) -> Snapshot:
        return self.snapshot


async def test_a_tcb_recovery_is_foreseen_for_those_below_it(site: SimulatedSite) -> None:
    """Fourteen nodes below the new level: who they are, why, and that the asset's profile is what refuses them."""
    intel = maker.mint(now=dt.datetime.now(dt.UTC))
    pcs = FakePcs(intel)
    async with VendorServer(pcs) as server:
        section = Section(kds=server.base, pcs=server.base, pcs_root_crl=f"{server.base}{ROOT_CRL}")
        async with _broker(site, intel, section) as (running, keeper):
            await _trust_tdx(running)
            for number in range(14):
                await release(_node(running, site, intel.platform(number=number)).ask, running.broker)
            fleet = Fleet(running.reader)
            now = running.broker.clock()
            assert (await foresee(running.broker, keeper.ends(), fleet, at=now + DAY)).refused == 0
            higher = tuple(svn + 1 for svn in maker.COMPONENTS)
            later = maker.time_text(intel.now + dt.timedelta(days=29, hours=1))
            pcs.tcb = {
                "tcbEvaluationDataNumber": 21,
                "nextUpdate": later,
                "tcbLevels": [intel.level(sgx=higher), intel.level("OutOfDate", advisories=["INTEL-SA-09999"])],
            }
            # Announced first: nobody is refused, and who will be is known, with the number and the day.
            pcs.early_tcb, pcs.tcb = pcs.tcb, {}
            pcs.events = {21: "2026-05-12T00:00:00Z"}
            await keeper.renew(now)
            found = await foresee(running.broker, keeper.ends(), fleet, at=now + DAY)
            assert (found.platforms, found.refused) == (14, 0)
            [change] = found.changes
            assert (change.coming.evaluation, change.platforms, change.refused) == (21, 14, 14)
            assert change.coming.event == dt.datetime(2026, 5, 12, tzinfo=dt.UTC).timestamp() * 1_000
            assert {refusal.check for refusal, _ in change.refusals} == {"TCB_STATUS_NOT_ACCEPTED"}
            # Who is refused anyway is told once, and the change only what it adds.
            bare = dataclasses.replace(running.broker.catalogue.current(), references={})
            nothing = dataclasses.replace(running.broker, catalogue=Standing(bare))
            found = await foresee(nothing, keeper.ends(), fleet, at=now + DAY)
            assert {refusal.check for refusal, _ in found.refusals} == {"POLICY_UNSPECIFIED"}
            assert [refusal for refusal, _ in found.changes[0].refusals] == [refusal for refusal, _ in change.refusals]
            await release(_node(running, site, intel.platform(number=3)).ask, running.broker)
            # Then it is the standard.
            pcs.tcb = pcs.early_tcb
            assert "intel/tcb/TDX/90c06f000000" in await keeper.renew(now, at_once=True)
            found = await foresee(running.broker, keeper.ends(), fleet, at=now + DAY)
            assert (found.platforms, found.refused) == (14, 14)
            checks = {refusal.check for refusal, nodes in found.refusals if len(nodes) == 14}
            assert "TCB_STATUS_NOT_ACCEPTED" in checks
            with pytest.raises(Refused, match="ACCESS_DENIED"):
                await release(_node(running, site, intel.platform(number=3)).ask, running.broker)
