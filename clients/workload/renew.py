"""Renewal: the same proof as at boot, for the lease that this guest holds. No key comes back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC

from sealgate.v1.key_release_pb2 import RenewLeaseRequest, RenewLeaseResponse

from attest import binding
from attest.tlog.proof_file import ProofFile
from clients.errors import NotTrusted
from clients.transport import Channel
from clients.trust import Trust
from clients.workload.attested import attested, insist, result_of
from clients.workload.challenge import get_challenge
from clients.workload.devices import NO_DEVICES, Devices
from clients.workload.held import HeldLease
from clients.workload.receipt import Expected, check_receipt, proof_of
from clients.workload.tee import Tee

__all__ = ["Renewed", "renew_lease"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewed:
    """The lease with its new end, the proof that the renewal is in the log, and the attestation result if asked for."""

    lease: HeldLease
    receipt: ProofFile
    result: str = ""


def renew_lease(
    channel: Channel,
    trust: Trust,
    tee: Tee,
    lease: HeldLease,
    *,
    devices: Devices = NO_DEVICES,
    init_data: bytes = b"",
    audience: str = "",
) -> Renewed:
    """Renews a lease of this guest's.

    1. a challenge from the deployment that the trust file pins, which must be the lease's
    2. evidence for the holder key, over what the lease is about
    3. the receipt, checked against our own state, before the new end is believed

    Raises Denied with reason REVOKED_REATTEST where getting the keys anew may help and REVOKED_BLOCKED where only a
    person can, Unavailable, NotTrusted.
    """
    if lease.origin != trust.origin:
        raise NotTrusted("ORIGIN", f"the lease is of {lease.origin}, the trust file is for {trust.origin}")
    challenge = get_challenge(channel, trust.origin)  # 1
    asked = binding.Request(
        action="renew", origin=trust.origin, purpose=lease.purpose, names=lease.assets, lease_id=lease.lease_id
    )
    proof = attested(tee, challenge, asked, lease.key.public, devices, init_data)  # 2
    message = RenewLeaseRequest(
        attestation=proof.message,
        purpose=lease.purpose,
        names=lease.assets,
        lease_id=lease.lease_id,
        result_audience=audience,
    )
    response = insist(lambda: channel.call("/sealgate.v1.KeyRelease/RenewLease", message, RenewLeaseResponse))
    receipt = proof_of(response.receipt)  # 3
    expected = Expected(
        bound=proof.bound,
        wrapped_digests=[None] * len(lease.assets),
        names=lease.assets,
        lease_id=lease.lease_id,
        entry_type="lease.renewed",
        lease_end=response.lease.end_time.ToMilliseconds(),
    )
    check_receipt(response.receipt.leaf, receipt, expected, trust.informed(response.receipt.signers))
    return Renewed(
        lease=lease.until(response.lease.end_time.ToDatetime(tzinfo=UTC)),
        receipt=receipt,
        result=result_of(response.attestation_result, audience),
    )
