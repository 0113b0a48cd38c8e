"""Steps of the story that other tests do not reach: the five seconds of step 9, many assets, secrets that change."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Sequence
from typing import Any

import pytest

from attest.errors import AttestError
from attest.tlog.entry import parse_canonical, parse_leaf
from kbs.catalog.register import key_version_document, put
from kbs.custody.secret import Secret
from kbs.decide.canonical import MAX_DECISION
from kbs.model.decision import EngineAnswer, Question
from kbs.model.names import AssetName
from kbs.model.refusal import Refused, Unavailable
from kbs.model.unit import Outcome, Unit
from kbs.release.challenge import Challenges
from kbs.release.port import Broker
from kbs.release.release import release
from kbs.serve.wiring import Running
from tests.makers import site as maker
from tests.makers.site import ASSET, SimulatedSite
from tests.makers.workload import build


class Slow:
    """A write door behind which time passes and, if told, the state moves after the commit."""

    def __init__(self, running: Running, *, takes_ms: int, moves: bool) -> None:
        self.now = 1_000
        self._running = running
        self._takes = takes_ms
        self._moves = moves

    def monotonic(self) -> int:
        return self.now

    async def commit(self, units: Sequence[Unit]) -> list[Outcome]:
        outcomes = await self._running.door.commit(units)
        self.now += self._takes
        if self._moves:
            lock = put("lock", "locks/9", {"name": "locks/9", "target": ""}, entry=maker.draft_of(self._running))
            await maker.register(self._running, [lock])
        return outcomes

    def broker(self) -> Broker:
        return dataclasses.replace(self._running.broker, store=self, monotonic=self.monotonic)


# name: (ms behind the door, if the state moves meanwhile, if the reply leaves)
LATE = {
    "at once": (0, False, True),
    "at once, and moved": (0, True, True),
    "five seconds, and moved": (5_000, True, True),
    "later, and unmoved": (5_001, False, True),
    "later, and moved": (5_001, True, False),
    "an hour later, and moved": (3_600_000, True, False),
}


@pytest.mark.parametrize("name", LATE)
async def test_a_late_reply_looks_again(site: SimulatedSite, name: str) -> None:
    takes, moves, leaves = LATE[name]
    with site.open() as running:
        slow = Slow(running, takes_ms=takes, moves=moves)
        workload = build(site.chip, running.broker.challenges, running.broker.clock())
        if leaves:
            answer = await release(workload.ask, slow.broker())
        else:
            with pytest.raises(Unavailable, match="STATE_MOVING"):
                await release(workload.ask, slow.broker())
            # The entry stands and the same request gets the stored reply, decided under what is in force now.
            answer = await release(workload.ask, running.broker)
        assert workload.open(answer) == [site.key.seed]
        types = [parse_leaf(leaf).body["type"] for leaf in running.reader.leaves(0, running.reader.head().size)]
        assert types.count("release.granted") == 1


async def test_a_late_refusal_looks_again_too(site: SimulatedSite) -> None:
    with site.open() as running:
        slow = Slow(running, takes_ms=6_000, moves=True)
        workload = build(site.chip, running.broker.challenges, running.broker.clock(), measurement=bytes(48))
        with pytest.raises(Unavailable):
            await release(workload.ask, slow.broker())
        with pytest.raises(Refused, match="ACCESS_DENIED"):
            await release(workload.ask, running.broker)


async def test_a_secret_that_changes_between_challenge_and_release(site: SimulatedSite) -> None:
    with site.open() as running:
        old, fresh = Secret(os.urandom(32)), Secret(os.urandom(32))
        now = running.broker.clock()
        before = dataclasses.replace(running.broker, challenges=Challenges([(0, old)]))
        after = dataclasses.replace(running.broker, challenges=Challenges([(0, old), (now, fresh)]))
        gone = dataclasses.replace(running.broker, challenges=Challenges([(now, fresh)]))
        workload = build(site.chip, before.challenges, now)
        with pytest.raises(Refused, match="CHALLENGE_INVALID"):
            await release(workload.ask, gone)
        assert (await release(workload.ask, after)).grant.keys


LONG = [f"tenants/acme/assets/{'a' * 61}{n:02}" for n in range(15)]


async def _many(site: SimulatedSite, running: Running, **changed: Any) -> dict[str, bytes]:
    """Fifteen assets more, with the longest names there are; their keys by name."""
    seeds = {}
    for name in LONG:
        asset, seeds[name] = AssetName.parse(name), os.urandom(32)
        entry = maker.draft_of(running)
        document = maker.asset_document(**{"name": name, "owner": "o" * 200, **changed})
        keys = running.vault.new_key(asset, 1, Secret(seeds[name]))
        version = key_version_document(asset, 1, site.key.recipient.public)
        await maker.register(running, [put("asset", name, document, entry=entry, assets=(name,))])
        await maker.register(
            running, [put("key-version", asset.key_version(1), version, entry=entry, keys=keys, assets=(name,))]
        )
    return seeds


async def test_sixteen_assets_in_one_request(site: SimulatedSite) -> None:
    """As many as a request may name: one entry, one lease, every chain, and a refusal leaves an entry as well."""
    with site.open() as running:
        seeds = await _many(site, running, lease_seconds=60)
        names = (*LONG, ASSET)
        workload = build(site.chip, running.broker.challenges, running.broker.clock(), names=names)
        answer = await release(workload.ask, running.broker)
        assert workload.open(answer) == [*seeds.values(), site.key.seed]
        assert answer.grant.lease is not None
        assert answer.grant.lease.end - answer.grant.lease.start == 60_000
        leaf = parse_leaf(answer.place.leaf)
        assert [link.asset for link in leaf.header.chains] == list(names)
        assert (await release(workload.ask, running.broker)) == answer
        for changed in ({"measurement": bytes(48)}, {"purpose": "inference"}, {"policy": 0xB0000}):
            before = running.reader.head().size
            refused = build(site.chip, running.broker.challenges, running.broker.clock(), names=names, **changed)
            with pytest.raises(Refused) as told:
                await release(refused.ask, running.broker)
            assert told.value.ticket
            body: Any = parse_leaf(running.reader.entries(before, before + 1)[0][1]).body
            assert (body["type"], len(body["keys"])) == ("release.refused", 16)
            document = running.reader.blob(bytes.fromhex(body["decision_digest"]))
            assert document is not None
            assert len(document) > 60_000
            assert parse_canonical(document, limit=MAX_DECISION)["allowed"] is False


async def test_all_or_nothing(site: SimulatedSite) -> None:
    """One asset's ceiling is crossed: no asset's meter moves, and none is released."""
    with site.open() as running:
        await _many(site, running, bytes_per_day=0)
        first = build(site.chip, running.broker.challenges, running.broker.clock(), names=(ASSET, LONG[0]))
        with pytest.raises(Refused, match="EXPOSURE_BUDGET"):
            await release(first.ask, running.broker)
        # The whole of the first asset's budget is still there.
        old = running.broker.catalogue.current().assets[ASSET]
        document = maker.asset_document(old.content_digest.hex(), new_nodes_per_hour=1)
        change = put("asset", ASSET, document, entry=maker.draft_of(running), replaces=old.digest, assets=(ASSET,))
        await maker.register(running, [change])
        other = site.vendor.chip(77)
        answer = await release(build(other, running.broker.challenges, running.broker.clock()).ask, running.broker)
        assert len(answer.grant.keys) == 1


# name: (what becomes of the catalogue, what a request is told)
CHANGED: dict[str, tuple[str, str, dict[str, Any], str]] = {
    "the reference set is revoked": (
        "reference-set", "tenants/acme/referenceSets/trainer-1-4", {"state": "revoked"}, "ACCESS_DENIED",
    ),
    "the image is shared and nothing tells parties apart": (
        "reference-set", "tenants/acme/referenceSets/trainer-1-4", {"shared": True}, "ACCESS_DENIED",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGED)
async def test_what_changes_in_the_catalogue_holds_at_once(site: SimulatedSite, name: str) -> None:
    kind, target, changed, reason = CHANGED[name]
    with site.open() as running:
        workload = build(site.chip, running.broker.challenges, running.broker.clock())
        assert (await release(workload.ask, running.broker)).grant.keys
        rows = {n: (digest, document) for n, _, digest, document in running.reader.objects()[2]}
        digest, data = rows[target]
        document = {k: v for k, v in parse_canonical(data).items() if k != "v"} | changed
        await maker.register(running, [put(kind, target, document, entry=maker.draft_of(running), replaces=digest)])
        for ask in (workload.ask, build(site.chip, running.broker.challenges, running.broker.clock()).ask):
            with pytest.raises(Refused) as refused:
                await release(ask, running.broker)
            assert refused.value.reason == reason
        assert hashlib.sha256(data).digest() == digest


async def test_a_shared_image_with_a_second_fact(site: SimulatedSite) -> None:
    """HOST_DATA in the reference value is what tells parties apart; another's HOST_DATA gets nothing."""
    mine = hashlib.sha256(b"my init-data").digest()
    with site.open() as running:
        target = "tenants/acme/referenceSets/trainer-1-4"
        rows = {n: (digest, document) for n, _, digest, document in running.reader.objects()[2]}
        digest, data = rows[target]
        document: Any = {k: v for k, v in parse_canonical(data).items() if k != "v"} | {"shared": True}
        document["values"][0]["host_data"] = mine.hex()
        await maker.register(
            running, [put("reference-set", target, document, entry=maker.draft_of(running), replaces=digest)]
        )
        clock, challenges = running.broker.clock, running.broker.challenges
        assert (await release(build(site.chip, challenges, clock(), host_data=mine).ask, running.broker)).grant.keys
        for host_data in (bytes(32), hashlib.sha256(b"another's").digest()):
            with pytest.raises(Refused, match="ACCESS_DENIED"):
                await release(build(site.chip, challenges, clock(), host_data=host_data).ask, running.broker)


