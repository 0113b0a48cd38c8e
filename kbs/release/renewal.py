"""Renewal: what the steps of a release do otherwise when a lease is to go on, and the entries they end in.

Nothing is wrapped and nothing is counted. A refusal ends the lease, unless it is over already or somebody else asks.
"""

from __future__ import annotations

from attest.finding import Finding, Outcome
from kbs.decide.renewal import CONTINUITY
from kbs.log.bodies import KeyLine
from kbs.model.effect import EndLease, PutTicket, RenewLease
from kbs.model.lease import BLOCKED, REATTEST, Holder, LeaseRecord
from kbs.model.release import Ask, Grant, Lease
from kbs.model.unit import Verdict
from kbs.release import reply, verdict
from kbs.release.case import Case, blobs, body, lease_end, own
from kbs.release.continuity import continuity
from kbs.release.port import Broker
from kbs.release.result import attestation_result

__all__ = ["findings", "record", "renewed", "unrenewed"]


def record(ask: Ask, broker: Broker) -> LeaseRecord | None:
    """The lease that the request names, as it stands; None for any request but a renewal."""
    return broker.leases.lease(ask.lease_id) if ask.action == "renew" else None


def findings(ask: Ask, lease: LeaseRecord | None, holder: Holder, now: int) -> tuple[Finding, ...]:
    """Part of step 4: is it the holder's lease, and is there something to go on with? Empty unless renewing."""
    return continuity(lease, holder, ask.purpose, ask.names, now) if ask.action == "renew" else ()


def renewed(case: Case, lease: LeaseRecord, broker: Broker) -> Verdict:
    """The lease goes on from now, as long as its assets allow now, which may be shorter than it was."""
    goes_on = Lease(lease_id=lease.lease_id, start=lease.start, end=lease_end(case))
    allowed = ("ALLOWED",)
    written = body(
        case, broker, entry_type="lease.renewed", keys=_lines(lease), lease=goes_on, reason=allowed[0], reasons=allowed
    )
    return Verdict(
        draft=written.draft(lease.names),
        blobs=blobs(case),
        own=own(case),
        effects=(
            PutTicket(ticket=case.entry_id, tenant=case.tenant),
            RenewLease(lease_id=goes_on.lease_id, end=goes_on.end),
            *verdict.device_rows(case, goes_on),
        ),
        reply=reply.encode_grant(
            Grant(keys=(), lease=goes_on, result=attestation_result(case, broker), audience=case.ask.audience)
        ),
    )


def unrenewed(case: Case, broker: Broker) -> Verdict:
    """The refusal: `lease.ended` where it ends the lease, `lease.refused` where the caller has none to end."""
    decision, lease = case.judgement.decision, case.lease
    if lease is None or decision.reason not in {REATTEST, BLOCKED} or not _ours(case) or not lease.live(case.now):
        return verdict.refused(case, decision.reason, decision.reasons, (), broker, entry_type="lease.refused")
    ended = Lease(lease_id=lease.lease_id, start=lease.start, end=case.now)
    written = body(
        case,
        broker,
        entry_type="lease.ended",
        keys=_lines(lease),
        lease=ended,
        reason=decision.reason,
        reasons=decision.reasons,
    )
    return Verdict(
        draft=written.draft(lease.names),
        blobs=blobs(case),
        own=own(case),
        effects=(
            PutTicket(ticket=case.entry_id, tenant=case.tenant),
            EndLease(lease_id=lease.lease_id, ended=case.now, reason=decision.reason),
        ),
        reply=reply.encode_refusal(decision.reason, case.entry_id),
    )


def _lines(lease: LeaseRecord) -> list[KeyLine]:
    return [KeyLine(asset=asset, version=version, wrapped=None) for asset, version in lease.keys]


def _ours(case: Case) -> bool:
    """Whether the one who asks is the holder: nobody else can end a lease."""
    failed = [f.check for f in case.judgement.question.lease if f.outcome is not Outcome.PASSED]
    return bool(case.judgement.question.lease) and all(CONTINUITY.get(check) in {REATTEST, BLOCKED} for check in failed)
