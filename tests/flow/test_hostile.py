"""Who wants a key and must not get one: a host before the broker, a catalogue that moves, a clock that lies."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from attest.errors import AttestError
from attest.tlog.entry import parse_canonical, parse_leaf
from kbs.catalog.register import put
from kbs.model.decision import EngineAnswer, Question
from kbs.model.refusal import Refused, Unavailable
from kbs.model.release import Ask
from kbs.model.unit import Unit
from kbs.release.port import Broker, Engine
from kbs.release.release import release
from kbs.serve.wiring import Running
from tests.makers import site as maker
from tests.makers.site import ASSET, SimulatedSite
from tests.makers.workload import Workload, build, holder_public

OTHER = "tenants/acme/assets/other"
HOLDER = holder_public(ec.generate_private_key(ec.SECP256R1()))
UNKNOWN = "tenants/acme/assets/none"


def _workload(site: SimulatedSite, running: Running, **changed: Any) -> Workload:
    return build(site.chip, running.broker.challenges, running.broker.clock(), **changed)


def _types(running: Running, start: int) -> list[str]:
    return [str(parse_leaf(leaf).body["type"]) for leaf in running.reader.leaves(start, running.reader.head().size)]


async def _refusal(ask: Ask, broker: Broker) -> tuple[str, str]:
    """(reason or check, ticket) of what must be refused."""
    try:
        await release(ask, broker)
    except Refused as refused:
        return refused.reason, refused.ticket
    except AttestError as error:
        return error.check, ""
    raise AssertionError("a key was given")


# name: what the host changes of a request that a guest in a genuine TEE made
CHANGED: dict[str, Callable[[Ask], dict[str, Any]]] = {
    "another recipient": lambda ask: {"recipient_key": ask.recipient_key[::-1]},
    "the guest's key under another suite": lambda ask: {"suite": 2, "recipient_key": ask.recipient_key[-32:]},
    "a holder key of its own": lambda _ask: {"holder_key": HOLDER},
    "another asset": lambda _ask: {"names": (OTHER,)},
    "one asset more": lambda ask: {"names": (*ask.names, OTHER)},
    "an asset of another tenant": lambda _ask: {"names": ("tenants/globex/assets/llm-weights",)},
    "another purpose": lambda _ask: {"purpose": "inference"},
    "a renewal instead": lambda _ask: {"action": "renew", "lease_id": "0" * 32, "holder_key": HOLDER},
    "another challenge": lambda ask: {"challenge": ask.challenge},
}


@pytest.mark.parametrize("case", CHANGED)
async def test_whatever_the_host_changes_the_evidence_no_longer_fits(site: SimulatedSite, case: str) -> None:
    with site.open() as running:
        before, workload = running.reader.head(), _workload(site, running)
        changes = CHANGED[case](workload.ask)
        if case == "another challenge":
            changes = {"challenge": _workload(site, running).ask.challenge}
        changed = dataclasses.replace(workload.ask, **changes)
        check, ticket = await _refusal(changed, running.broker)
        assert (check, ticket) in {("REPORT_DATA_MISMATCH", ""), ("REQUEST_MALFORMED", "")}
        assert check == "REPORT_DATA_MISMATCH" or case == "another recipient"
        assert running.reader.head() == before
        # It cost the guest nothing: its own request is still good.
        assert workload.open(await release(workload.ask, running.broker)) == [site.key.seed]


async def test_a_repeat_is_of_the_same_kind(site: SimulatedSite) -> None:
    """Whether it is a rehearsal is no part of the evidence: what one was answered is never given out as the other."""
    with site.open() as running:
        for first in (False, True):
            ask = _workload(site, running, rehearsal=first).ask
            await release(ask, running.broker)
            size = running.reader.head().size
            turned = dataclasses.replace(ask, rehearsal=not first)
            assert await _refusal(turned, running.broker) == ("CHALLENGE_REUSED", "")
            assert running.reader.head().size == size
            assert (await release(ask, running.broker)).grant.lease is None or not first


class Meanwhile:
    """A policy engine behind which somebody changes the catalogue, once, after the question was asked."""

    def __init__(self, inner: Engine, running: Running, change: Unit) -> None:
        self._inner, self._running, self._change = inner, running, [change]
        self.asked = 0

    async def answer(self, question: Question) -> EngineAnswer:
        self.asked += 1
        found = await self._inner.answer(question)
        while self._change:
            await maker.register(self._running, [self._change.pop()])
        return found

    def broker(self) -> Broker:
        engines = (self, *self._running.broker.engines[1:])
        return dataclasses.replace(self._running.broker, engines=engines)


def _document(running: Running, kind: str, target: str, changed: dict[str, object]) -> Unit:
    digest, data = {n: (digest, document) for n, _, digest, document in running.reader.objects()[2]}[target]
    document = {k: v for k, v in parse_canonical(data).items() if k != "v"} | changed
    return put(kind, target, document, entry=maker.draft_of(running), replaces=digest)


REFERENCES = "tenants/acme/referenceSets/trainer-1-4"
# name: (what happens between the decision and its entry, the reason)
RACES: dict[str, tuple[Callable[[Running], Unit], str]] = {
    "a lock on the asset": (
        lambda r: put("lock", "locks/1", {"name": "locks/1", "target": ASSET}, entry=maker.draft_of(r)),
        "LOCKED",
    ),
    "a lock on the tenant": (
        lambda r: put("lock", "locks/1", {"name": "locks/1", "target": "tenants/acme"}, entry=maker.draft_of(r)),
        "LOCKED",
    ),
    "a measurement that is taken back": (
        lambda r: _document(r, "reference-set", REFERENCES, {"state": "revoked"}),
        "ACCESS_DENIED",
    ),
    "a profile that asks for more": (
        lambda r: _document(
            r, "profile", "tenants/acme/profiles/snp-default",
            {"profile": {"snp": {"products": ["milan"], "minimum_tcb": {"milan": {"snp": 255}}}}},
        ),
        "ACCESS_DENIED",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", RACES)
@pytest.mark.parametrize("rehearsal", [False, True])
async def test_what_was_decided_before_is_not_written_after(site: SimulatedSite, case: str, rehearsal: bool) -> None:
    make, reason = RACES[case]
    with site.open() as running:
        start = running.reader.head().size
        race = Meanwhile(running.broker.engines[0], running, make(running))
        ask = _workload(site, running, rehearsal=rehearsal).ask
        refused, ticket = await _refusal(ask, race.broker())
        assert (refused, bool(ticket), race.asked) == (reason, True, 2)
        assert "release.granted" not in _types(running, start)
        assert "release.rehearsed" not in _types(running, start)
        assert await _refusal(ask, running.broker) == (reason, ticket)


async def test_a_lock_among_many_requests_lets_none_through_behind_it(site: SimulatedSite) -> None:
    """Whatever the order in which they come to the door, no grant has an index above the lock's."""
    with site.open() as running:
        start = running.reader.head().size
        asks = [
            build(site.vendor.chip(100 + n), running.broker.challenges, running.broker.clock()).ask for n in range(12)
        ]
        lock = put("lock", "locks/1", {"name": "locks/1", "target": ASSET}, entry=maker.draft_of(running))
        tasks = [asyncio.create_task(release(ask, running.broker)) for ask in asks[:6]]
        tasks.append(asyncio.create_task(maker.register(running, [lock])))  # type: ignore[arg-type]
        tasks += [asyncio.create_task(release(ask, running.broker)) for ask in asks[6:]]
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert {r.reason for r in results if isinstance(r, Refused)} <= {"LOCKED"}
        types = _types(running, start)
        behind = types[next(n for n, kind in enumerate(types) if not kind.startswith("release.")) :]
        assert "release.granted" not in behind
        assert len([kind for kind in types if kind.startswith("release.")]) == 12


