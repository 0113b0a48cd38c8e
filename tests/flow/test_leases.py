"""Leases over the wire: lists and records for people, and the proof of a grant for them and for the holder."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sealgate.v1.key_release_pb2 import (
    GetChallengeRequest,
    GetChallengeResponse,
    GetGrantReceiptRequest,
    GetGrantReceiptResponse,
)
from sealgate.v1.leases_pb2 import (
    LEASE_END_ATTEST_AGAIN,
    LEASE_END_BLOCKED,
    LEASE_END_UNSPECIFIED,
    LEASE_STATE_ENDED,
    EndLeaseRequest,
    EndLeaseResponse,
    GetLeaseReceiptRequest,
    GetLeaseReceiptResponse,
    GetLeaseRequest,
    GetLeaseResponse,
    ListLeasesRequest,
    ListLeasesResponse,
)

from attest.binding import bind
from attest.tlog.entry import parse_leaf
from attest.tlog.keys import VerifierKey
from attest.tlog.proof_file import ProofFile, verify
from clients.errors import Denied, Unavailable
from clients.transport import Channel, Identity, connect
from clients.trust import read_trust
from kbs.log.receipts import NotPublished
from kbs.model.refusal import Refused
from kbs.release.release import release
from kbs.serve.wiring import Running
from tests.flow.test_renewal import HOLDER, ask, leased, newest
from tests.makers import pki
from tests.makers.site import ASSET, ORIGIN, SimulatedSite
from tests.makers.workload import build, holder_public

PARENT, KEY = "tenants/acme", ec.derive_private_key(7, ec.SECP256R1())
SERVICE = "/sealgate.v1.Leases"


def call(site: SimulatedSite, port: int, method: str, request: Any, answer: type[Any], who: pki.Pair | None) -> Any:
    trust = read_trust(site.trust, simulated=True)
    identity = Identity(key=who.key, chain=who.certificate) if who else None
    with connect(f"127.0.0.1:{port}", trust.broker_ca, identity) as channel:
        return channel.call(method, request, answer)


async def people(site: SimulatedSite, listeners: Any, method: str, request: Any, answer: type[Any]) -> Any:
    return await asyncio.to_thread(
        call, site, listeners.people_port, f"{SERVICE}/{method}", request, answer, site.operator
    )


async def published(running: Running) -> None:
    """Until the broker has published all that is committed; it does so by itself, five times a second here."""
    size = running.reader.head().size
    for _ in range(500):
        if running.publisher.published() >= size:
            return
        await asyncio.sleep(0.02)
    raise TimeoutError(f"{size} entries were not published")


def proves(running: Running, receipt: Any) -> Any:
    """The entry that a receipt proves, checked as a stranger would."""
    proof = ProofFile(
        index=receipt.index, hashes=tuple(receipt.hashes), checkpoint=receipt.checkpoint, extra=receipt.leaf
    )
    key = VerifierKey.parse(running.broker.signer.verifier_key)
    verify(proof, receipt.leaf, running.broker.signer.origin, [key])
    return parse_leaf(receipt.leaf).body


async def test_are_all_nodes_keyed(site: SimulatedSite) -> None:
    async with site.serve() as (running, listeners):
        for number in range(50, 55):
            await ask(site, running.broker, chip=site.vendor.chip(number))
        twice = await leased(site, running, chip=site.vendor.chip(50))
        seen: list[str] = []
        token, pages = "", 0
        while True:
            request = ListLeasesRequest(parent=PARENT, asset=ASSET, active=True, page_size=4, page_token=token)
            page = await people(site, listeners, "ListLeases", request, ListLeasesResponse)
            assert page.total_nodes == 5
            seen += [lease.name for lease in page.leases]
            token, pages = page.next_page_token, pages + 1
            if not token:
                break
        assert (len(seen), len(set(seen)), pages) == (6, 6, 2)
        name = f"{PARENT}/leases/{twice.lease_id}"
        assert name in seen
        told = await people(site, listeners, "GetLease", GetLeaseRequest(name=name), GetLeaseResponse)
        one = told.lease
        assert (one.name, one.node, one.platform, one.renewable) == (name, twice.holder.node, "snp", True)
        assert [(a.asset, a.version) for a in one.assets] == [(ASSET, 1)]
        none = ListLeasesRequest(parent=PARENT, asset=f"{PARENT}/assets/other")
        empty = await people(site, listeners, "ListLeases", none, ListLeasesResponse)
        assert (list(empty.leases), empty.total_nodes, empty.next_page_token) == ([], 0, "")
        assert newest(running)["type"] == "query.performed"


BAD: dict[str, dict[str, Any]] = {
    "another's asset": {"asset": "tenants/other/assets/a"},
    "no asset's name": {"asset": "everything"},
    "a page too large": {"page_size": 1_001},
    "a page below nothing": {"page_size": -1},
    "no token of ours": {"page_token": "1.2.3"},
    "one lease as the parent": {"parent": f"{PARENT}/leases/{'0' * 32}"},
    "no parent": {"parent": ""},
}


async def test_lists_that_cannot_be_meant(site: SimulatedSite) -> None:
    async with site.serve() as (_, listeners):
        for changed in BAD.values():
            with pytest.raises(Denied, match="REQUEST_MALFORMED"):
                await people(
                    site,
                    listeners,
                    "ListLeases",
                    ListLeasesRequest(**{"parent": PARENT, **changed}),
                    ListLeasesResponse,
                )


async def test_what_is_not_there_and_what_is_anothers(site: SimulatedSite) -> None:
    async with site.serve() as (running, listeners):
        lease = await leased(site, running)
        for name, reason in {
            f"{PARENT}/leases/{'0' * 32}": "NOT_FOUND",
            f"{PARENT}/leases/short": "NOT_FOUND",
            f"tenants/other/leases/{lease.lease_id}": "ACCESS_DENIED",
        }.items():
            with pytest.raises(Denied, match=reason):
                await people(site, listeners, "GetLease", GetLeaseRequest(name=name), GetLeaseResponse)


async def test_the_proof_of_a_grant_long_after(site: SimulatedSite) -> None:
    """For people by the lease's name, for the holder by a signature of its key; for nobody else."""
    async with site.serve() as (running, listeners):
        lease = await leased(site, running)
        with pytest.raises(NotPublished):
            running.receipts.receipt(1 << 40)
        for _ in range(30):
            await ask(
                site,
                running.broker,
                chip=site.vendor.chip(60),
                names=("tenants/acme/assets/llm-weights",),
                holder_key=b"",
            )
            if running.reader.head().size > 12:
                break
        await published(running)
        request = GetLeaseReceiptRequest(name=f"{PARENT}/leases/{lease.lease_id}")
        answer = await people(site, listeners, "GetLeaseReceipt", request, GetLeaseReceiptResponse)
        body = proves(running, answer.receipt)
        assert (answer.receipt.index, body["type"], body["lease"]["id"]) == (
            lease.granted, "release.granted", lease.lease_id,
        )  # fmt: skip

        def holder(**changed: Any) -> Any:
            given: dict[str, Any] = {
                "key": KEY,
                "public": HOLDER,
                "lease_id": lease.lease_id,
                "origin": ORIGIN,
                **changed,
            }
            return call_receipt(site, listeners.workload_port, **given)

        mine = await asyncio.to_thread(holder)
        assert proves(running, mine.receipt) == body
        other = ec.derive_private_key(8, ec.SECP256R1())
        for changed, reason in (
            ({"key": other}, "HOLDER_PROOF"),
            ({"key": other, "public": holder_public(other)}, "NOT_FOUND"),
            ({"lease_id": "0" * 32}, "NOT_FOUND"),
            ({"origin": "another.example"}, "HOLDER_PROOF"),
            ({"public": b""}, "REQUEST_MALFORMED"),
            ({"challenge": bytes(57)}, "CHALLENGE_INVALID"),
        ):
            with pytest.raises((Denied, Unavailable), match=reason):
                await asyncio.to_thread(holder, **changed)


