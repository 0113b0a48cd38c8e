"""KeyRelease.GetGrantReceipt: the proof of a grant once more, for the workload that holds the lease's holder key.

Entries are not public, and a lease's name is no secret: whoever wants the entry shows that the holder key is theirs, by
a signature over a fresh challenge. The challenge is not used up, since the answer is the same each time.
"""

from __future__ import annotations

import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from sealgate.v1.key_release_pb2 import GetGrantReceiptRequest, GetGrantReceiptResponse

from attest.binding import bind
from kbs.log.receipts import Receipts
from kbs.model.refusal import Refused
from kbs.release.holder import open_holder
from kbs.release.port import Broker
from kbs.rpc.leases import proven, receipt_message
from kbs.rpc.parse import LEASE_ID, parse

__all__ = ["grant_receipt"]

_MAX_SIGNATURE = 128


def grant_receipt(data: bytes, broker: Broker, receipts: Receipts) -> GetGrantReceiptResponse:
    """The receipt. Raises Refused: CHALLENGE_INVALID or _EXPIRED, HOLDER_PROOF, and NOT_FOUND for any lease that is not
    the key's, whether there is one or not."""
    request = parse(GetGrantReceiptRequest, data)
    broker.challenges.check(request.challenge, broker.clock(), used=False)
    if LEASE_ID.fullmatch(request.lease_id) is None or len(request.signature) > _MAX_SIGNATURE:
        raise Refused(
            "REQUEST_MALFORMED",
            check="lease_id",
            expected="32 digits of lower-case hexadecimal, and a signature",
            got="another",
        )
    _proven_holder(request, broker)
    lease = broker.leases.lease(request.lease_id)
    if lease is None or lease.holder.key != hashlib.sha256(request.holder_key).digest():
        raise Refused("NOT_FOUND", check="LEASE", expected="a lease of this holder key", got="none")
    return GetGrantReceiptResponse(receipt=receipt_message(proven(receipts, lease.granted), broker.log_note.current))


def _proven_holder(request: GetGrantReceiptRequest, broker: Broker) -> None:
    key = open_holder(request.holder_key, required=True)
    signed = bind("sealgate/v1/grant-receipt", request.challenge, broker.deployment, request.lease_id)
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(request.signature, signed, ec.ECDSA(hashes.SHA256()))
        elif key is not None:
            key.verify(request.signature, signed)
    except InvalidSignature:
        raise Refused(
            "HOLDER_PROOF", check="HOLDER_PROOF", expected="a signature by the holder key", got="another"
        ) from None
