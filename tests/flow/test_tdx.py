"""The same story for TDX: quotes verified, TDs appraised, keys released, leases renewed."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from attest.errors import AttestError
from attest.tlog.entry import parse_canonical, parse_leaf
from clients.transport import connect
from clients.trust import read_trust
from clients.workload.keys import Released, get_keys
from kbs.model.refusal import Refused
from kbs.release.release import release
from kbs.rpc.status import reason_of
from kbs.serve.wiring import Running
from tests.flow.test_release import digests_of
from tests.flow.test_renewal import HOLDER, record
from tests.makers.intel import FMSPC
from tests.makers.site import ASSET, PURPOSE, SimulatedSite
from tests.makers.tdx_site import MRTD, TdxSite, tdx_site
from tests.makers.workload import Workload, build


def ask(made: TdxSite, running: Running, *, fields: Mapping[str, Any] | None = None, **changed: Any) -> Workload:
    given: dict[str, Any] = {"collect": lambda bound: made.collect(bound, **(fields or {})), **changed}
    return build(made.site.chip, running.broker.challenges, running.broker.clock(), **given)


def newest(running: Running) -> tuple[int, Mapping[str, Any]]:
    index = running.reader.head().size - 1
    return index, parse_leaf(running.reader.entries(index, index + 1)[0][1]).body


def failed(running: Running) -> set[str]:
    """The checks that failed in the newest decision."""
    index, body = newest(running)
    document = running.reader.document(index, bytes.fromhex(body["decision_digest"]))
    assert document is not None
    findings: Any = parse_canonical(document, limit=1 << 20)["findings"]
    return {finding["check"] for finding in findings if finding["outcome"] == "failed"}


async def test_a_genuine_td_gets_its_key_and_the_entry_says_which(site: SimulatedSite) -> None:
    made = await tdx_site(site)
    with made.open() as running:
        await running.door.commit([running.joined])
        workload = ask(made, running)
        answer = await release(workload.ask, running.broker)
        assert workload.open(answer) == [site.key.seed]
        index, body = newest(running)
        assert (body["type"], body["platform"], body["product"]) == ("release.granted", "tdx", FMSPC.hex())
        assert (body["measurement"], body["simulated"]) == (MRTD.hex(), True)
        assert body["tcb"]
        for digest in digests_of(body):
            document = running.reader.document(index, digest)
            assert document is not None
            assert hashlib.sha256(document).digest() == digest
        assert await release(workload.ask, running.broker) == answer
        # SNP goes on as before, under the same asset.
        snp = build(site.chip, running.broker.challenges, running.broker.clock())
        assert snp.open(await release(snp.ask, running.broker)) == [site.key.seed]


# name: (what of the TD is changed, the coarse reason, a check that failed)
REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "another MRTD": ({"mr_td": bytes(48)}, "ACCESS_DENIED", "POLICY_MEASUREMENT"),
    "another RTMR0": ({"rtmr0": bytes(48)}, "ACCESS_DENIED", "REFERENCE_VALUE"),
    "another RTMR1": ({"rtmr1": bytes(48)}, "ACCESS_DENIED", "REFERENCE_VALUE"),
    "another RTMR2": ({"rtmr2": bytes(48)}, "ACCESS_DENIED", "REFERENCE_VALUE"),
    "under debug": ({"td_attributes": 1 << 28 | 1}, "DEBUG_ENABLED", "POLICY_DEBUG"),
    "SEPT_VE_DISABLE is clear": ({"td_attributes": 0}, "ACCESS_DENIED", ""),
    "migratable": ({"td_attributes": 1 << 28 | 1 << 29}, "MIGRATION_AGENT", ""),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_refusals_are_entries(site: SimulatedSite, name: str) -> None:
    fields, reason, check = REFUSED[name]
    made = await tdx_site(site)
    with made.open() as running:
        workload = ask(made, running, fields=fields)
        with pytest.raises(Refused) as refused:
            await release(workload.ask, running.broker)
        assert refused.value.reason == reason
        assert newest(running)[1]["type"] == "release.refused"
        assert {check} - {""} <= failed(running)


async def test_a_platform_that_the_profile_does_not_name(site: SimulatedSite) -> None:
    made = await tdx_site(site)
    with made.open() as running:
        asset = running.broker.catalogue.current().assets[ASSET]
        from tests.makers import site as maker  # noqa: PLC0415

        document = {"name": asset.profile, "profile": maker.PROFILE}
        old = running.broker.catalogue.current().profiles[asset.profile]
        from kbs.catalog.register import put  # noqa: PLC0415

        change = put("profile", asset.profile, document, entry=maker.draft_of(running), replaces=old.digest)
        await maker.register(running, [change])
        with pytest.raises(Refused, match="ACCESS_DENIED"):
            await release(ask(made, running).ask, running.broker)
        assert "POLICY_PLATFORM" in failed(running)


async def test_a_tcb_that_is_out_of_date(site: SimulatedSite) -> None:
    made = await tdx_site(site)
    old = [made.intel.level("OutOfDate")]
    with made.open(tcb_info={"tcbLevels": old}) as running:
        with pytest.raises(Refused, match="ACCESS_DENIED"):
            await release(ask(made, running).ask, running.broker)
        assert newest(running)[1]["type"] == "release.refused"


# name: (what the broker is opened with, what of the quote is changed, the coarse reason)
UNPROVEN: dict[str, tuple[Callable[[TdxSite], dict[str, Any]], dict[str, Any], str]] = {
    "made for another request": (lambda m: {}, {"report_data": bytes(64)}, "BINDING_MISMATCH"),
    "of a root that is not pinned": (lambda m: {"anchors": m.site.anchors}, {}, "ROOT_UNKNOWN"),
    "collateral of yesterday's signer": (lambda m: {"pck_crl": b""}, {}, "COLLATERAL_UNAVAILABLE"),
}


@pytest.mark.parametrize("name", UNPROVEN)
async def test_what_is_not_proven_consumes_and_stores_nothing(site: SimulatedSite, name: str) -> None:
    opened, fields, reason = UNPROVEN[name]
    made = await tdx_site(site)
    with made.open(**opened(made)) as running:
        before = running.reader.head()
        workload = ask(made, running)
        if fields:
            workload = ask(made, running, collect=lambda _: made.collect(bytes(64)))
        with pytest.raises(AttestError) as refused:
            await release(workload.ask, running.broker)
        assert reason_of(refused.value) == reason
        assert running.reader.head() == before


async def test_init_data_is_bound_by_mrconfigid(site: SimulatedSite) -> None:
    """SHA-384, since MRCONFIGID is 48 bytes; what is not in the quote is no claim."""
    data = b'{"job":"x"}'
    made = await tdx_site(site)
    with made.open() as running:
        digest = hashlib.sha384(data).digest()
        workload = ask(made, running, init_data=data, fields={"mr_config_id": digest})
        assert (await release(workload.ask, running.broker)).grant.keys
        for other in (bytes(48), hashlib.sha256(data).digest() + bytes(16)):
            unbound = ask(made, running, init_data=data, fields={"mr_config_id": other})
            with pytest.raises(AttestError) as refused:
                await release(unbound.ask, running.broker)
            assert refused.value.check == "INIT_DATA_UNBOUND"


async def test_a_lease_is_renewed_on_the_same_platform_alone(site: SimulatedSite) -> None:
    made = await tdx_site(site)
    elsewhere = dataclasses.replace(made, platform=made.intel.platform(number=2))
    with made.open() as running:
        answer = await release(ask(made, running, holder_key=HOLDER).ask, running.broker)
        assert answer.grant.lease is not None
        lease = record(running, answer.grant.lease.lease_id)
        assert lease.holder.platform == "tdx"
        await release(ask(made, running, holder_key=HOLDER, renews=lease.lease_id).ask, running.broker)
        with pytest.raises(Refused, match="ACCESS_DENIED"):
            await release(ask(elsewhere, running, holder_key=HOLDER, renews=lease.lease_id).ask, running.broker)
        assert "LEASE_GUEST" in failed(running)
        snp = build(
            site.chip, running.broker.challenges, running.broker.clock(), holder_key=HOLDER, renews=lease.lease_id
        )
        with pytest.raises(Refused, match="ACCESS_DENIED"):
            await release(snp.ask, running.broker)


class TdxDoor:
    """A TD behind the client's door."""

    simulated = True

    def __init__(self, made: TdxSite) -> None:
        self._made = made

    def collect(self, report_data: bytes) -> Any:
        return self._made.collect(report_data)


async def test_over_the_wire(site: SimulatedSite) -> None:
    made = await tdx_site(site)
    async with made.serve() as (_, listeners):
        trust = read_trust(site.trust, simulated=True)

        def get() -> Released:
            with connect(f"127.0.0.1:{listeners.workload_port}", trust.broker_ca) as channel:
                return get_keys(channel, trust, TdxDoor(made), PURPOSE, [ASSET])

        released = await asyncio.to_thread(get)
    assert [key.secret for key in released.keys] == [site.key.seed]
