"""One request on its way through the story, and the parts of an entry that every outcome of it shares."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from kbs.log.bodies import KeyLine, ReleaseBody
from kbs.model.asset import Asset, Snapshot
from kbs.model.lease import Holder, LeaseRecord, Machine
from kbs.model.release import Ask, Lease
from kbs.model.unit import Count
from kbs.release.appraisal import Judgement
from kbs.release.evidence import Authentic
from kbs.release.port import Broker

__all__ = ["Case", "blobs", "body", "lease_end", "own"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One request as far as it has come: what is asked, what is proven, what was decided under which state.

    `machine` is who asks, by names for all tenants; `lease` the one to be renewed, `held` what the node holds already
    under leases that are active.
    """

    ask: Ask
    authentic: Authentic
    judgement: Judgement
    snapshot: Snapshot
    holder: Holder
    machine: Machine
    lease: LeaseRecord | None
    held: frozenset[str]
    entry_id: str
    now: int

    @property
    def tenant(self) -> str:
        """The tenant whose assets are asked for."""
        return self.holder.tenant

    @property
    def node(self) -> str:
        """The platform's pseudonym."""
        return self.holder.node

    def assets(self) -> list[Asset]:
        """The assets asked for that exist, in order."""
        return [self.snapshot.assets[name] for name in self.ask.names if name in self.snapshot.assets]


def lease_end(case: Case) -> int:
    """The end of a lease that begins or goes on now: the shortest of its assets'."""
    return case.now + min(asset.lease_seconds for asset in case.assets()) * 1_000


def blobs(case: Case) -> tuple[bytes, ...]:
    """The preimages that other entries may share, but for those that are stored already."""
    judgement = case.judgement
    shared = (case.authentic.request, judgement.document, judgement.references)
    return shared + case.authentic.collateral.blobs


def own(case: Case) -> tuple[bytes, ...]:
    """The preimages that hold this challenge, hence are this entry's alone."""
    return (case.authentic.transcript, case.authentic.evidence)


def body(  # what differs between the entries of a release
    case: Case,
    broker: Broker,
    *,
    entry_type: str,
    keys: Sequence[KeyLine],
    lease: Lease | None,
    reason: str,
    reasons: Sequence[str],
    counted: Sequence[Count] = (),
) -> ReleaseBody:
    """What every entry about a request says: what was asked, proven and decided, each by its digest."""
    claims = case.authentic.claims
    return ReleaseBody(
        type=entry_type,
        id=case.entry_id,
        tenant=case.tenant,
        node=case.node,
        broker=broker.identity,
        governance=case.snapshot.governance,
        action=case.ask.action,
        purpose=case.ask.purpose,
        suite=case.ask.suite,
        keys=keys,
        lease=(lease.lease_id, lease.start, lease.end) if lease else None,
        platform=claims.platform,
        product=claims.product,
        measurement=claims.measurement,
        tcb=claims.tcb,
        devices=case.holder.devices,
        bound=case.authentic.bound,
        now=case.now,
        reason=reason,
        reasons=reasons,
        account=[(c.meter, c.window, c.add, c.limit) for c in counted],
        transcript=hashlib.sha256(case.authentic.transcript).digest(),
        request=hashlib.sha256(case.authentic.request).digest(),
        evidence=hashlib.sha256(case.authentic.evidence).digest(),
        collateral=case.authentic.collateral.digest,
        policy=broker.digests.policy,
        references=case.judgement.references_digest,
        decision=case.judgement.digest,
        engine=broker.digests.engine,
    )
