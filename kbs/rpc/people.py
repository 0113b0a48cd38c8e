"""The one way onto the people port: who calls, what the call concerns, the decision; only then the method itself.

1. the client key is of somebody enrolled      4. a refusal is an entry, with a ticket
2. the request is what the API describes        5. what was allowed runs, and knows who asked
3. it is decided, in the same way as a release

A method is served if `kbs.decide.authority` has a line for it, so that none can be forgotten.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

from kbs.decide.authority import RIGHTS, Right
from kbs.decide.canonical import decision_bytes
from kbs.decide.decide import decide
from kbs.decide.people import ask_person
from kbs.log.calls import access_refused
from kbs.model.asset import Principal, Snapshot
from kbs.model.effect import PutTicket
from kbs.model.names import InvalidName, Place, place_of
from kbs.model.refusal import Refused, Slowed, Unavailable
from kbs.model.unit import Committed, Unit, Verdict
from kbs.release.port import Broker
from kbs.rpc.handler import Call, Method
from kbs.rpc.parse import parse
from kbs.store.errors import StoreUnavailable

__all__ = ["Allowed", "Locate", "Rpc", "StateMoved", "by_name", "methods_of"]

_ATTEMPTS = 3

M = TypeVar("M", bound=Message)
Locate = Callable[[Any, Principal], Place]


class StateMoved(Exception):
    """What the decision rests on changed before the commit: the call is decided again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """A call that was decided: who asks, about what, under which state. `decision` is the document of the decision."""

    person: Principal
    place: Place
    snapshot: Snapshot
    decision: bytes

    @property
    def decision_digest(self) -> bytes:
        """`decision_digest` of whatever entry the call leaves."""
        return hashlib.sha256(self.decision).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rpc(Generic[M]):
    """One method: its request, the tenant and name that a request concerns, and what it does once it is allowed."""

    request: type[M]
    locate: Callable[[M, Principal], Place]
    run: Callable[[M, Allowed], Awaitable[Message]]


def by_name(field: str) -> Locate:
    """Locates by a field that holds a resource's name, dots reaching into messages; Refused REQUEST_MALFORMED."""

    def locate(request: Any, _person: Principal) -> Place:
        value = request
        for part in field.split("."):
            value = getattr(value, part)
        try:
            return place_of(value)
        except InvalidName as error:
            raise Refused("REQUEST_MALFORMED", check=field, expected=error.expected, got=error.got) from None

    return locate


def methods_of(name: str, table: Mapping[str, Rpc[Any]], broker: Broker) -> dict[str, Method]:
    """The methods of service `name`; raises KeyError for one that nobody was given a right to."""
    return {method: _method(rpc, RIGHTS[f"{name}/{method}"], broker) for method, rpc in table.items()}


def _method(rpc: Rpc[Any], right: Right, broker: Broker) -> Method:
    async def attempt(data: bytes, call: Call) -> bytes:
        snapshot = broker.catalogue.current()
        person = _principal(call, snapshot)  # 1
        request = parse(rpc.request, data)  # 2
        place = rpc.locate(request, person)
        allowed = await _permit(broker, person, right, place, snapshot)  # 3, 4
        return (await rpc.run(request, allowed)).SerializeToString()  # 5

    async def method(data: bytes, call: Call) -> bytes:
        try:
            for _ in range(_ATTEMPTS):
                with contextlib.suppress(StateMoved):
                    return await attempt(data, call)
        except StoreUnavailable as error:
            raise Unavailable("LOG_UNAVAILABLE") from error
        raise Unavailable("STATE_MOVING")

    return method


def _principal(call: Call, snapshot: Snapshot) -> Principal:
    person = snapshot.principals.get(call.key_digest())
    if person is None:
        raise Refused("CERTIFICATE_UNKNOWN")
    return person


async def _permit(broker: Broker, person: Principal, right: Right, place: Place, snapshot: Snapshot) -> Allowed:
    question = ask_person(
        person,
        right,
        tenant=place.tenant,
        name=place.name,
        snapshot=snapshot,
        simulation=broker.identity.simulated,
    )
    answers = [await engine.answer(question) for engine in broker.engines]
    decision = decide(question, answers)
    allowed = Allowed(
        person=person, place=place, snapshot=snapshot, decision=decision_bytes(question, answers, decision)
    )
    if not decision.allowed:
        raise Refused(decision.reason, ticket=await _log_refusal(broker, allowed, right, decision.reason))
    return allowed


async def _log_refusal(broker: Broker, refused: Allowed, right: Right, reason: str) -> str:
    """The entry of a refusal, and its ticket. What was asked for is a pseudonym there unless it exists.

    Raises Slowed for somebody who is refused again and again: it is counted, and said once for each window.
    """
    place, ticket = refused.place, broker.random(16).hex()
    wait = broker.refusals.wait(refused.person.id, ticket, broker.monotonic())
    if wait:
        broker.refusals.count(refused.person.id, reason, refused.decision, broker.clock())
        raise Slowed(retry_after=wait / 1_000)
    known = place.name in refused.snapshot.objects
    draft = access_refused(
        entry_id=ticket,
        tenant=place.tenant if place.tenant in refused.person.tenants else "",
        actor=refused.person.id,
        broker=broker.identity,
        action=right.action,
        name=place.name if known else broker.pseudonyms.of(place.tenant, "unknown", place.name.encode()),
        reason=reason,
        decision=refused.decision_digest,
    )
    effects = (PutTicket(ticket=ticket, tenant=place.tenant),)
    unit = Unit(verdict=Verdict(draft=draft, own=(refused.decision,), effects=effects))
    outcome = (await broker.store.commit([unit]))[0]
    if not isinstance(outcome, Committed):
        raise TypeError(f"a refusal without guards was not written: {outcome}")
    return ticket