async def test_an_asset_without_a_key_is_unavailable(site: SimulatedSite) -> None:
    with site.open() as running:
        name = LONG[0]
        document = maker.asset_document(name=name)
        await maker.register(running, [put("asset", name, document, entry=maker.draft_of(running), assets=(name,))])
        before = running.reader.head().size
        workload = build(site.chip, running.broker.challenges, running.broker.clock(), names=(ASSET, name))
        with pytest.raises(Unavailable, match="KEY_UNAVAILABLE"):
            await release(workload.ask, running.broker)
        assert running.reader.head().size == before


async def test_a_profile_or_reference_set_that_does_not_exist(site: SimulatedSite) -> None:
    """Nothing to compare with is a failure, never a pass."""
    with site.open() as running:
        missing: list[dict[str, Any]] = [
            {"profile": "tenants/acme/profiles/none"},
            {"references": ["tenants/acme/referenceSets/none"]},
        ]
        for number, changed in enumerate(missing):
            name = LONG[number]
            document = maker.asset_document(**{"name": name, **changed})
            await maker.register(running, [put("asset", name, document, entry=maker.draft_of(running), assets=(name,))])
            workload = build(site.chip, running.broker.challenges, running.broker.clock(), names=(name,))
            with pytest.raises(Refused, match="ACCESS_DENIED"):
                await release(workload.ask, running.broker)


