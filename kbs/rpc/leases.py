"""sealgate.v1.Leases: who holds which keys, and until when; and an end to it. Every question is logged."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Protocol

from google.protobuf.timestamp_pb2 import Timestamp
from sealgate.v1.leases_pb2 import (
    LEASE_END_ATTEST_AGAIN,
    LEASE_END_BLOCKED,
    LEASE_STATE_ACTIVE,
    LEASE_STATE_ENDED,
    LEASE_STATE_EXPIRED,
    EndLeaseRequest,
    EndLeaseResponse,
    GetLeaseReceiptRequest,
    GetLeaseReceiptResponse,
    GetLeaseRequest,
    GetLeaseResponse,
    LeasedAsset,
    ListLeasesRequest,
    ListLeasesResponse,
)
from sealgate.v1.leases_pb2 import LeaseRecord as LeaseMessage
from sealgate.v1.receipt_pb2 import Receipt as ReceiptMessage

from kbs.log.calls import lease_revoked
from kbs.log.receipts import NotPublished, Receipt, Receipts
from kbs.model.effect import EndLease, PutTicket
from kbs.model.lease import BLOCKED, REATTEST, LeaseRecord
from kbs.model.names import AssetName, InvalidName
from kbs.model.refusal import Refused, Unavailable
from kbs.model.unit import Committed, LeaseUse, Unit, Verdict
from kbs.release.port import Broker
from kbs.rpc.handler import Method
from kbs.rpc.parse import LEASE_ID
from kbs.rpc.people import Allowed, Rpc, StateMoved, by_name, methods_of
from kbs.rpc.queries import log_query

__all__ = ["NAME", "LeaseLists", "methods", "proven", "receipt_message"]

NAME = "sealgate.v1.Leases"
_STATES = {"active": LEASE_STATE_ACTIVE, "expired": LEASE_STATE_EXPIRED, "ended": LEASE_STATE_ENDED}
_ENDS = {LEASE_END_ATTEST_AGAIN: REATTEST, LEASE_END_BLOCKED: BLOCKED}
_TOKEN = re.compile(r"([0-9]{1,16})\.([0-9a-f]{32})", re.ASCII)
_PAGE, _MOST, _FIRST = 100, 1_000, 2**62


class LeaseLists(Protocol):
    """Leases as people see them."""

    def lease(self, lease_id: str) -> LeaseRecord | None:
        """The record, or None."""

    def page(
        self, tenant: str, *, asset: str, active_at: int | None, start: int, after: str, limit: int
    ) -> Sequence[LeaseRecord]:
        """Newest first, from (`start`, `after`) on."""

    def nodes(self, tenant: str, *, asset: str, active_at: int | None) -> int:
        """How many platforms hold them."""


def methods(broker: Broker, leases: LeaseLists, receipts: Receipts) -> dict[str, Method]:
    """The service's methods over one broker."""

    def found(allowed: Allowed) -> LeaseRecord:
        """The lease that the call is about, of the tenant in which the caller has a role."""
        lease_id = allowed.place.name.rpartition("/")[2]
        lease = leases.lease(lease_id) if LEASE_ID.fullmatch(lease_id) else None
        if lease is None or _name(lease) != allowed.place.name:
            raise Refused("NOT_FOUND", check="LEASE", expected="a lease of this tenant", got="none")
        return lease

    async def get_lease(request: GetLeaseRequest, allowed: Allowed) -> GetLeaseResponse:
        await log_query(broker, allowed, allowed.place.tenant, "GetLease", name=request.name)
        return GetLeaseResponse(lease=_message(found(allowed), broker.clock()))

    async def get_receipt(request: GetLeaseReceiptRequest, allowed: Allowed) -> GetLeaseReceiptResponse:
        await log_query(broker, allowed, allowed.place.tenant, "GetLeaseReceipt", name=request.name)
        return GetLeaseReceiptResponse(
            receipt=receipt_message(proven(receipts, found(allowed).granted), broker.log_note.current)
        )

    async def end_lease(request: EndLeaseRequest, allowed: Allowed) -> EndLeaseResponse:
        if request.reason not in _ENDS:
            raise _bad("reason", "LEASE_END_ATTEST_AGAIN or LEASE_END_BLOCKED", str(request.reason))
        lease, now = found(allowed), broker.clock()
        if not lease.live(now):
            raise Refused("LEASE_OVER", check="LEASE", expected="active", got=lease.state(now))
        if not request.validate_only:
            await _end(broker, allowed, lease, _ENDS[request.reason], now)
        return EndLeaseResponse(lease=_message(found(allowed), now))

    async def list_leases(request: ListLeasesRequest, allowed: Allowed) -> ListLeasesResponse:
        tenant, now = allowed.place.tenant, broker.clock()
        if allowed.place.name != f"tenants/{tenant}":
            raise _bad("parent", "tenants/TENANT", request.parent)
        start, after = _place(request.page_token)
        size = _size(request.page_size)
        _asset(request.asset, tenant)
        active_at = now if request.active else None
        scope: dict[str, str | bool] = {"asset": request.asset, "active": request.active}
        await log_query(broker, allowed, tenant, "ListLeases", **scope, page_token=request.page_token)
        page = leases.page(tenant, asset=request.asset, active_at=active_at, start=start, after=after, limit=size + 1)
        last = page[size - 1] if len(page) > size else None
        return ListLeasesResponse(
            leases=[_message(lease, now) for lease in page[:size]],
            next_page_token=f"{last.start}.{last.lease_id}" if last else "",
            total_nodes=leases.nodes(tenant, asset=request.asset, active_at=active_at),
        )

    table: dict[str, Rpc[Any]] = {
        "EndLease": Rpc(request=EndLeaseRequest, locate=by_name("name"), run=end_lease),
        "GetLease": Rpc(request=GetLeaseRequest, locate=by_name("name"), run=get_lease),
        "GetLeaseReceipt": Rpc(request=GetLeaseReceiptRequest, locate=by_name("name"), run=get_receipt),
        "ListLeases": Rpc(request=ListLeasesRequest, locate=by_name("parent"), run=list_leases),
    }
    return methods_of(NAME, table, broker)


