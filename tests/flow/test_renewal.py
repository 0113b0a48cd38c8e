"""Leases: who holds what until when, renewed by their holder alone, and ended for a reason that says what helps."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from attest.tlog.entry import parse_canonical, parse_leaf
from kbs.catalog.register import put
from kbs.model.lease import BLOCKED, REATTEST, LeaseRecord
from kbs.model.refusal import Refused, Unavailable
from kbs.release.port import Broker
from kbs.release.release import release
from kbs.serve.wiring import Running
from tests.flow.test_account import lower
from tests.makers import site as maker
from tests.makers.site import ASSET, SimulatedSite
from tests.makers.workload import build, holder_public

HOLDER = holder_public(ec.derive_private_key(7, ec.SECP256R1()))
OTHER = holder_public(ec.derive_private_key(8, ec.SECP256R1()))
GUEST, HOUR = bytes(range(32)), 3_600_000


async def ask(site: SimulatedSite, broker: Broker, **changed: Any) -> Any:
    """One request of the site's chip, as its guest with the holder key; what it was answered."""
    given = {"holder_key": HOLDER, "report_id": GUEST, **changed}
    chip = given.pop("chip", site.chip)
    return await release(build(chip, broker.challenges, broker.clock(), **given).ask, broker)


async def leased(site: SimulatedSite, running: Running, **changed: Any) -> LeaseRecord:
    answer = await ask(site, running.broker, **changed)
    return record(running, answer.grant.lease.lease_id)


def record(running: Running, lease_id: str) -> LeaseRecord:
    found = running.broker.leases.lease(lease_id)
    assert found is not None
    return found


def body(running: Running, index: int) -> Mapping[str, Any]:
    return parse_leaf(running.reader.entries(index, index + 1)[0][1]).body


def newest(running: Running) -> Mapping[str, Any]:
    return body(running, running.reader.head().size - 1)


def later(running: Running, ms: int) -> Broker:
    """The broker, so much later."""
    now = running.broker.clock() + ms
    return dataclasses.replace(running.broker, clock=lambda: now)


async def test_a_lease_is_a_record(site: SimulatedSite) -> None:
    with site.open() as running:
        lease = await leased(site, running)
        entry = body(running, lease.granted)
        assert entry["lease"] == {"id": lease.lease_id, "start": lease.start, "end": lease.end}
        assert (lease.names, lease.keys, lease.purpose) == ((ASSET,), ((ASSET, 1),), maker.PURPOSE)
        assert (lease.holder.node, lease.holder.platform) == (entry["actor"]["id"], "snp")
        assert lease.holder.guest.startswith("guest-")
        assert lease.end - lease.start == HOUR
        assert [lease.state(at) for at in (lease.start, lease.end - 1, lease.end)] == ["active", "active", "expired"]