class Verbose:
    """A policy engine that says more than can be written down."""

    async def answer(self, question: Question) -> EngineAnswer:
        return EngineAnswer(engine="verbose", allowed=True, policies=("p" * (MAX_DECISION + 1),), errors=())


async def test_a_decision_that_cannot_be_written_down_is_none(site: SimulatedSite) -> None:
    """Our defect and not the caller's: it is not told as one of the evidence's, and nothing was used up."""
    with site.open() as running:
        before = running.reader.head()
        workload = build(site.chip, running.broker.challenges, running.broker.clock())
        with pytest.raises(RuntimeError, match="could not be written down"):
            await release(workload.ask, dataclasses.replace(running.broker, engines=(Verbose(),)))
        assert running.reader.head() == before
        assert workload.open(await release(workload.ask, running.broker)) == [site.key.seed]


# name: (what is wrong with a request besides, which of it is told)
FIRST: dict[str, tuple[dict[str, Any], str]] = {
    "a challenge that is not ours": (
        {"challenge": bytes(57), "recipient_key": b"", "holder_key": b"x", "init_data": b"{}"}, "CHALLENGE_INVALID",
    ),
    "a recipient key that is none": (
        {"recipient_key": b"", "holder_key": b"x", "init_data": b"{}"}, "RECIPIENT_KEY",
    ),
    "a holder key that is none": ({"holder_key": b"x", "init_data": b"{}"}, "HOLDER_KEY"),
    "another request": ({"purpose": "inference", "init_data": b"{}"}, "REPORT_DATA_MISMATCH"),
    "init-data that was not given at launch": ({"init_data": b"{}"}, "INIT_DATA_UNBOUND"),
}  # fmt: skip


@pytest.mark.parametrize("name", FIRST)
async def test_the_first_thing_that_is_wrong_is_told(site: SimulatedSite, name: str) -> None:
    """In the order of the story, and before anything of it is stored or used up."""
    changed, check = FIRST[name]
    with site.open() as running:
        before = running.reader.head()
        workload = build(site.chip, running.broker.challenges, running.broker.clock())
        told = ""
        try:
            await release(dataclasses.replace(workload.ask, **changed), running.broker)
        except (AttestError, Refused) as refused:
            told = refused.check
        assert (told, running.reader.head()) == (check, before)
        assert (await release(workload.ask, running.broker)).grant.keys
