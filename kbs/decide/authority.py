"""Who may call what: one line for every RPC that people may call, and the services that are not for people at all.

A method without a line here cannot be served on the people port: its service does not start, and a test that walks the
descriptors fails. The roles are the most that policy can allow; policy may only take away from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["RIGHTS", "WORKLOAD_SERVICES", "Right", "roles_for"]

OPERATOR, AUDITOR = "operator", "auditor"
_OPERATORS = frozenset({OPERATOR})
_READERS = frozenset({OPERATOR, AUDITOR})

# Server TLS only: what a workload is allowed follows from its evidence, and whoever enrols has no certificate yet.
WORKLOAD_SERVICES = frozenset({"sealgate.v1.KeyRelease", "sealgate.v1.Enrolment"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """What a call does, to what kind of thing, and the roles of which a caller needs one within the thing's tenant."""

    action: str
    kind: str
    roles: frozenset[str]


def _resource(service: str, one: str, kind: str, reads: str, changes: str) -> dict[str, Right]:
    """The rights of a resource's methods: everybody in the tenant who has a role reads, operators change."""
    collection = one[0].lower() + one[1:] + "s"
    verbs = [(verb, _READERS) for verb in reads.split()] + [(verb, _OPERATORS) for verb in changes.split()]
    return {
        f"{service}/{verb}{one}{'s' if verb == 'List' else ''}": Right(
            action=f"{collection}.{verb.lower()}", kind=kind, roles=roles
        )
        for verb, roles in verbs
    }


_CATALOG, _KEYS, _CHANGES = "sealgate.v1.Catalog", "sealgate.v1.KeyVersions", "Create Update Delete"
RIGHTS: Mapping[str, Right] = {
    "sealgate.v1.Collateral/ExportCollateral": Right(action="collateral.read", kind="collateral", roles=_READERS),
    "sealgate.v1.Collateral/ImportCollateral": Right(action="collateral.change", kind="collateral", roles=_OPERATORS),
    "sealgate.v1.Collateral/PreflightCollateral": Right(action="collateral.read", kind="collateral", roles=_READERS),
    "sealgate.v1.Collateral/RefreshCollateral": Right(action="collateral.change", kind="collateral", roles=_OPERATORS),
    "sealgate.v1.Decisions/ExplainDecision": Right(action="decisions.explain", kind="decision", roles=_OPERATORS),
    **_resource(_CATALOG, "Tenant", "tenant", "Get List", _CHANGES),
    **_resource(_CATALOG, "Asset", "asset", "Get List", _CHANGES),
    **_resource(_CATALOG, "Profile", "profile", "Get List", _CHANGES),
    **_resource(_CATALOG, "ReferenceSet", "reference-set", "Get List", _CHANGES),
    **_resource(_CATALOG, "Device", "device", "Get List", _CHANGES),
    f"{_CATALOG}/PlanChanges": Right(action="changes.plan", kind="change", roles=_OPERATORS),
    **_resource(_KEYS, "KeyVersion", "key-version", "Get List", "Create Import Disable Enable Destroy"),
    "sealgate.v1.Leases/GetLease": Right(action="leases.get", kind="lease", roles=_READERS),
    "sealgate.v1.Leases/ListLeases": Right(action="leases.list", kind="lease", roles=_READERS),
    "sealgate.v1.Leases/GetLeaseReceipt": Right(action="leases.prove", kind="lease", roles=_READERS),
    "sealgate.v1.Leases/EndLease": Right(action="leases.end", kind="lease", roles=_OPERATORS),
}
_ROLES: Mapping[str, frozenset[str]] = {right.action: right.roles for right in RIGHTS.values()}


def roles_for(action: str) -> frozenset[str]:
    """The roles that may have this action; none for an action that is nobody's."""
    return _ROLES.get(action, frozenset())
