"""sealgate.v1.KeyRelease: challenge, then keys."""

from __future__ import annotations

from collections.abc import Callable

from google.protobuf.timestamp_pb2 import Timestamp
from sealgate.v1.key_release_pb2 import (
    GetChallengeRequest,
    GetChallengeResponse,
    Lease,
    ReleaseKeysResponse,
    RenewLeaseResponse,
    WrappedKey,
)
from sealgate.v1.receipt_pb2 import Receipt

from attest.errors import AttestError
from kbs.custody.envelope import WrapInvalid
from kbs.log.receipts import Receipts
from kbs.model.refusal import Refused, Unavailable
from kbs.model.release import Answer, Ask
from kbs.release.port import Broker
from kbs.release.release import release
from kbs.rpc.grant_receipt import grant_receipt
from kbs.rpc.handler import Call, Method
from kbs.rpc.parse import parse, parse_ask, parse_renewal
from kbs.rpc.status import reason_of
from kbs.store.errors import StoreUnavailable

__all__ = ["NAME", "methods"]

NAME = "sealgate.v1.KeyRelease"


def methods(broker: Broker, receipts: Receipts) -> dict[str, Method]:
    """The service's methods over one broker."""

    async def get_challenge(data: bytes, _call: Call) -> bytes:
        parse(GetChallengeRequest, data)
        challenge = broker.challenges.issue(broker.clock(), broker.random(16))
        return GetChallengeResponse(challenge=challenge, origin=broker.deployment).SerializeToString()

    async def release_keys(data: bytes, _call: Call) -> bytes:
        return _released(await decided(parse_ask, data), broker.log_note.current).SerializeToString()

    async def renew_lease(data: bytes, _call: Call) -> bytes:
        return _renewed(await decided(parse_renewal, data), broker.log_note.current).SerializeToString()

    async def get_grant_receipt(data: bytes, _call: Call) -> bytes:
        try:
            return grant_receipt(data, broker, receipts).SerializeToString()
        except StoreUnavailable as error:
            raise Unavailable("LOG_UNAVAILABLE") from error
        except Refused as error:
            _count(error, data, broker)
            raise

    async def decided(parsed: Callable[[bytes], Ask], data: bytes) -> Answer:
        try:
            return await release(parsed(data), broker)
        except StoreUnavailable as error:
            raise Unavailable("LOG_UNAVAILABLE") from error
        except WrapInvalid as error:
            raise Unavailable("KEY_UNAVAILABLE") from error
        except (AttestError, Refused) as error:
            _count(error, data, broker)
            raise

    return {
        "GetChallenge": get_challenge,
        "ReleaseKeys": release_keys,
        "RenewLease": renew_lease,
        "GetGrantReceipt": get_grant_receipt,
    }


def _count(error: AttestError | Refused, data: bytes, broker: Broker) -> None:
    """What has no entry of its own, since nothing was decided, is counted."""
    if isinstance(error, AttestError):
        broker.floods.count(reason_of(error), data)
    elif not error.ticket and not isinstance(error, Unavailable):
        broker.floods.count(error.reason, data)


def _released(answer: Answer, signers: bytes) -> ReleaseKeysResponse:
    return ReleaseKeysResponse(
        keys=[
            WrappedKey(key_name=k.key_name, wrapped=k.wrapped, content_digest=k.content_digest)
            for k in answer.grant.keys
        ],
        lease=_lease(answer),
        receipt=_receipt(answer, signers),
        simulated=answer.simulated,
        attestation_result=answer.grant.result,
    )


def _renewed(answer: Answer, signers: bytes) -> RenewLeaseResponse:
    return RenewLeaseResponse(
        lease=_lease(answer),
        receipt=_receipt(answer, signers),
        simulated=answer.simulated,
        attestation_result=answer.grant.result,
    )


def _receipt(answer: Answer, signers: bytes) -> Receipt:
    place = answer.place
    return Receipt(
        leaf=place.leaf, index=place.index, hashes=place.proof, checkpoint=answer.checkpoint, signers=signers
    )


def _lease(answer: Answer) -> Lease | None:
    lease = answer.grant.lease
    if lease is None:
        return None
    return Lease(lease_id=lease.lease_id, start_time=_timestamp(lease.start), end_time=_timestamp(lease.end))


def _timestamp(ms: int) -> Timestamp:
    return Timestamp(seconds=ms // 1_000, nanos=ms % 1_000 * 1_000_000)