async def test_a_holder_key_of_ed25519_proves_itself_too(site: SimulatedSite) -> None:
    key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    async with site.serve() as (running, listeners):
        lease = await leased(site, running, holder_key=public)
        await published(running)
        answer = await asyncio.to_thread(
            call_receipt, site, listeners.workload_port, key=key, public=public, lease_id=lease.lease_id, origin=ORIGIN
        )
        assert proves(running, answer.receipt)["lease"]["id"] == lease.lease_id


def call_receipt(
    site: SimulatedSite, port: int, *, key: Any, public: bytes, lease_id: str, origin: str, challenge: bytes = b""
) -> Any:
    trust = read_trust(site.trust, simulated=True)
    with connect(f"127.0.0.1:{port}", trust.broker_ca) as channel:
        challenge = challenge or _challenge(channel)
        signed = bind("sealgate/v1/grant-receipt", challenge, origin, lease_id)
        is_ec = isinstance(key, ec.EllipticCurvePrivateKey)
        signature = key.sign(signed, ec.ECDSA(hashes.SHA256())) if is_ec else key.sign(signed)
        request = GetGrantReceiptRequest(lease_id=lease_id, challenge=challenge, holder_key=public, signature=signature)
        return channel.call("/sealgate.v1.KeyRelease/GetGrantReceipt", request, GetGrantReceiptResponse)


