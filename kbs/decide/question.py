"""Builds the question that is decided, from claims and the catalogue. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attest.appraise import Appraisal
from attest.finding import Finding
from attest.profile import Claims
from attest.reference import ReferenceValue
from kbs.decide.demands import unmet
from kbs.model.asset import Asset, NamedReferences, Snapshot
from kbs.model.decision import Question, Resource, Workload

__all__ = ["ask_release"]


def ask_release(  # everything that can change the answer
    *,
    action: str,
    tenant: str,
    node: str,
    purpose: str,
    claims: Claims,
    devices: int,
    names: Sequence[str],
    appraisals: Mapping[str, Appraisal],
    snapshot: Snapshot,
    simulation: bool,
    now: int,
    lease: Sequence[Finding] = (),
) -> Question:
    """The question behind a release, rehearsal or renewal at `now`, in ms since 1970.

    `appraisals` holds one for each known name; `lease` are the findings about leases.
    """
    workload = Workload(
        node=node,
        platform=claims.platform,
        product=claims.product,
        simulated=claims.simulated,
        debug=claims.debug,
        migration_agent=claims.migration_agent,
        devices=devices,
    )
    resources = [_resource(name, snapshot, appraisals, claims.platform, now) for name in names]
    return Question(
        action=action,
        tenant=tenant,
        principal=node,
        roles=(),
        purpose=purpose,
        workload=workload,
        resources=tuple(resources),
        simulation=simulation,
        lease=tuple(lease),
    )


def _resource(name: str, snapshot: Snapshot, appraisals: Mapping[str, Appraisal], platform: str, now: int) -> Resource:
    asset = snapshot.assets.get(name)
    if asset is None:
        return Resource(name=name, known=False)
    appraisal = appraisals[name]
    matched = appraisal.matched
    active = [r for r in map(snapshot.references.get, asset.references) if r is not None and r.counts(now)]
    holder = next((r for r in active if matched is not None and matched in r.references.values), None)
    return Resource(
        name=name,
        known=True,
        tier=asset.tier,
        kind=asset.kind,
        owner=asset.owner,
        locked=snapshot.locked(asset.name),
        purposes=tuple(sorted(asset.purposes)),
        reference=f"{holder.name}#{matched.name}" if holder and matched else "",
        references=sum(len(r.references.values) for r in active),
        covers=tuple(sorted(matched.covers)) if matched else (),
        must_cover=tuple(sorted(asset.rule.covers)),
        unmet=_unmet(asset, snapshot),
        shared=holder is not None and any(r.shared and _speaks_of(r, appraisal.images) for r in active),
        second_fact=(matched.second_fact if matched else "") or _second_fact(asset, snapshot, platform),
        nearest=f"{appraisal.nearest.set_name}#{appraisal.nearest.value.name}" if appraisal.nearest else "",
        differences=tuple((d.field, d.expected, d.got) for d in appraisal.nearest.differences)
        if appraisal.nearest
        else (),
        findings=tuple(appraisal.findings),
    )


def _speaks_of(named: NamedReferences, images: Sequence[ReferenceValue]) -> bool:
    """Whether a set holds what runs. One that calls it shared is enough, whichever set is met first."""
    return any(image in named.references.values for image in images)


def _second_fact(asset: Asset, snapshot: Snapshot, platform: str) -> str:
    profile = snapshot.profiles.get(asset.profile)
    return "" if profile is None else profile.profile.second_fact(platform)


def _unmet(asset: Asset, snapshot: Snapshot) -> tuple[str, ...]:
    profile = snapshot.profiles.get(asset.profile)
    return tuple(demand.name for demand, _ in unmet(profile.profile, asset.tier)) if profile else ()
