"""The story of a release, in process: what is granted, what is refused and why, and what stands in the log for it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from attest.errors import AttestError
from attest.tlog.entry import parse_leaf
from attest.tlog.keys import VerifierKey
from attest.tlog.proof_file import ProofFile, verify
from kbs.catalog.register import put
from kbs.model.refusal import Refused, Unavailable
from kbs.release.release import release
from kbs.serve.wiring import Running
from tests.makers import site as maker
from tests.makers.site import ASSET, SimulatedSite
from tests.makers.workload import Workload, build

Case = Callable[[SimulatedSite, Running], Workload]


def _workload(site: SimulatedSite, running: Running, **changed: Any) -> Workload:
    return build(site.chip, running.broker.challenges, running.broker.clock(), **changed)


def _body(running: Running, index: int) -> Mapping[str, Any]:
    return parse_leaf(running.reader.entries(index, index + 1)[0][1]).body


async def test_a_genuine_node_gets_its_key_and_a_receipt(site: SimulatedSite) -> None:
    with site.open() as running:
        workload = _workload(site, running)
        answer = await release(workload.ask, running.broker)
        assert workload.open(answer) == [site.key.seed]
        body = _body(running, answer.place.index)
        assert body["type"] == "release.granted"
        assert body["bound"] == workload.bound.hex()
        assert body["simulated"] is True
        proof = ProofFile(
            index=answer.place.index,
            hashes=answer.place.proof,
            checkpoint=answer.checkpoint,
            extra=answer.place.leaf,
        )
        key = VerifierKey.parse(running.broker.signer.verifier_key)
        signed = verify(proof, answer.place.leaf, running.broker.signer.origin, [key])
        assert signed.checkpoint.size == answer.place.size


# name: (what is changed, the coarse reason, the check that failed)
REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "another measurement": ({"measurement": bytes(48)}, "ACCESS_DENIED", "POLICY_MEASUREMENT"),
    "another purpose": ({"purpose": "inference"}, "ACCESS_DENIED", "PURPOSE"),
    "an unknown asset": ({"names": ("tenants/acme/assets/none",)}, "ACCESS_DENIED", "ASSET_UNKNOWN"),
    "a known and an unknown asset": ({"names": (ASSET, "tenants/acme/assets/none")}, "ACCESS_DENIED", "ASSET_UNKNOWN"),
    "debug": ({"policy": 0xB0000}, "DEBUG_ENABLED", "POLICY_DEBUG"),
    "migration agent": ({"policy": 0x70000}, "MIGRATION_AGENT", "POLICY_MIGRATE_MA"),
    "VMPL 1": ({"vmpl": 1}, "ACCESS_DENIED", "POLICY_VMPL"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_refusals_are_entries_with_tickets(site: SimulatedSite, name: str) -> None:
    changed, reason, check = REFUSED[name]
    with site.open() as running:
        before = running.reader.head().size
        workload = _workload(site, running, **changed)
        with pytest.raises(Refused) as refused:
            await release(workload.ask, running.broker)
        assert refused.value.reason == reason
        found = running.reader.ticket(refused.value.ticket)
        assert found == ("acme", before)
        body = _body(running, before)
        assert (body["type"], body["reason"], body["lease"]) == ("release.refused", reason, None)
        decision = running.reader.blob(bytes.fromhex(body["decision_digest"]))
        assert decision is not None
        assert check.encode() in decision
        with pytest.raises(Refused) as again:
            await release(workload.ask, running.broker)
        assert (again.value.reason, again.value.ticket) == (reason, refused.value.ticket)
        assert running.reader.head().size == before + 1


async def test_an_unknown_name_is_a_pseudonym_in_the_log(site: SimulatedSite) -> None:
    with site.open() as running:
        name = "tenants/acme/assets/jane-doe"
        with pytest.raises(Refused):
            await release(_workload(site, running, names=(name,)).ask, running.broker)
        leaf = running.reader.entries(running.reader.head().size - 1, 1 << 30)[0][1]
        assert b"jane-doe" not in leaf
        assert b"unknown-" in leaf


# name: (what is changed, the check that fails)
UNPROVEN: dict[str, tuple[dict[str, Any], str]] = {
    "report data of another request": ({"report_data": bytes(64)}, "REPORT_DATA_MISMATCH"),
    "init-data that is not in HOST_DATA": ({"init_data": b'{"job":"x"}'}, "INIT_DATA_UNBOUND"),
    "reserved bytes": ({"reserved_4c": 1}, "SNP_RESERVED"),
}


@pytest.mark.parametrize("name", UNPROVEN)
async def test_what_is_not_proven_consumes_and_stores_nothing(site: SimulatedSite, name: str) -> None:
    changed, check = UNPROVEN[name]
    with site.open() as running:
        before = running.reader.head()
        workload = _workload(site, running, **changed)
        with pytest.raises(AttestError) as refused:
            await release(workload.ask, running.broker)
        assert refused.value.check == check
        assert running.reader.head() == before
        challenge = workload.ask.challenge
        answer = await release(_workload(site, running, challenge=challenge).ask, running.broker)
        assert answer.grant.keys


async def test_init_data_in_host_data_is_bound(site: SimulatedSite) -> None:
    with site.open() as running:
        data = b'{"job":"x"}'
        host_data = hashlib.sha256(data).digest()
        answer = await release(_workload(site, running, init_data=data, host_data=host_data).ask, running.broker)
        assert answer.grant.keys


CHALLENGES: dict[str, tuple[Callable[[bytes, int], bytes], str]] = {
    "empty": (lambda c, now: b"\0", "CHALLENGE_INVALID"),
    "one bit": (lambda c, now: c[:30] + bytes([c[30] ^ 1]) + c[31:], "CHALLENGE_INVALID"),
    "one byte more": (lambda c, now: c + b"\0", "CHALLENGE_INVALID"),
    "another time": (lambda c, now: c[:1] + (now + 1).to_bytes(8, "big") + c[9:], "CHALLENGE_INVALID"),
}


@pytest.mark.parametrize("name", CHALLENGES)
async def test_challenges_that_are_not_ours(site: SimulatedSite, name: str) -> None:
    forge, reason = CHALLENGES[name]
    with site.open() as running:
        now = running.broker.clock()
        challenge = forge(running.broker.challenges.issue(now, bytes(16)), now)
        with pytest.raises(Refused) as refused:
            await release(_workload(site, running, challenge=challenge).ask, running.broker)
        assert refused.value.reason == reason


@pytest.mark.parametrize(("age", "fine"), [(-5_001, False), (-5_000, True), (60_000, True), (60_001, False)])
async def test_challenges_live_for_a_minute(site: SimulatedSite, age: int, fine: bool) -> None:
    with site.open() as running:
        challenge = running.broker.challenges.issue(running.broker.clock() - age, bytes(16))
        # The wall clock moves between issuing and arrival; the bounds are tested on the challenge itself.
        issued = int.from_bytes(challenge[1:9], "big")
        if fine:
            assert running.broker.challenges.check(challenge, issued + age, used=False) == issued
        else:
            with pytest.raises(Refused, match="CHALLENGE_EXPIRED"):
                running.broker.challenges.check(challenge, issued + age, used=False)


async def test_a_repeat_gets_the_same_bytes_and_another_request_does_not(site: SimulatedSite) -> None:
    with site.open() as running:
        first = _workload(site, running)
        answer = await release(first.ask, running.broker)
        again = await release(first.ask, running.broker)
        assert again == answer
        other = _workload(site, running, challenge=first.ask.challenge)
        with pytest.raises(Refused) as refused:
            await release(other.ask, running.broker)
        assert refused.value.reason == "CHALLENGE_REUSED"


async def test_two_hundred_uses_of_one_challenge(site: SimulatedSite) -> None:
    with site.open() as running:
        before = running.reader.head().size
        first = _workload(site, running)
        others = [_workload(site, running, challenge=first.ask.challenge) for _ in range(20)]
        asks = [first.ask] * 180 + [o.ask for o in others]
        results = await asyncio.gather(*(release(a, running.broker) for a in asks), return_exceptions=True)
        granted = [r for r in results[:180] if not isinstance(r, BaseException)]
        refused = {r.reason for r in results if isinstance(r, Refused)}
        assert running.reader.head().size == before + 1
        assert len(set(map(repr, granted))) == 1
        assert len(granted) == 180
        assert refused == {"CHALLENGE_REUSED"}


async def test_a_lock_wins_also_over_a_repeat(site: SimulatedSite) -> None:
    with site.open() as running:
        workload = _workload(site, running)
        await release(workload.ask, running.broker)
        lock = put("lock", "locks/1", {"name": "locks/1", "target": ASSET}, entry=maker.draft_of(running))
        await maker.register(running, [lock])
        for ask in (workload.ask, _workload(site, running).ask):
            with pytest.raises(Refused) as refused:
                await release(ask, running.broker)
            assert refused.value.reason == "LOCKED"


async def test_the_request_that_crosses_a_ceiling_is_itself_refused(site: SimulatedSite) -> None:
    with site.open() as running:
        old = running.broker.catalogue.current().assets[ASSET]
        document = maker.asset_document(old.content_digest.hex(), new_nodes_per_hour=2)
        change = put("asset", ASSET, document, entry=maker.draft_of(running), replaces=old.digest, assets=(ASSET,))
        await maker.register(running, [change])
        chips = [site.vendor.chip(number) for number in (11, 12, 13)]
        reasons = []
        for chip in (*chips, chips[0]):
            try:
                await release(build(chip, running.broker.challenges, running.broker.clock()).ask, running.broker)
                reasons.append("granted")
            except Refused as refused:
                reasons.append(refused.reason)
        assert reasons == ["granted", "granted", "EXPOSURE_BUDGET", "granted"]
        body = _body(running, running.reader.head().size - 2)
        assert (body["type"], body["reason"]) == ("release.refused", "EXPOSURE_BUDGET")
        assert body["account"][0]["limit"] == 2


async def test_a_rehearsal_is_logged_and_yields_no_key(site: SimulatedSite) -> None:
    with site.open() as running:
        answer = await release(_workload(site, running, rehearsal=True).ask, running.broker)
        assert (answer.grant.keys, answer.grant.lease) == ((), None)
        assert _body(running, answer.place.index)["type"] == "release.rehearsed"


async def test_state_that_keeps_moving_is_unavailable_and_consumes_nothing(site: SimulatedSite) -> None:
    with site.open() as running:
        moves = 0

        def move(point: str) -> None:
            nonlocal moves
            if point == "after-wrap":
                moves += 1
                name = f"locks/{moves}"
                unit = put("lock", name, {"name": name, "target": ""}, entry=maker.draft_of(running))
                pending.append(asyncio.ensure_future(running.door.commit([unit])))

        pending: list[asyncio.Future[Any]] = []
        import dataclasses  # noqa: PLC0415

        broker = dataclasses.replace(running.broker, faults=move)
        workload = _workload(site, running)
        # The lock's unit is queued before the release's, hence each attempt finds the revision moved.
        original = running.door.commit

        class Door:
            async def commit(self, units: Any) -> Any:
                await asyncio.gather(*pending)
                return await original(units)

        with pytest.raises(Unavailable, match="STATE_MOVING"):
            await release(workload.ask, dataclasses.replace(broker, store=Door()))
        assert moves == 3
        assert (await release(workload.ask, running.broker)).grant.keys


async def test_every_digest_of_every_entry_has_its_blob(site: SimulatedSite) -> None:
    with site.open() as running:
        await running.door.commit([running.joined])
        await release(_workload(site, running).ask, running.broker)
        with pytest.raises(Refused):
            await release(_workload(site, running, measurement=bytes(48)).ask, running.broker)
        digests = 0
        for leaf in running.reader.leaves(0, running.reader.head().size):
            for digest in digests_of(parse_leaf(leaf).body):
                data = running.reader.document(parse_leaf(leaf).header.i, digest)
                assert data is not None, leaf
                assert hashlib.sha256(data).digest() == digest
                digests += 1
        assert digests > 20


def digests_of(value: object) -> list[bytes]:
    """Every value of a key that ends in `_digest`, at any depth."""
    if isinstance(value, dict):
        here = [bytes.fromhex(v) for k, v in value.items() if k.endswith("_digest") and v is not None]
        return here + [d for v in value.values() for d in digests_of(v)]
    return [d for v in value for d in digests_of(v)] if isinstance(value, list) else []


async def test_no_key_byte_is_in_any_entry_or_blob(site: SimulatedSite) -> None:
    with site.open() as running:
        await release(_workload(site, running).ask, running.broker)
    data = b"".join(p.read_bytes() for p in site.directory.glob("store.db*"))
    seed = site.key.seed
    assert len(data) > 100_000
    for needle in (seed, seed.hex().encode(), seed[:16], seed[16:]):
        assert needle not in data


# name: (init-data given, is it accepted by a profile that asks for job a or b)
INIT_DATA: dict[str, tuple[bytes, bool]] = {
    "the job asked for": (b'{"job":"a"}', True),
    "more than was asked for": (b'{"image":"sha256:1","job":"b"}', True),
    "another job": (b'{"job":"c"}', False),
    "no job": (b'{"image":"a"}', False),
    "a job that is no text": (b'{"job":["a"]}', False),
    "none": (b"", False),
}


@pytest.mark.parametrize("name", INIT_DATA)
async def test_a_profile_may_ask_for_what_was_given_at_launch(site: SimulatedSite, name: str) -> None:
    data, accepted = INIT_DATA[name]
    with site.open() as running:
        old = next(iter(running.broker.catalogue.current().profiles.values()))
        document = {"name": old.name, "profile": {**maker.PROFILE, "init_data": {"job": ["a", "b"]}}}
        change = put("profile", old.name, document, entry=maker.draft_of(running), replaces=old.digest)
        await maker.register(running, [change])
        host_data = hashlib.sha256(data).digest() if data else bytes(32)
        workload = _workload(site, running, init_data=data, host_data=host_data)
        if accepted:
            assert (await release(workload.ask, running.broker)).grant.keys
            return
        with pytest.raises(Refused) as refused:
            await release(workload.ask, running.broker)
        body = _body(running, running.reader.head().size - 1)
        decision = running.reader.blob(bytes.fromhex(body["decision_digest"]))
        assert refused.value.reason == "ACCESS_DENIED"
        assert decision is not None
        assert b"POLICY_INIT_DATA" in decision
