"""The proof of a grant once more, for the guest that holds the lease's holder key."""

from __future__ import annotations

from sealgate.v1.key_release_pb2 import GetGrantReceiptRequest, GetGrantReceiptResponse

from attest.binding import bind
from attest.tlog.proof_file import ProofFile
from clients.errors import NotTrusted
from clients.transport import Channel
from clients.trust import Trust
from clients.workload.challenge import get_challenge
from clients.workload.held import HeldLease
from clients.workload.receipt import check_entry, proof_of

__all__ = ["grant_receipt"]


def grant_receipt(channel: Channel, trust: Trust, lease: HeldLease) -> ProofFile:
    """The receipt of the entry that granted `lease`, checked; raises Denied, Unavailable, NotTrusted."""
    challenge = get_challenge(channel, trust.origin)
    signed = bind("sealgate/v1/grant-receipt", challenge, trust.origin, lease.lease_id)
    request = GetGrantReceiptRequest(
        lease_id=lease.lease_id, challenge=challenge, holder_key=lease.key.public, signature=lease.key.sign(signed)
    )
    response = channel.call("/sealgate.v1.KeyRelease/GetGrantReceipt", request, GetGrantReceiptResponse)
    receipt = proof_of(response.receipt)
    body = check_entry(response.receipt.leaf, receipt, trust.informed(response.receipt.signers))
    told = body.get("lease")
    if body.get("type") != "release.granted" or not isinstance(told, dict) or told.get("id") != lease.lease_id:
        raise NotTrusted("RECEIPT_LEASE", f"the receipt is not of the grant of lease {lease.lease_id}")
    return receipt
