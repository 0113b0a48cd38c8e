"""What is asked of the decision, what the engines answer, and what comes out: all of it can be written down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from attest.finding import Finding

__all__ = ["Allowed", "Decision", "EngineAnswer", "Question", "Resource", "Workload"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """The facts about who asks that policy may see. `node` is a pseudonym of the platform."""

    node: str
    platform: str
    product: str
    simulated: bool
    debug: bool
    migration_agent: bool
    devices: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One thing asked for, and how the evidence was appraised for it.

    `known` is False for a name that is not in the catalogue; all else is then empty. `covers` is what the matched
    reference value's measurement covers; `unmet` names what its tier demands of its profile in vain; `second_fact` what
    else tells parties apart that share it; `nearest` is the reference value that came nearest, with (field, expected,
    got) of each difference.
    """

    name: str
    known: bool
    tier: int = 0
    kind: str = ""
    owner: str = ""
    locked: bool = False
    purposes: tuple[str, ...] = ()
    reference: str = ""
    references: int = 0
    covers: tuple[str, ...] = ()
    must_cover: tuple[str, ...] = ()
    unmet: tuple[str, ...] = ()
    shared: bool = False
    second_fact: str = ""
    nearest: str = ""
    differences: tuple[tuple[str, str, str], ...] = ()
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is to be decided. `roles` is empty for workloads, `workload` None for people.

    `lease` are the findings about leases: the one that is to be renewed, and other machines' of the same devices.
    """

    action: str
    tenant: str
    principal: str
    roles: tuple[str, ...]
    purpose: str
    workload: Workload | None
    resources: tuple[Resource, ...]
    simulation: bool
    lease: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineAnswer:
    """One engine's answer: allowed only if it explicitly said so and met no error."""

    engine: str
    allowed: bool
    policies: tuple[str, ...]
    errors: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The outcome with every reason; `reason` is the coarse one that a caller may be told."""

    allowed: bool
    reason: str
    reasons: tuple[str, ...]
    findings: Sequence[Finding]


Allowed = "ALLOWED"
