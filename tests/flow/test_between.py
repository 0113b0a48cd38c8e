"""Somebody between node and broker, and the two things of a request that no evidence holds.

Whether it is a rehearsal, and for whom an attestation result is made: docs/decisions/0024. Whoever holds the broker's
TLS key can change them. What comes of it is held here: no key is read, no result is of use to anybody but the holder of
the key that it names, the guest sees that it was done, and the log says what was done.
"""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from sealgate.v1.key_release_pb2 import ReleaseKeysRequest, ReleaseKeysResponse

from attest.tlog.entry import parse_leaf
from clients.errors import Denied, NotTrusted
from clients.transport import Channel, connect
from clients.trust import read_trust
from clients.workload.keys import get_keys
from clients.workload.rehearse import rehearse
from kbs.custody.results import public_jwk
from kbs.model.refusal import Refused
from kbs.release.release import release
from kbs.serve.wiring import Running
from tests.flow.test_account import lower
from tests.flow.test_wire import FakeTee
from tests.makers.site import ASSET, PURPOSE, SimulatedSite
from tests.makers.workload import build, holder_public

MINE, THEIRS = "https://data.example", "https://other.example"
KEY = ec.derive_private_key(7, ec.SECP256R1())
HOLDER = holder_public(KEY)


class Between:
    """Ends the guest's TLS, changes a request, and keeps what it sees. Asks once more for what it changed."""

    def __init__(self, channel: Channel, change: Callable[[ReleaseKeysRequest], None]) -> None:
        self._channel = channel
        self._change = change
        self.seen: list[ReleaseKeysResponse] = []

    def call(self, method: str, request: Any, response: type[Any]) -> Any:
        if not isinstance(request, ReleaseKeysRequest):
            return self._channel.call(method, request, response)
        changed = ReleaseKeysRequest.FromString(request.SerializeToString())
        self._change(changed)
        self.seen.append(self._channel.call(method, changed, response))
        assert self.seen[0] == self._channel.call(method, changed, response)
        with pytest.raises(Denied, match="CHALLENGE_REUSED"):
            self._channel.call(method, request, response)
        return self.seen[0]


def _asked(
    site: SimulatedSite,
    port: int,
    change: Callable[[ReleaseKeysRequest], None],
    *,
    rehearsal: bool = False,
    **asked: Any,
) -> tuple[Any, str, ReleaseKeysResponse]:
    """What the guest got or refused, and what was seen between."""
    trust = read_trust(site.trust, simulated=True)
    with connect(f"127.0.0.1:{port}", trust.broker_ca) as channel:
        between: Any = Between(channel, change)
        ask = rehearse if rehearsal else get_keys
        try:
            return ask(between, trust, FakeTee(site), PURPOSE, [ASSET], **asked), "", between.seen[0]
        except NotTrusted as error:
            return None, error.check, between.seen[0]


def _types(running: Running) -> list[str]:
    leaves = running.reader.leaves(0, running.reader.head().size)
    return [kind for leaf in leaves if (kind := str(parse_leaf(leaf).body["type"])).startswith("release.")]


def _rehearse(request: ReleaseKeysRequest) -> None:
    request.validate_only = True


def _release(request: ReleaseKeysRequest) -> None:
    request.validate_only = False


async def test_a_release_that_was_made_a_rehearsal(site: SimulatedSite) -> None:
    async with site.serve() as (running, listeners):
        got, check, seen = await asyncio.to_thread(_asked, site, listeners.workload_port, _rehearse)
        assert (got, check, _types(running)) == (None, "KEY_NAME", ["release.rehearsed"])
        assert (list(seen.keys), seen.HasField("lease")) == ([], False)


async def test_a_rehearsal_that_was_made_a_release(site: SimulatedSite) -> None:
    """The one that costs something: the entry is true, a ceiling is nearer and a lease begins; no key is read."""
    async with site.serve() as (running, listeners):
        await lower(running, new_nodes_per_hour=1)
        got, check, seen = await asyncio.to_thread(_asked, site, listeners.workload_port, _release, rehearsal=True)
        assert (got, check, _types(running)) == (None, "REHEARSAL", ["release.granted"])
        assert site.key.seed not in seen.SerializeToString()
        lease = running.broker.leases.lease(seen.lease.lease_id)
        assert lease is not None
        assert lease.holder.key == b""  # it cannot be renewed, by whomever
        with pytest.raises(Refused, match="EXPOSURE_BUDGET"):
            await release(
                build(site.vendor.chip(90), running.broker.challenges, running.broker.clock()).ask, running.broker
            )