def _challenge(channel: Channel) -> bytes:
    return channel.call("/sealgate.v1.KeyRelease/GetChallenge", GetChallengeRequest(), GetChallengeResponse).challenge


async def test_a_receipt_that_the_tiles_do_not_bear_out_is_not_given(site: SimulatedSite) -> None:
    with site.open() as running:
        lease = await leased(site, running)
        running.publisher.publish()
        assert running.receipts.receipt(lease.granted).index == lease.granted
        tile = next(path for path in sorted((site.site.log / "tile" / "0").rglob("*")) if path.is_file())
        data = bytearray(tile.read_bytes())
        data[0] ^= 1
        tile.write_bytes(data)
        with pytest.raises(Exception, match="PROOF_ROOT"):
            running.receipts.receipt(lease.granted)


# name: (what an operator says, what the holder is told, the check behind it)
ENDS: dict[str, tuple[Any, str, str]] = {
    "attest again": (LEASE_END_ATTEST_AGAIN, "REVOKED_REATTEST", "LEASE_OVER"),
    "blocked": (LEASE_END_BLOCKED, "REVOKED_BLOCKED", "LEASE_BLOCKED"),
}


@pytest.mark.parametrize("name", ENDS)
async def test_an_operator_ends_a_lease_and_its_renewal_is_told_why(site: SimulatedSite, name: str) -> None:
    reason, told, check = ENDS[name]
    async with site.serve() as (running, listeners):
        lease = await leased(site, running)
        other = await leased(site, running)
        asked = EndLeaseRequest(name=f"{PARENT}/leases/{lease.lease_id}", reason=reason)
        dry = EndLeaseRequest(name=asked.name, reason=reason, validate_only=True)
        size = running.reader.head().size
        assert (await people(site, listeners, "EndLease", dry, EndLeaseResponse)).lease.renewable
        assert running.reader.head().size == size
        ended = (await people(site, listeners, "EndLease", asked, EndLeaseResponse)).lease
        assert (ended.state, ended.reason, ended.renewable) == (LEASE_STATE_ENDED, told, False)
        leaf = parse_leaf(running.reader.entries(ended.newest_index, ended.newest_index + 1)[0][1])
        entry: Any = leaf.body
        assert (entry["type"], entry["reason"], entry["node"]) == ("lease.revoked", told, lease.holder.node)
        assert entry["lease"]["id"] == lease.lease_id
        assert lease.start <= entry["lease"]["end"] < lease.end
        assert [link.asset for link in leaf.header.chains] == [ASSET]
        with pytest.raises(Refused, match=told):
            await ask(site, running.broker, renews=lease.lease_id)
        refused = newest(running)
        assert (refused["type"], refused["reason"]) == ("lease.refused", told)
        decision = running.reader.document(running.reader.head().size - 1, bytes.fromhex(refused["decision_digest"]))
        assert decision is not None
        assert check.encode() in decision
        # ended is ended: it is said, changes nothing, and leaves the other lease alone
        with pytest.raises(Denied, match="LEASE_OVER"):
            await people(site, listeners, "EndLease", asked, EndLeaseResponse)
        await ask(site, running.broker, renews=other.lease_id)
        assert (await leased(site, running)).live(running.broker.clock())  # nor does it forbid the next release