async def _end(broker: Broker, allowed: Allowed, lease: LeaseRecord, reason: str, now: int) -> None:
    """Through the write door, if the lease still is as it was read; raises StateMoved."""
    ticket = broker.random(16).hex()
    draft = lease_revoked(
        entry_id=ticket,
        actor=allowed.person.id,
        broker=broker.identity,
        lease=lease,
        ended=now,
        reason=reason,
        decision=allowed.decision_digest,
    )
    effects = (
        PutTicket(ticket=ticket, tenant=lease.holder.tenant),
        EndLease(lease_id=lease.lease_id, ended=now, reason=reason),
    )
    unit = Unit(
        verdict=Verdict(draft=draft, own=(allowed.decision,), effects=effects),
        revision=allowed.snapshot.revision,
        lease=LeaseUse(lease_id=lease.lease_id, newest=lease.newest),
    )
    if not isinstance((await broker.store.commit([unit]))[0], Committed):
        raise StateMoved


def proven(receipts: Receipts, index: int) -> Receipt:
    """The receipt of an entry; raises Unavailable until it is published."""
    try:
        return receipts.receipt(index)
    except NotPublished as error:
        raise Unavailable("LOG_UNAVAILABLE") from error


def receipt_message(receipt: Receipt, signers: bytes) -> ReceiptMessage:
    """The receipt as it travels, with the note of log keys."""
    return ReceiptMessage(
        leaf=receipt.leaf,
        index=receipt.index,
        hashes=receipt.hashes,
        checkpoint=receipt.checkpoint,
        signers=signers,
    )


def _name(lease: LeaseRecord) -> str:
    return f"tenants/{lease.holder.tenant}/leases/{lease.lease_id}"


def _message(lease: LeaseRecord, now: int) -> LeaseMessage:
    return LeaseMessage(
        name=_name(lease),
        node=lease.holder.node,
        guest=lease.holder.guest,
        platform=lease.holder.platform,
        purpose=lease.purpose,
        assets=[LeasedAsset(asset=asset, version=version) for asset, version in lease.keys],
        start_time=_time(lease.start),
        end_time=_time(lease.ended or lease.end),
        state=_STATES[lease.state(now)],
        reason=lease.reason,
        renewable=bool(lease.holder.key) and lease.live(now),
        grant_index=lease.granted,
        newest_index=lease.newest,
        devices=lease.holder.devices,
    )


def _time(ms: int) -> Timestamp:
    return Timestamp(seconds=ms // 1_000, nanos=ms % 1_000 * 1_000_000)


def _place(token: str) -> tuple[int, str]:
    if not token:
        return _FIRST, ""
    match = _TOKEN.fullmatch(token)
    if match is None:
        raise _bad("page_token", "the next_page_token of the page before", token)
    return int(match[1]), match[2]


def _size(asked: int) -> int:
    if not 0 <= asked <= _MOST:
        raise _bad("page_size", f"1 to {_MOST}, or 0 for {_PAGE}", str(asked))
    return asked or _PAGE


def _asset(name: str, tenant: str) -> None:
    try:
        if name and AssetName.parse(name).tenant != tenant:
            raise _bad("asset", f"an asset of tenants/{tenant}", name)
    except InvalidName as error:
        raise _bad("asset", error.expected, error.got) from None


def _bad(field: str, expected: str, got: str) -> Refused:
    return Refused("REQUEST_MALFORMED", check=field, expected=expected, got=got[:80])
