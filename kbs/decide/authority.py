"""Who may call what: one line for every RPC that people may call, and the services that are not for people at all.

A method without a line here cannot be served on the people port: its service does not start, and a test that walks the
descriptors fails. The roles are the most that policy can allow; policy may only take away from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["RIGHTS", "ROLES", "WORKLOAD_SERVICES", "Right", "roles_for"]

OPERATOR, AUDITOR = "operator", "auditor"
ROLES = frozenset({OPERATOR, AUDITOR})
_OPERATORS = frozenset({OPERATOR})
_READERS = frozenset({OPERATOR, AUDITOR})

# Server TLS only: what a workload is allowed follows from its evidence, and whoever enrols has no certificate yet.
WORKLOAD_SERVICES = frozenset({"sealgate.v1.KeyRelease"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """What a call does, to what kind of thing, and the roles of which a caller needs one within the thing's tenant."""

    action: str
    kind: str
    roles: frozenset[str]


RIGHTS: Mapping[str, Right] = {
    "sealgate.v1.Decisions/ExplainDecision": Right(action="decisions.explain", kind="decision", roles=_OPERATORS),
}
_ROLES: Mapping[str, frozenset[str]] = {right.action: right.roles for right in RIGHTS.values()}


def roles_for(action: str) -> frozenset[str]:
    """The roles that may have this action; none for an action that is nobody's."""
    return _ROLES.get(action, frozenset())