class Steps:
    """The points that a request passes on its way, and what it was told."""

    def __init__(self, running: Running) -> None:
        self.passed: list[str] = []
        self._running = running

    async def of(self, ask: Ask) -> tuple[list[str], str]:
        self.passed = []
        broker = dataclasses.replace(self._running.broker, faults=self.passed.append)
        reason, _ = await _refusal(ask, broker)
        return self.passed, reason


@pytest.mark.parametrize("rehearsal", [False, True])
async def test_an_asset_that_is_not_there_is_refused_like_one_that_is(site: SimulatedSite, rehearsal: bool) -> None:
    """The same steps, the same reason, an entry each: a genuine TEE with another image learns no name by asking."""
    with site.open() as running:
        steps = Steps(running)
        found = []
        for changed in ({"measurement": bytes(48)}, {"names": (UNKNOWN,)}, {"names": (ASSET, UNKNOWN)}):
            size = running.reader.head().size
            found.append(await steps.of(_workload(site, running, rehearsal=rehearsal, **changed).ask))
            assert running.reader.head().size == size + 1
        assert found == [found[0]] * 3
        assert found[0][1] == "ACCESS_DENIED"
        assert "after-wrap" in found[0][0]


async def test_a_clock_that_goes_back_revives_nothing(site: SimulatedSite) -> None:
    with site.open() as running:
        first = _workload(site, running)
        await release(first.ask, running.broker)
        size, slow = running.reader.head().size, running.broker.clock() - 3_600_000
        broker = dataclasses.replace(running.broker, clock=lambda: slow)
        # What was issued before the step is from the future now.
        for workload in (first, _workload(site, running)):
            assert (await _refusal(workload.ask, broker))[0] == "CHALLENGE_EXPIRED"
        # And what is issued after it is old to the log, whose time never goes back.
        with pytest.raises(Unavailable, match="CLOCK_BEHIND_LOG"):
            await release(build(site.chip, broker.challenges, slow).ask, broker)
        assert running.reader.head().size == size
