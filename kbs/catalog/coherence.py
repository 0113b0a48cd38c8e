"""Whether the catalogue would still hold together after a change: what releases would refuse is refused when written.

The rules are those of the decision (kbs/decide/invariants.py), which is made again at every release; here they say so
to the person who writes the document, in a sentence.
"""

from __future__ import annotations

from collections.abc import Iterator

from kbs.decide.demands import unmet
from kbs.model.asset import Asset, KeyVersion, NamedProfile, NamedReferences, Snapshot, Tenant
from kbs.model.names import tenant_of

__all__ = ["complaints", "misstep"]

Complaint = tuple[str, str]
# From each state of a reference set, those it may go to. What was revoked stays revoked. A new one may be anywhere, so
# that the files of one site can be applied to another.
_STEPS = {
    "": {"draft", "active", "deprecated", "revoked"},
    "draft": {"draft", "active", "revoked"},
    "active": {"active", "deprecated", "revoked"},
    "deprecated": {"deprecated", "active", "revoked"},
    "revoked": set[str](),
}


def misstep(before: object, after: object) -> Complaint | None:
    """Why an object may not go from one reading to the other, each by itself; None where it may."""
    if isinstance(after, NamedReferences):
        state = before.state if isinstance(before, NamedReferences) else ""
        if after.state not in _STEPS[state]:
            expected = f"one of {', '.join(sorted(_STEPS[state]))}" if _STEPS[state] else "no change any more"
            return "STATE", f"{after.name} is {state or 'new'}: the next state is {expected}, not {after.state}"
    if not isinstance(before, Asset) or not isinstance(after, Asset):
        return None
    if before.kind != after.kind and "secret" in {before.kind, after.kind}:
        return "KIND", f"{after.name} is of kind {before.kind}: the keys of {after.kind} are made in another way"
    return None


def complaints(after: Snapshot, name: str, before: object, now: int) -> Iterator[Complaint]:
    """(rule, sentence) of everything that would not hold in the catalogue `after` the object `name` changed.

    `before` is what the object was read to, None for a new one. What has nothing to do with it is not looked at.
    """
    if name not in after.objects:
        yield from _still_needed(after, name, before)
        return
    for asset in after.assets.values():
        if name in (str(asset.name), asset.profile, *asset.references):
            yield from _asset(asset, after, now)


def _still_needed(after: Snapshot, name: str, before: object) -> Iterator[Complaint]:
    users = [str(a.name) for a in after.assets.values() if name in (a.profile, *a.references)]
    if users:
        yield "IN_USE", f"{name} is named by {', '.join(sorted(users)[:3])}"
    held = [o.reading for o in after.objects.values() if isinstance(o.reading, KeyVersion)]
    alive = [v.name for v in held if str(v.asset) == name and v.state != "destroyed"]
    if isinstance(before, Asset) and alive:
        yield "IN_USE", f"{name} still has {', '.join(alive[:3])}: disable and destroy its key versions first"
    if isinstance(before, Tenant) and any(other.startswith(f"{name}/") for other in after.objects):
        yield "IN_USE", f"{name} is not empty"


def _asset(asset: Asset, after: Snapshot, now: int) -> Iterator[Complaint]:
    name, tenant = str(asset.name), asset.name.tenant
    for other in (asset.profile, *asset.references):
        if not other.startswith(f"tenants/{tenant}/") or tenant_of(other) != tenant:
            yield "TENANT", f"{name} may name what its own tenant has, not {other}"
    profile = after.profiles.get(asset.profile)
    if profile is None:
        yield "PROFILE", f"{name} names the profile {asset.profile}, which is not there: register it first"
    else:
        for demand, got in unmet(profile.profile, asset.tier):
            yield (
                "PROFILE_TIER",
                (f"tier {asset.tier} of {name} demands {demand.asks} ({demand.name}); {profile.name} has {got}"),
            )
    for reference in asset.references:
        found = after.references.get(reference)
        if found is None:
            yield "REFERENCES", f"{name} names the reference set {reference}, which is not there: register it first"
        elif found.counts(now):
            yield from _values(asset, found, profile)


def _values(asset: Asset, references: NamedReferences, profile: NamedProfile | None) -> Iterator[Complaint]:
    for value in references.references.values:
        missing = asset.rule.covers - value.covers
        if missing:
            yield (
                "TIER_COVERAGE",
                (
                    f"tier {asset.tier} of {asset.name} demands measurements of {', '.join(sorted(missing))} too; "
                    f"{references.name}#{value.name} covers {', '.join(sorted(value.covers))}"
                ),
            )
        second = value.second_fact or (profile.profile.second_fact(value.platform) if profile else "")
        if references.shared and not second:
            yield (
                "SECOND_FACT",
                (
                    f"others can boot {references.name}#{value.name} too, so that {asset.name} needs a second fact: "
                    "host_data, mr_config_id or rtmr3, in the value or in the profile"
                ),
            )
