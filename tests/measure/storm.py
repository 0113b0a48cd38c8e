"""Many uses of one challenge at once, over the wire."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from sealgate.v1.key_release_pb2 import GetChallengeResponse, ReleaseKeysResponse

from clients.trust import read_trust
from tests.makers.site import make_site
from tests.makers.workload import wire_request

__all__ = ["Seen", "storm"]

_SERVICE = "/sealgate.v1.KeyRelease"


@dataclass(frozen=True, kw_only=True)
class Seen:
    """Counts of distinct things, and the reasons that different requests were given."""

    entries: int
    leases: int
    wrapped: int
    replies: int
    same: int
    different: int
    others: set[str]


async def _call(channel: grpc.aio.Channel, method: str, request: bytes) -> bytes | str:
    """The reply's bytes, or the reason of the refusal."""
    call: Any = channel.unary_unary(f"{_SERVICE}/{method}")
    try:
        return bytes(await call(request, timeout=60))
    except grpc.aio.AioRpcError as error:
        pairs: Any = error.trailing_metadata() or ()
        details = next((value for key, value in pairs if key == "grpc-status-details-bin"), b"")
        info = ErrorInfo()
        Status.FromString(details).details[0].Unpack(info)
        return str(info.reason)


async def storm(count: int) -> Seen:
    """`count` requests under one challenge: nine of ten identical, the others with keys of their own."""
    with tempfile.TemporaryDirectory() as name:
        site = await make_site(Path(name) / "site")
        trust = read_trust(site.trust, simulated=True)
        async with site.serve() as (running, listeners):
            credentials = grpc.ssl_channel_credentials(trust.broker_ca)
            async with grpc.aio.secure_channel(f"127.0.0.1:{listeners.workload_port}", credentials) as channel:
                answer = await _call(channel, "GetChallenge", b"")
                if not isinstance(answer, bytes):
                    raise TypeError(f"no challenge: {answer}")
                challenge = GetChallengeResponse.FromString(answer).challenge
                first = wire_request(site.chip, challenge)
                others = [wire_request(site.chip, challenge) for _ in range(count // 10)]
                before = running.reader.head().size
                # The first is on its way before the others start, so that it is known whose the challenge becomes.
                winner = asyncio.create_task(_call(channel, "ReleaseKeys", first))
                same = [_call(channel, "ReleaseKeys", first) for _ in range(count - len(others) - 1)]
                await asyncio.sleep(0)
                results = await asyncio.gather(winner, *same, *(_call(channel, "ReleaseKeys", o) for o in others))
                entries = running.reader.head().size - before
    replies = results[: count - len(others)]
    parsed = [ReleaseKeysResponse.FromString(r) for r in replies if isinstance(r, bytes)]
    return Seen(
        entries=entries,
        leases=len({r.lease.lease_id for r in parsed}),
        wrapped=len({tuple(k.wrapped for k in r.keys) for r in parsed}),
        replies=len(set(replies)),
        same=len(replies),
        different=len(others),
        others={str(r) if isinstance(r, str) else "granted" for r in results[count - len(others) :]},
    )
