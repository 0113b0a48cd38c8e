"""Who holds which keys, and until when: for operators and auditors. Operators may end it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sealgate.v1.leases_pb2 import (
    LEASE_END_ATTEST_AGAIN,
    LEASE_END_BLOCKED,
    EndLeaseRequest,
    EndLeaseResponse,
    GetLeaseReceiptRequest,
    GetLeaseReceiptResponse,
    GetLeaseRequest,
    GetLeaseResponse,
    LeaseRecord,
    LeaseState,
    ListLeasesRequest,
    ListLeasesResponse,
)

from attest.tlog.proof_file import ProofFile
from clients.errors import NotTrusted
from clients.transport import Channel
from clients.trust import Trust
from clients.workload.receipt import check_entry, proof_of

__all__ = ["ENDS", "Listed", "end_lease", "get_lease", "lease_receipt", "list_leases", "to_document", "to_text"]

_SERVICE = "/sealgate.v1.Leases"
ENDS = {"attest-again": LEASE_END_ATTEST_AGAIN, "blocked": LEASE_END_BLOCKED}  # what the holder is told


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """Leases, newest first, and how many different nodes there are among all of them."""

    leases: tuple[LeaseRecord, ...]
    nodes: int


def list_leases(channel: Channel, tenant: str, *, asset: str = "", active: bool = False) -> Listed:
    """All leases of `tenants/TENANT`, page by page; raises Denied, Unavailable."""
    leases: list[LeaseRecord] = []
    nodes = 0
    for page in _pages(channel, ListLeasesRequest(parent=tenant, asset=asset, active=active, page_size=500)):
        leases += page.leases
        nodes = page.total_nodes
    return Listed(leases=tuple(leases), nodes=nodes)


def _pages(channel: Channel, request: ListLeasesRequest) -> Iterator[ListLeasesResponse]:
    while True:
        page = channel.call(f"{_SERVICE}/ListLeases", request, ListLeasesResponse)
        yield page
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


def get_lease(channel: Channel, name: str) -> LeaseRecord:
    """One lease by `tenants/TENANT/leases/LEASE`."""
    return channel.call(f"{_SERVICE}/GetLease", GetLeaseRequest(name=name), GetLeaseResponse).lease


def end_lease(channel: Channel, name: str, reason: str, *, validate_only: bool = False) -> LeaseRecord:
    """Ends one lease, for one of `ENDS`, and returns it as it stands then; raises Denied, Unavailable."""
    request = EndLeaseRequest(name=name, reason=ENDS[reason], validate_only=validate_only)
    return channel.call(f"{_SERVICE}/EndLease", request, EndLeaseResponse).lease


def lease_receipt(channel: Channel, trust: Trust, name: str) -> ProofFile:
    """The receipt of the entry that granted it, checked against the trust file; raises NotTrusted besides."""
    request = GetLeaseReceiptRequest(name=name)
    response = channel.call(f"{_SERVICE}/GetLeaseReceipt", request, GetLeaseReceiptResponse)
    receipt = proof_of(response.receipt)
    body = check_entry(response.receipt.leaf, receipt, trust.informed(response.receipt.signers))
    told = body.get("lease")
    if not isinstance(told, dict) or told.get("id") != name.rpartition("/")[2]:
        raise NotTrusted("RECEIPT_LEASE", f"the receipt is not of the grant of {name}")
    return receipt


def to_document(lease: LeaseRecord) -> dict[str, object]:
    """For --json."""
    return {
        "name": lease.name,
        "state": _state(lease),
        "reason": lease.reason or None,
        "node": lease.node,
        "guest": lease.guest,
        "platform": lease.platform,
        "purpose": lease.purpose,
        "assets": [{"asset": each.asset, "version": each.version} for each in lease.assets],
        "devices": list(lease.devices),
        "start": lease.start_time.ToJsonString(),
        "end": lease.end_time.ToJsonString(),
        "renewable": lease.renewable,
        "grant_index": lease.grant_index,
        "newest_index": lease.newest_index,
    }


def to_text(lease: LeaseRecord) -> str:
    """For people: a line of the list."""
    assets = " ".join(f"{each.asset}@{each.version}" for each in lease.assets)
    state = f"{_state(lease)} ({lease.reason})" if lease.reason else _state(lease)
    end = lease.end_time.ToJsonString()[:19] + "Z"
    return f"{lease.name.rpartition('/')[2]}  {state:<8}  until {end}  {lease.node}  {lease.platform}  {assets}"


def _state(lease: LeaseRecord) -> str:
    return LeaseState.Name(lease.state).removeprefix("LEASE_STATE_").lower()
