"""Brokers that a node must not believe: whole ones with the right CA, and a man in the middle of the right one."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from sealgate.v1.key_release_pb2 import ReleaseKeysRequest, ReleaseKeysResponse

from attest import binding
from attest.evidence import Collateral
from clients.transport import Channel
from kbs.collateral.shelf import Shelf
from kbs.custody.secret import Secret
from kbs.release.recipient import open_recipient
from kbs.rpc.server import Listeners
from kbs.serve.service import serve
from kbs.serve.wiring import open_site
from tests.makers.site import ORIGIN, SimulatedSite, make_site

__all__ = ["Between", "impostor", "own_key", "replay"]


@contextlib.asynccontextmanager
async def impostor(site: SimulatedSite, directory: Path, *, origin: str = ORIGIN) -> AsyncIterator[Listeners]:
    """A deployment of somebody else's with the server certificate of `site`: its own log, catalogue and keys.

    It takes the evidence of the site's machines, and grants whatever they ask for, with keys that it chose itself.
    """
    other = await make_site(directory, origin=origin)
    shelf = Shelf(Collateral(crls=(site.vendor.crl(),)))
    with open_site(other.site, shelf, site.anchors) as running:
        claimed = dataclasses.replace(running, broker=dataclasses.replace(running.broker, deployment=ORIGIN))
        async with serve(
            claimed, site.tls(), host="127.0.0.1", workload_port=0, people_port=0, publish_every_s=0.2
        ) as listeners:
            yield listeners


class Between:
    """A channel whose answers to a release somebody changes, with the request at hand."""

    def __init__(self, channel: Channel, change: Callable[[ReleaseKeysRequest, ReleaseKeysResponse], None]) -> None:
        self._channel, self._change = channel, change

    def call(self, method: str, request: Any, response: type[Any]) -> Any:
        answer = self._channel.call(method, request, response)
        if isinstance(answer, ReleaseKeysResponse):
            self._change(request, answer)
        return answer


def own_key(request: ReleaseKeysRequest, answer: ReleaseKeysResponse) -> None:
    """Replaces the key by one of the liar's own, wrapped for the recipient with all of its context right."""
    attestation = request.attestation
    asked = binding.Request(action="release", origin=ORIGIN, purpose=request.purpose, names=tuple(request.names))
    transcript = binding.transcript(
        attestation.challenge,
        int(attestation.suite),
        attestation.recipient_key,
        attestation.holder_key,
        asked.digest(),
        [],
    )
    recipient = open_recipient(int(attestation.suite), attestation.recipient_key)
    for key in answer.keys:
        info = binding.key_info(
            binding.bound(transcript), key.key_name, request.purpose, answer.lease.lease_id, key.content_digest
        )
        key.wrapped = recipient.wrap(Secret(b"a key that the liar knows, too..."), info)


def replay(kept: list[ReleaseKeysResponse]) -> Callable[[ReleaseKeysRequest, ReleaseKeysResponse], None]:
    """Answers every request but the first with what the first was answered."""

    def change(_request: ReleaseKeysRequest, answer: ReleaseKeysResponse) -> None:
        kept.append(ReleaseKeysResponse.FromString(answer.SerializeToString()))
        answer.CopyFrom(kept[0])

    return change