async def test_the_holder_renews_and_gets_no_key(site: SimulatedSite) -> None:
    with site.open() as running:
        lease = await leased(site, running)
        broker = later(running, HOUR // 2)
        workload = build(
            site.chip, broker.challenges, broker.clock(), holder_key=HOLDER, report_id=GUEST, renews=lease.lease_id
        )
        answer = await release(workload.ask, broker)
        assert answer.grant.keys == ()
        now = record(running, lease.lease_id)
        assert (now.start, now.end, now.granted) == (lease.start, broker.clock() + HOUR, lease.granted)
        entry = body(running, now.newest)
        assert (entry["type"], entry["action"], entry["account"]) == ("lease.renewed", "renew", [])
        assert entry["keys"] == [{"asset": ASSET, "version": 1, "wrapped_digest": None}]
        assert entry["lease"] == {"id": lease.lease_id, "start": lease.start, "end": now.end}
        # A lost reply: the same bytes, no second entry, and the end stays where it is.
        size = running.reader.head().size
        assert await release(workload.ask, broker) == answer
        assert (running.reader.head().size, record(running, lease.lease_id)) == (size, now)


async def test_under_what_is_in_force_now_a_lease_may_be_shorter(site: SimulatedSite) -> None:
    with site.open() as running:
        lease = await leased(site, running)
        await lower(running, lease_seconds=60)
        await ask(site, running.broker, renews=lease.lease_id)
        assert record(running, lease.lease_id).end < lease.end


# name: (what of the renewal is another's, the check that fails)
STRANGERS: dict[str, tuple[dict[str, Any], str]] = {
    "another holder key in the same guest": ({"holder_key": OTHER}, "LEASE_HOLDER"),
    "another guest on the same machine": ({"report_id": bytes(32)}, "LEASE_GUEST"),
    "another machine with the same holder key": ({"chip": 31}, "LEASE_GUEST"),
    "another purpose": ({"purpose": "inference"}, "LEASE_REQUEST"),
    "another asset": ({"names": ("tenants/acme/assets/other",)}, "LEASE_REQUEST"),
    "one asset more": ({"names": (ASSET, "tenants/acme/assets/other")}, "LEASE_REQUEST"),
    "a lease that is none": ({"renews": "0" * 32}, "LEASE_UNKNOWN"),
    "another tenant's name for it": ({"names": ("tenants/other/assets/llm-weights",)}, "LEASE_UNKNOWN"),
}


@pytest.mark.parametrize("name", STRANGERS)
async def test_who_is_not_the_holder_learns_nothing_and_ends_nothing(site: SimulatedSite, name: str) -> None:
    changed, check = STRANGERS[name]
    if "chip" in changed:
        changed = {**changed, "chip": site.vendor.chip(changed["chip"])}
    with site.open() as running:
        lease = await leased(site, running)
        with pytest.raises(Refused) as refused:
            await ask(site, running.broker, **{"renews": lease.lease_id, **changed})
        assert refused.value.reason == "ACCESS_DENIED"
        entry = newest(running)
        assert (entry["type"], entry["id"], entry["lease"]) == ("lease.refused", refused.value.ticket, None)
        decision = running.reader.document(running.reader.head().size - 1, bytes.fromhex(entry["decision_digest"]))
        assert decision is not None
        findings: Any = parse_canonical(decision)["findings"]
        failed = [f["check"] for f in findings if f["outcome"] == "failed"]
        assert check in failed
        assert record(running, lease.lease_id) == lease
        await ask(site, running.broker, renews=lease.lease_id)


async def _lock(site: SimulatedSite, running: Running) -> None:
    lock = put("lock", "locks/1", {"name": "locks/1", "target": ASSET}, entry=maker.draft_of(running))
    await maker.register(running, [lock])


async def _revoke(site: SimulatedSite, running: Running) -> None:
    rows = {n: (digest, document) for n, _, digest, document in running.reader.objects()[2]}
    target = "tenants/acme/referenceSets/trainer-1-4"
    digest, data = rows[target]
    document = {k: v for k, v in parse_canonical(data).items() if k != "v"} | {"state": "revoked"}
    entry = maker.draft_of(running)
    await maker.register(running, [put("reference-set", target, document, entry=entry, replaces=digest)])


async def _no_purpose(site: SimulatedSite, running: Running) -> None:
    await lower(running, purposes=["inference"])


async def _nothing(site: SimulatedSite, running: Running) -> None:
    return None


# name: (what changes meanwhile, what of the guest changes, how the lease ends)
ENDS: dict[str, tuple[Callable[[SimulatedSite, Running], Any], dict[str, Any], str]] = {
    "a lock": (_lock, {}, BLOCKED),
    "the purpose is not allowed any more": (_no_purpose, {}, BLOCKED),
    "the image is not trusted any more": (_revoke, {}, REATTEST),
    "both": (lambda s, r: asyncio.gather(_lock(s, r), _revoke(s, r)), {}, BLOCKED),
    "it reports what it never booted with": (_nothing, {"vmpl": 1}, REATTEST),
}


@pytest.mark.parametrize("name", ENDS)
async def test_a_refused_renewal_ends_the_lease_and_says_what_helps(site: SimulatedSite, name: str) -> None:
    change, changed, reason = ENDS[name]
    with site.open() as running:
        granted = build(
            site.chip, running.broker.challenges, running.broker.clock(), holder_key=HOLDER, report_id=GUEST
        )
        answer = await release(granted.ask, running.broker)
        assert answer.grant.lease is not None
        lease = record(running, answer.grant.lease.lease_id)
        await change(site, running)
        with pytest.raises(Refused) as refused:
            await ask(site, running.broker, renews=lease.lease_id, **changed)
        assert refused.value.reason == reason
        entry, ended = newest(running), record(running, lease.lease_id)
        assert (entry["type"], entry["reason"], entry["id"]) == ("lease.ended", reason, refused.value.ticket)
        assert (ended.state(0), ended.reason, entry["lease"]["end"]) == ("ended", reason, ended.ended)
        assert running.broker.leases.held("acme", lease.holder.node, [ASSET], running.broker.clock()) == frozenset()
        # Nothing brings it back, and the stored reply of its grant is not given out any more.
        with pytest.raises(Refused) as again:
            await ask(site, running.broker, renews=lease.lease_id)
        assert again.value.reason == reason
        assert newest(running)["type"] == "lease.refused"
        assert record(running, lease.lease_id) == ended
        with pytest.raises(Refused) as repeated:
            await release(granted.ask, running.broker)
        assert repeated.value.reason == reason


async def test_a_lease_whose_time_is_over_is_not_renewed(site: SimulatedSite) -> None:
    with site.open() as running:
        lease = await leased(site, running)
        with pytest.raises(Refused) as refused:
            await ask(site, later(running, HOUR + 1), renews=lease.lease_id)
        assert refused.value.reason == REATTEST
        assert newest(running)["type"] == "lease.refused"
        assert record(running, lease.lease_id) == lease


async def test_without_a_holder_key_there_is_a_lease_and_no_renewal(site: SimulatedSite) -> None:
    with site.open() as running:
        lease = await leased(site, running, holder_key=b"")
        assert lease.holder.key == b""
        with pytest.raises(Refused) as refused:
            await ask(site, running.broker, renews=lease.lease_id, holder_key=b"")
        assert (refused.value.reason, refused.value.check) == ("REQUEST_MALFORMED", "HOLDER_KEY")
        with pytest.raises(Refused, match="ACCESS_DENIED"):
            await ask(site, running.broker, renews=lease.lease_id)


def _spki(key: Any) -> bytes:
    return bytes(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


_P256 = ec.derive_private_key(9, ec.SECP256R1()).public_key()
HOLDERS: dict[str, tuple[bytes, bool]] = {
    "P-256": (_spki(_P256), True),
    "Ed25519": (_spki(ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()), True),
    "P-384": (_spki(ec.derive_private_key(9, ec.SECP384R1()).public_key()), False),
    "a byte more": (_spki(_P256) + b"\0", False),
    "a compressed point": (
        bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200")
        + _P256.public_bytes(Encoding.X962, PublicFormat.CompressedPoint),
        False,
    ),
    "no key": (b"\0" * 91, False),
}


@pytest.mark.parametrize("name", HOLDERS)
async def test_holder_keys(site: SimulatedSite, name: str) -> None:
    key, fine = HOLDERS[name]
    with site.open() as running:
        if fine:
            lease = await leased(site, running, holder_key=key)
            await ask(site, running.broker, holder_key=key, renews=lease.lease_id)
            return
        with pytest.raises(Refused) as refused:
            await ask(site, running.broker, holder_key=key)
        assert (refused.value.reason, refused.value.check) == ("REQUEST_MALFORMED", "HOLDER_KEY")


async def test_many_renewals_at_once_and_one_that_ends_it(site: SimulatedSite) -> None:
    """Whatever the order: after the one that was refused no renewal succeeds, and none is lost without an answer."""
    with site.open() as running:
        lease = await leased(site, running)
        renewals = [ask(site, running.broker, renews=lease.lease_id) for _ in range(6)]
        refused = ask(site, running.broker, renews=lease.lease_id, vmpl=1)
        results = await asyncio.gather(*renewals[:3], refused, *renewals[3:], return_exceptions=True)
        assert isinstance(results[3], Refused)
        ended = record(running, lease.lease_id)
        types = [
            parse_leaf(leaf).body["type"]
            for leaf in running.reader.leaves(lease.granted + 1, running.reader.head().size)
        ]
        if isinstance(results[3], Unavailable):  # the lease moved under it each time: nothing was decided
            assert (results[3].reason, ended.ended, types.count("lease.ended")) == ("STATE_MOVING", 0, 0)
        else:
            assert (results[3].reason, ended.state(0), types.count("lease.ended")) == (REATTEST, "ended", 1)
            assert "lease.renewed" not in types[types.index("lease.ended") :]
        for told in (*results[:3], *results[4:]):
            assert not isinstance(told, Exception) or told.reason in {REATTEST, "STATE_MOVING"}  # type: ignore[attr-defined]


async def test_what_a_node_holds_is_no_new_exposure(site: SimulatedSite) -> None:
    """Long after the hour in which it was counted, it asks again for what it holds: the ceiling is not touched."""
    with site.open() as running:
        await lower(running, new_nodes_per_hour=1, lease_seconds=12 * 3_600)
        await leased(site, running)
        broker = later(running, 3 * HOUR)
        await ask(site, broker)
        assert newest(running)["account"] == []
        await ask(site, broker, chip=site.vendor.chip(32))
        with pytest.raises(Refused, match="EXPOSURE_BUDGET"):
            await ask(site, broker, chip=site.vendor.chip(33))
