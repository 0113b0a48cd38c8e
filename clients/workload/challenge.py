"""The first call: a challenge. Apart from the rest, so that it is on its way before anything else is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sealgate.v1.key_release_pb2 import GetChallengeRequest, GetChallengeResponse

from clients.errors import NotTrusted

if TYPE_CHECKING:
    from clients.transport import Channel

__all__ = ["get_challenge"]


def get_challenge(channel: Channel, origin: str) -> bytes:
    """A challenge of the deployment called `origin`; raises NotTrusted ORIGIN if another answers."""
    response = channel.call("/sealgate.v1.KeyRelease/GetChallenge", GetChallengeRequest(), GetChallengeResponse)
    if response.origin != origin:
        raise NotTrusted("ORIGIN", f"the trust file is for {origin}, this broker says it is {response.origin!r}")
    return response.challenge