async def test_a_policy_for_rehearsals_alone_gives_no_key_to_one_that_was_made_a_release(site: SimulatedSite) -> None:
    """What is decided is what would be done, never what the guest meant."""

    class Rehearsals:
        async def answer(self, question: Any) -> Any:
            said = await running.broker.engines[0].answer(question)
            return dataclasses.replace(said, allowed=question.action == "rehearse")

    with site.open() as running:
        broker = dataclasses.replace(running.broker, engines=(Rehearsals(),))
        for rehearsal, reason in ((True, ""), (False, "ACCESS_DENIED")):
            ask = build(site.chip, broker.challenges, broker.clock(), rehearsal=True).ask
            told = ""
            try:
                await release(dataclasses.replace(ask, rehearsal=rehearsal), broker)
            except Refused as refused:
                told = refused.reason
            assert told == reason


def _claims(token: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))


def _to(audience: str) -> Callable[[ReleaseKeysRequest], None]:
    return lambda request: setattr(request, "result_audience", audience)


# name: (whom the guest asks for, whom the request is changed to, what the guest says of it)
AUDIENCES = {
    "another's instead": (MINE, THEIRS, "RESULT_AUDIENCE"),
    "none instead": (MINE, "", "RESULT_MISSING"),
    "another's, where none was asked for": ("", THEIRS, ""),
}


@pytest.mark.parametrize("name", AUDIENCES)
async def test_a_result_for_another_audience(site: SimulatedSite, name: str) -> None:
    """It names the guest's own key: without a signature of that key it is of no use to whoever sees it."""
    asked, changed, check = AUDIENCES[name]
    async with site.serve() as (_, listeners):
        got, told, seen = await asyncio.to_thread(
            _asked, site, listeners.workload_port, _to(changed), audience=asked, holder_key=HOLDER
        )
        assert told == check
        assert got is None or (got.result, [k.secret for k in got.keys]) == ("", [site.key.seed])
        if changed:
            claims = _claims(seen.attestation_result)
            assert (claims["aud"], claims["cnf"]) == (THEIRS, {"jwk": public_jwk(KEY.public_key())})


async def test_a_result_is_given_to_nobody_without_a_key_of_the_guests(site: SimulatedSite) -> None:
    with site.open() as running:
        workload = build(site.chip, running.broker.challenges, running.broker.clock())
        before = running.reader.head()
        with pytest.raises(Refused) as refused:
            await release(dataclasses.replace(workload.ask, audience=THEIRS), running.broker)
        assert (refused.value.check, running.reader.head()) == ("HOLDER_KEY", before)
        assert (await release(workload.ask, running.broker)).grant.result == ""


@pytest.mark.parametrize("renewal", [False, True], ids=["release", "renewal"])
async def test_a_repeat_is_for_the_same_audience(site: SimulatedSite, renewal: bool) -> None:
    with site.open() as running:
        broker = running.broker
        given: dict[str, Any] = {"holder_key": HOLDER, "report_id": bytes(range(32))}
        if renewal:
            answer = await release(build(site.chip, broker.challenges, broker.clock(), **given).ask, broker)
            assert answer.grant.lease is not None
            given["renews"] = answer.grant.lease.lease_id
        for first, others in ((MINE, ("", THEIRS)), ("", (MINE, THEIRS))):
            ask = build(site.chip, broker.challenges, broker.clock(), **given).ask
            ask = dataclasses.replace(ask, audience=first)
            answer = await release(ask, broker)
            size = running.reader.head().size
            for other in others:
                with pytest.raises(Refused) as refused:
                    await release(dataclasses.replace(ask, audience=other), broker)
                assert (refused.value.reason, refused.value.got) == (
                    "CHALLENGE_REUSED",
                    "one used with another audience",
                )
            assert await release(ask, broker) == answer
            assert running.reader.head().size == size
