"""Steps 6 and 7, and the entry of step 8: what a decision becomes before it goes through the write door."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from attest import binding
from kbs.guard.ceilings import counts
from kbs.log.bodies import KeyLine, ReleaseBody
from kbs.model.asset import Asset, KeyVersion, Snapshot
from kbs.model.effect import Effect, PutLease, PutTicket
from kbs.model.refusal import Unavailable
from kbs.model.release import Ask, Grant, Lease, WrappedKey
from kbs.model.unit import ChallengeUse, Count, Unit, Verdict
from kbs.release import reply
from kbs.release.appraisal import Judgement
from kbs.release.evidence import Authentic
from kbs.release.port import Broker
from kbs.release.recipient import Recipient

__all__ = ["Case", "account", "granted", "refused", "unit", "wrap"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One request as far as it has come: what is asked, what is proven, what was decided under which state."""

    ask: Ask
    authentic: Authentic
    judgement: Judgement
    snapshot: Snapshot
    tenant: str
    node: str
    entry_id: str
    now: int

    def assets(self) -> list[Asset]:
        """The assets asked for that exist, in order."""
        return [self.snapshot.assets[name] for name in self.ask.names if name in self.snapshot.assets]


def account(case: Case) -> tuple[Count, ...]:
    """Step 6: what this release adds to which meters. A rehearsal hands out nothing and counts nothing."""
    if case.ask.rehearsal or not case.judgement.decision.allowed:
        return ()
    return tuple(count for asset in case.assets() for count in counts(asset, case.node, case.now))


def wrap(case: Case, recipient: Recipient, lease: Lease, broker: Broker) -> tuple[WrappedKey, ...]:
    """Step 7: each key under the recipient's, all context in `info`. Raises Unavailable for an asset without a key."""
    return tuple(
        _wrap(asset, _version(asset, case.snapshot), case, recipient, lease, broker) for asset in case.assets()
    )


def _wrap(
    asset: Asset, version: KeyVersion, case: Case, recipient: Recipient, lease: Lease, broker: Broker
) -> WrappedKey:
    info = binding.key_info(case.authentic.bound, version.name, case.ask.purpose, lease.lease_id, asset.content_digest)
    wrapped = recipient.wrap(broker.vault.key(version.name), info)
    return WrappedKey(key_name=version.name, wrapped=wrapped, content_digest=asset.content_digest)


def _version(asset: Asset, snapshot: Snapshot) -> KeyVersion:
    version = snapshot.key_versions.get(str(asset.name))
    if version is None:
        raise Unavailable("KEY_UNAVAILABLE")
    return version


def granted(
    case: Case, keys: Sequence[WrappedKey], lease: Lease | None, counted: Sequence[Count], broker: Broker
) -> Verdict:
    """The grant with its entry; for a rehearsal, which has no lease, the entry alone."""
    preimages = [_preimage(case, key, lease) for key in keys if lease is not None]
    lines = [
        KeyLine(
            asset=str(asset.name),
            version=_version(asset, case.snapshot).version,
            wrapped=hashlib.sha256(preimages[n]).digest() if preimages else None,
        )
        for n, asset in enumerate(case.assets())
    ]
    body = _body(
        case,
        broker,
        entry_type="release.granted" if lease else "release.rehearsed",
        keys=lines,
        lease=lease,
        reason="ALLOWED",
        reasons=("ALLOWED",),
        counted=counted,
    )
    effects: list[Effect] = [PutTicket(ticket=case.entry_id, tenant=case.tenant)]
    if lease is not None:
        held = {"tenant": case.tenant, "node": case.node}
        effects.append(PutLease(lease_id=lease.lease_id, start=lease.start, end=lease.end, **held))
    return Verdict(
        draft=body.draft(tuple(line.asset for line in lines)),
        blobs=_blobs(case),
        own=(*_own(case), *preimages),
        effects=tuple(effects),
        reply=reply.encode_grant(Grant(keys=tuple(keys), lease=lease)),
    )


def _preimage(case: Case, key: WrappedKey, lease: Lease) -> bytes:
    info = binding.key_info(case.authentic.bound, key.key_name, case.ask.purpose, lease.lease_id, key.content_digest)
    return binding.wrapped_preimage(info, key.wrapped)


def refused(case: Case, reason: str, reasons: Sequence[str], counted: Sequence[Count], broker: Broker) -> Verdict:
    """The refusal with its entry and ticket. A name that is no asset's is a pseudonym there: it may be anything."""
    known = {str(asset.name) for asset in case.assets()}
    lines = [
        KeyLine(
            asset=name if name in known else broker.pseudonyms.of(case.tenant, "unknown", name.encode()),
            version=None,
            wrapped=None,
        )
        for name in case.ask.names
    ]
    body = _body(
        case,
        broker,
        entry_type="release.refused",
        keys=lines,
        lease=None,
        reason=reason,
        reasons=reasons,
        counted=counted,
    )
    return Verdict(
        draft=body.draft(tuple(sorted(known))),
        blobs=_blobs(case),
        own=_own(case),
        effects=(PutTicket(ticket=case.entry_id, tenant=case.tenant),),
        reply=reply.encode_refusal(reason, case.entry_id),
    )


def unit(case: Case, verdict: Verdict, counted: tuple[Count, ...], issued_at: int, broker: Broker) -> Unit:
    """What goes through the write door."""
    budget = ("EXPOSURE_BUDGET",)
    return Unit(
        verdict=verdict,
        challenge=ChallengeUse(digest=case.ask.challenge_digest, bound=case.authentic.bound, issued_at=issued_at),
        revision=case.snapshot.revision,
        counts=counted,
        over_budget=refused(case, budget[0], budget, counted, broker) if counted else None,
    )


def _blobs(case: Case) -> tuple[bytes, ...]:
    """The preimages that other entries may share, but for those that are stored already."""
    judgement = case.judgement
    shared = (case.authentic.request, judgement.document, judgement.references)
    return shared + case.authentic.collateral.blobs


def _own(case: Case) -> tuple[bytes, ...]:
    """The preimages that hold this challenge, hence are this entry's alone."""
    return (case.authentic.transcript, case.authentic.evidence)


def _body(  # what differs between the entries of a release
    case: Case,
    broker: Broker,
    *,
    entry_type: str,
    keys: Sequence[KeyLine],
    lease: Lease | None,
    reason: str,
    reasons: Sequence[str],
    counted: Sequence[Count],
) -> ReleaseBody:
    claims = case.authentic.claims
    return ReleaseBody(
        type=entry_type,
        id=case.entry_id,
        tenant=case.tenant,
        node=case.node,
        broker=broker.identity,
        governance=case.snapshot.governance,
        action="release",
        purpose=case.ask.purpose,
        suite=case.ask.suite,
        keys=keys,
        lease=(lease.lease_id, lease.start, lease.end) if lease else None,
        platform=claims.platform,
        product=claims.product,
        measurement=claims.measurement,
        tcb=claims.tcb,
        devices=[broker.pseudonyms.device(case.tenant, d.kind, d.pdi) for d in claims.devices],
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
