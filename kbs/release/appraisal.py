"""Steps 4 and 5: each asset against its own profile, then one question for all of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from attest.appraise import Appraisal, appraise
from attest.finding import Finding, Outcome
from attest.profile import Claims
from attest.tlog.entry import canonical
from kbs.decide.canonical import decision_bytes
from kbs.decide.decide import decide
from kbs.decide.question import ask_release
from kbs.model.asset import Asset, Snapshot
from kbs.model.decision import Decision, Question
from kbs.model.release import Ask
from kbs.release.port import Engine

__all__ = ["Judgement", "appraise_all", "judge"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A decision and the two documents that it can be made again from."""

    question: Question
    decision: Decision
    appraisals: Mapping[str, Appraisal]
    document: bytes
    references: bytes

    @property
    def digest(self) -> bytes:
        """`decision_digest`."""
        return hashlib.sha256(self.document).digest()

    @property
    def references_digest(self) -> bytes:
        """`refvalues_digest`."""
        return hashlib.sha256(self.references).digest()


def appraise_all(names: Sequence[str], claims: Claims, snapshot: Snapshot, now: int) -> dict[str, Appraisal]:
    """An appraisal for each name that is an asset's, against the reference sets that count at `now`."""
    return {name: _appraise(snapshot.assets[name], claims, snapshot, now) for name in names if name in snapshot.assets}


def _appraise(asset: Asset, claims: Claims, snapshot: Snapshot, now: int) -> Appraisal:
    profile = snapshot.profiles.get(asset.profile)
    if profile is None:
        missing = Finding(
            check="PROFILE_MISSING",
            path=str(asset.name),
            outcome=Outcome.FAILED,
            expected=f"profile {asset.profile}",
            got="no such profile",
        )
        return Appraisal(findings=(missing,), matched=None, nearest=None)
    active = [r.references for r in map(snapshot.references.get, asset.references) if r is not None and r.counts(now)]
    return appraise(claims, profile.profile, active, now=datetime.fromtimestamp(now / 1_000, UTC))


async def judge(
    ask: Ask,
    claims: Claims,
    node: str,
    tenant: str,
    snapshot: Snapshot,
    engines: Sequence[Engine],
    *,
    simulation: bool,
    now: int,
    lease: Sequence[Finding] = (),
) -> Judgement:
    """Appraises and decides under `snapshot`, at `now` in ms since 1970: the `now_used` of the entry.

    `lease` are the findings about leases.
    """
    appraisals = appraise_all(ask.names, claims, snapshot, now)
    question = ask_release(
        action="rehearse" if ask.rehearsal else ask.action,
        tenant=tenant,
        node=node,
        purpose=ask.purpose,
        claims=claims,
        devices=len(ask.devices),
        names=ask.names,
        appraisals=appraisals,
        snapshot=snapshot,
        simulation=simulation,
        now=now,
        lease=lease,
    )
    answers = [await engine.answer(question) for engine in engines]
    decision = decide(question, answers)
    return Judgement(
        question=question,
        decision=decision,
        appraisals=appraisals,
        document=decision_bytes(question, answers, decision),
        references=_references(ask.names, snapshot, now),
    )


def _references(names: Sequence[str], snapshot: Snapshot, now: int) -> bytes:
    """Which documents the appraisal read, and which of the sets counted: the preimage of `refvalues_digest`."""
    lines = []
    for name in names:
        asset = snapshot.assets.get(name)
        if asset is None:
            continue
        profile = snapshot.profiles.get(asset.profile)
        sets = [snapshot.references.get(r) for r in asset.references]
        lines.append(
            {
                "asset": name,
                "asset_digest": asset.digest.hex(),
                "counted": [r is not None and r.counts(now) for r in sets],
                "profile_digest": profile.digest.hex() if profile else None,
                "reference_digests": [r.digest.hex() if r else None for r in sets],
            }
        )
    return canonical({"v": "sealgate.refvalues/1", "assets": lines})
