"""The question behind a person's call, for every RPC of the people port. Pure."""

from __future__ import annotations

from kbs.decide.authority import Right
from kbs.model.asset import Principal, Snapshot
from kbs.model.decision import Question, Resource

__all__ = ["ask_person"]


def ask_person(  # everything that can change the answer
    person: Principal, right: Right, *, tenant: str, name: str, snapshot: Snapshot, simulation: bool
) -> Question:
    """May this person do that to `name`, which need not exist, in `tenant`?

    Roles count within the person's own tenants alone. Of an asset, policy sees the tier that it has now.
    """
    asset = snapshot.assets.get(name)
    resource = Resource(
        name=name,
        known=asset is not None,
        kind=right.kind,
        tier=asset.tier if asset else 0,
        owner=asset.owner if asset else "",
    )
    return Question(
        action=right.action,
        tenant=tenant,
        principal=person.id,
        roles=tuple(sorted(person.roles)) if tenant in person.tenants else (),
        purpose="",
        workload=None,
        resources=(resource,),
        simulation=simulation,
    )
