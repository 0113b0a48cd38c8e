"""sealgate.v1.KeyRelease: challenge, then keys."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp
from sealgate.v1.key_release_pb2 import (
    GetChallengeRequest,
    GetChallengeResponse,
    Lease,
    ReleaseKeysResponse,
    WrappedKey,
)
from sealgate.v1.receipt_pb2 import Receipt

from attest.errors import AttestError
from kbs.custody.envelope import WrapInvalid
from kbs.model.refusal import Refused, Unavailable
from kbs.model.release import Answer
from kbs.release.port import Broker
from kbs.release.release import release
from kbs.rpc.handler import Call, Method
from kbs.rpc.parse import parse, parse_ask
from kbs.rpc.status import reason_of
from kbs.store.errors import StoreUnavailable

__all__ = ["NAME", "methods"]

NAME = "sealgate.v1.KeyRelease"


def methods(broker: Broker) -> dict[str, Method]:
    """The service's methods over one broker."""

    async def get_challenge(data: bytes, _call: Call) -> bytes:
        parse(GetChallengeRequest, data)
        challenge = broker.challenges.issue(broker.clock(), broker.random(16))
        return GetChallengeResponse(challenge=challenge, origin=broker.deployment).SerializeToString()

    async def release_keys(data: bytes, _call: Call) -> bytes:
        try:
            answer = await release(parse_ask(data), broker)
        except StoreUnavailable as error:
            raise Unavailable("LOG_UNAVAILABLE") from error
        except WrapInvalid as error:
            raise Unavailable("KEY_UNAVAILABLE") from error
        except (AttestError, Refused) as error:
            _count(error, data, broker)
            raise
        return _response(answer).SerializeToString()

    return {"GetChallenge": get_challenge, "ReleaseKeys": release_keys}


def _count(error: AttestError | Refused, data: bytes, broker: Broker) -> None:
    """What has no entry of its own, since nothing was decided, is counted."""
    if isinstance(error, AttestError):
        broker.floods.count(reason_of(error), data)
    elif not error.ticket and not isinstance(error, Unavailable):
        broker.floods.count(error.reason, data)


def _response(answer: Answer) -> ReleaseKeysResponse:
    place, lease = answer.place, answer.grant.lease
    response = ReleaseKeysResponse(
        keys=[
            WrappedKey(key_name=k.key_name, wrapped=k.wrapped, content_digest=k.content_digest)
            for k in answer.grant.keys
        ],
        receipt=Receipt(leaf=place.leaf, index=place.index, hashes=place.proof, checkpoint=answer.checkpoint),
        simulated=answer.simulated,
    )
    if lease is not None:
        response.lease.CopyFrom(
            Lease(lease_id=lease.lease_id, start_time=_timestamp(lease.start), end_time=_timestamp(lease.end))
        )
    return response


def _timestamp(ms: int) -> Timestamp:
    return Timestamp(seconds=ms // 1_000, nanos=ms % 1_000 * 1_000_000)
