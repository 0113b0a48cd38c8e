"""The story of a release, and the only file that sees every step."""

from __future__ import annotations

from attest.errors import AttestError
from attest.profile import Claims
from kbs.model.asset import Snapshot
from kbs.model.lease import Holder
from kbs.model.log import Place
from kbs.model.refusal import Refused, Slowed, Unavailable
from kbs.model.release import Answer, Ask, Lease
from kbs.model.unit import AlreadyUsed, Committed, Expired, Moved, Outcome, Stored, Unit
from kbs.release import machine, renewal, reply, verdict
from kbs.release.appraisal import judge
from kbs.release.case import Case, lease_end
from kbs.release.evidence import Authentic, authenticate
from kbs.release.holder import holder_digest, open_holder
from kbs.release.port import Broker
from kbs.release.recipient import Recipient, open_recipient

__all__ = ["release"]

_ATTEMPTS = 3
_LATE_MS = 5_000
_STEP_MS = 5_000


async def release(ask: Ask, broker: Broker) -> Answer:
    """Releases the keys of all assets asked for, or refuses and says why in the log; renews a lease in the same way.

    1. the challenge is ours and unexpired       6. the release is counted against ceilings
    2. collateral for this platform              7. each key is wrapped for the recipient
    3. the evidence is authentic and bound       8. all of it is logged, durably
    4. claims are appraised for each asset       9. and only then it is returned
    5. it is decided

    A rehearsal and a renewal go the same way, but wrap nothing and count nothing. A renewal is decided about the lease
    as well: in step 4 whether it is the holder who asks, and a refusal ends it.

    Failures of steps 1 to 3 raise AttestError or Refused, consume nothing and store nothing; so does Slowed, for a
    proven node that asks for the same thing again and again under fresh challenges. From step 4 on every
    outcome is an entry and uses the challenge up; a refusal raises Refused with a ticket. Unavailable means that
    nothing was decided. A repeat of a used challenge gets what was stored for it.
    """
    now = broker.clock()
    used = broker.used.used_challenge(ask.challenge_digest)
    issued_at = broker.challenges.check(ask.challenge, now, used=used is not None)  # 1
    broker.faults("challenged")
    recipient = open_recipient(ask.suite, ask.recipient_key)
    open_holder(ask.holder_key, required=ask.action == "renew" or bool(ask.audience))
    authentic = await authenticate(ask, broker, now)  # 2, 3
    broker.faults("verified")
    try:
        if used is not None:
            return await _repeat(ask, authentic, used, broker, now)
        _slow(ask, authentic, broker)
        return await _decided(ask, authentic, recipient, issued_at, broker, now)  # 4 to 9
    except AttestError as error:
        # The evidence is proven by now: what does not fit into a document is our defect and not the caller's.
        raise RuntimeError("a decision could not be written down") from error


def _slow(ask: Ask, authentic: Authentic, broker: Broker) -> None:
    """Before anything is consumed; counted by platform, since the evidence is proven and nobody can slow another."""
    asks = (authentic.claims.platform_id, ask.action, ask.names)
    wait = broker.repeats.wait(asks, ask.challenge_digest, broker.monotonic())
    if wait:
        raise Slowed(retry_after=wait / 1_000)


async def _decided(
    ask: Ask, authentic: Authentic, recipient: Recipient, issued_at: int, broker: Broker, now: int
) -> Answer:
    """Steps 4 to 9; again from step 4 if the state moved meanwhile."""
    for _ in range(_ATTEMPTS):
        snapshot = broker.catalogue.current()
        case = await _judged(ask, authentic, snapshot, broker, now)  # 4, 5
        broker.faults("decided")
        unit = _unit(case, recipient, issued_at, broker)  # 6, 7
        started = broker.monotonic()
        outcome = (await broker.store.commit([unit]))[0]  # 8
        if not isinstance(outcome, Moved):
            return await _answer(case, unit, outcome, started, broker)  # 9
    raise Unavailable("STATE_MOVING")


async def _judged(ask: Ask, authentic: Authentic, snapshot: Snapshot, broker: Broker, now: int) -> Case:
    """Steps 4 and 5 under one snapshot."""
    holder = _holder(ask, authentic.claims, broker)
    asking = machine.machine_of(authentic.claims, broker)
    lease = renewal.record(ask, broker)
    leases = renewal.findings(ask, lease, holder, now) + machine.findings(asking, holder, broker, now)
    judgement = await judge(
        ask, authentic.claims, holder.node, holder.tenant, snapshot, broker.engines,
        simulation=broker.identity.simulated, now=now, lease=leases,
    )  # fmt: skip
    return Case(
        ask=ask,
        authentic=authentic,
        judgement=judgement,
        snapshot=snapshot,
        holder=holder,
        machine=asking,
        lease=lease,
        held=broker.leases.held(holder.tenant, holder.node, ask.names, now),
        entry_id=broker.random(16).hex(),
        now=now,
    )