async def test_a_released_answer_is_not_repeated_once_its_lease_was_ended(site: SimulatedSite) -> None:
    async with site.serve() as (running, listeners):
        workload = build(site.chip, running.broker.challenges, running.broker.clock(), holder_key=HOLDER)
        answer = await release(workload.ask, running.broker)
        assert answer.grant.lease is not None
        asked = EndLeaseRequest(name=f"{PARENT}/leases/{answer.grant.lease.lease_id}", reason=LEASE_END_BLOCKED)
        await people(site, listeners, "EndLease", asked, EndLeaseResponse)
        with pytest.raises(Refused, match="REVOKED_BLOCKED"):
            await release(workload.ask, running.broker)


async def test_a_lease_that_moves_meanwhile_is_ended_as_it_is_then(site: SimulatedSite) -> None:
    """A renewal between the look and the commit: the end is decided again, and no renewal revives the lease."""
    async with site.serve() as (running, listeners):
        lease = await leased(site, running)
        asked = EndLeaseRequest(name=f"{PARENT}/leases/{lease.lease_id}", reason=LEASE_END_BLOCKED)
        renewing = asyncio.create_task(ask(site, running.broker, renews=lease.lease_id))
        ended = (await people(site, listeners, "EndLease", asked, EndLeaseResponse)).lease
        assert ended.state == LEASE_STATE_ENDED
        with contextlib.suppress(Refused):
            await renewing
        found = running.broker.leases.lease(lease.lease_id)
        assert found is not None
        assert (found.reason, found.live(running.broker.clock())) == ("REVOKED_BLOCKED", False)


NOT_ENDED: dict[str, tuple[dict[str, Any], str]] = {
    "no reason": ({"reason": LEASE_END_UNSPECIFIED}, "REQUEST_MALFORMED"),
    "a reason that is none": ({"reason": 9}, "REQUEST_MALFORMED"),
    "no lease of the tenant": ({"name": f"{PARENT}/leases/{'0' * 32}"}, "NOT_FOUND"),
    "another tenant's": ({"name": f"tenants/umbrella/leases/{'0' * 32}"}, "ACCESS_DENIED"),
    "no name of a lease": ({"name": ASSET}, "NOT_FOUND"),
}


async def test_what_is_not_ended(site: SimulatedSite) -> None:
    async with site.serve() as (running, listeners):
        lease = await leased(site, running)
        good: dict[str, Any] = {"name": f"{PARENT}/leases/{lease.lease_id}", "reason": LEASE_END_BLOCKED}
        for changed, why in NOT_ENDED.values():
            with pytest.raises(Denied, match=why):
                await people(site, listeners, "EndLease", EndLeaseRequest(**good | changed), EndLeaseResponse)
        found = running.broker.leases.lease(lease.lease_id)
        assert found is not None
        assert found.live(running.broker.clock())


async def test_whoever_asks_in_a_loop_is_told_how_long_to_wait(site: SimulatedSite) -> None:
    async with site.serve() as (running, listeners):
        later = running.broker.monotonic() + 3_600_000  # so that no pause of this machine gives any of it back
        for number in range(240):
            assert running.broker.queries.wait("person-operator", b"%d" % number, later) == 0
        arguments = ListLeasesRequest(parent=PARENT), ListLeasesResponse, site.operator
        with pytest.raises(Unavailable, match="RATE_LIMITED") as caught:
            await asyncio.to_thread(call, site, listeners.people_port, f"{SERVICE}/ListLeases", *arguments)
        assert caught.value.retry_after is not None
        assert 0 < caught.value.retry_after < 3_700