def _holder(ask: Ask, claims: Claims, broker: Broker) -> Holder:
    """Who asks, in the tenant's pseudonyms."""
    tenant = ask.names[0].split("/", 2)[1]
    return Holder(
        tenant=tenant,
        node=broker.pseudonyms.of(tenant, "node", claims.platform_id),
        guest=broker.pseudonyms.of(tenant, "guest", claims.report_id),
        platform=claims.platform,
        key=holder_digest(ask.holder_key),
        devices=tuple(broker.pseudonyms.device(tenant, d.kind, d.pdi) for d in claims.devices),
    )


def _unit(case: Case, recipient: Recipient, issued_at: int, broker: Broker) -> Unit:
    """Steps 6 and 7: what goes through the write door, granted or refused."""
    decision = case.judgement.decision
    counted = verdict.account(case)  # 6
    if case.ask.action == "renew":
        goes_on = case.lease if decision.allowed else None
        written = renewal.renewed(case, goes_on, broker) if goes_on else renewal.unrenewed(case, broker)
    elif not decision.allowed:
        written = verdict.refused(case, decision.reason, decision.reasons, counted, broker)
    elif case.ask.rehearsal:
        written = verdict.granted(case, (), None, counted, broker)
    else:
        lease = Lease(lease_id=broker.random(16).hex(), start=case.now, end=lease_end(case))
        keys = verdict.wrap(case, recipient, lease, broker)  # 7
        written = verdict.granted(case, keys, lease, counted, broker)
    broker.faults("after-wrap")
    return verdict.unit(case, written, counted, issued_at, broker)


async def _answer(case: Case, unit: Unit, outcome: Outcome, started: int, broker: Broker) -> Answer:
    """Step 9: the reply as it was stored, within 5 s of the commit or after a second look at the state."""
    broker.faults("before-reply")
    match outcome:
        case AlreadyUsed(stored=stored):
            return await _repeat(case.ask, case.authentic, stored, broker, case.now)
        case Expired(age_ms=age):
            if unit.challenge and broker.clock() - unit.challenge.issued_at < age - _STEP_MS:
                raise Unavailable("CLOCK_BEHIND_LOG")  # no new challenge would help
            raise Refused("CHALLENGE_EXPIRED", check="CHALLENGE_EXPIRED", expected="at most 120000 ms", got=f"{age} ms")
        case Committed(place=place, over_budget=over_budget):
            broker.collateral.stored(case.authentic.collateral)
            written = unit.over_budget if over_budget else unit.verdict
            if broker.monotonic() - started > _LATE_MS and broker.used.revision()[0] != case.snapshot.revision:
                raise Unavailable("STATE_MOVING")
            return _reply(written.reply if written else b"", place, broker)
        case _:
            raise Unavailable("STATE_MOVING")


async def _repeat(ask: Ask, authentic: Authentic, stored: Stored, broker: Broker, now: int) -> Answer:
    """A used challenge, evidence verified again: the stored reply, unless it is another's or is no longer allowed."""
    if stored.bound != authentic.bound:
        raise _reused("one used for another request")
    answer = _reply(stored.reply, stored.place, broker)
    # These two are no part of the evidence: docs/decisions/0024-what-stands-beside-the-evidence.md
    if ask.rehearsal != (answer.grant.lease is None):
        raise _reused("one used for a release" if ask.rehearsal else "one used for a rehearsal")
    if ask.audience != answer.grant.audience:
        raise _reused("one used with another audience")
    given = broker.leases.lease(answer.grant.lease.lease_id) if answer.grant.lease else None
    if given is not None and given.ended:
        raise Refused(given.reason)
    case = await _judged(ask, authentic, broker.catalogue.current(), broker, now)
    if not case.judgement.decision.allowed:
        raise Refused(case.judgement.decision.reason)
    return answer


def _reused(got: str) -> Refused:
    return Refused("CHALLENGE_REUSED", check="CHALLENGE_REUSED", expected="a fresh challenge", got=got)


def _reply(stored: bytes, place: Place, broker: Broker) -> Answer:
    """The grant with its receipt's parts; raises the Refused that it was. Here, after the commit, it is signed."""
    grant = reply.decode(stored)
    checkpoint = broker.signer.checkpoint(place.size, place.root)
    broker.faults("signed")
    return Answer(grant=grant, place=place, checkpoint=checkpoint, simulated=broker.identity.simulated)
