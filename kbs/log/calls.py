"""What the calls of people leave in the log, but for changes of the catalogue."""

from __future__ import annotations

from collections.abc import Sequence

from attest.tlog.entry import MAX_BODY, canonical
from kbs.log.bodies import Broker, common
from kbs.model.lease import LeaseRecord
from kbs.model.log import Draft

__all__ = ["access_refused", "lease_revoked", "query", "refused_calls"]


def access_refused(  # everything that the entry states
    *,
    entry_id: str,
    tenant: str,
    actor: str,
    broker: Broker,
    action: str,
    name: str,
    reason: str,
    decision: bytes,
) -> Draft:
    """A person's call that was decided and refused. `decision` is the SHA-256 of its decision's document."""
    body = {
        **common("access.refused", entry_id, tenant, ("person", actor), broker, None),
        "action": action,
        "decision_digest": decision.hex(),
        "object": name,
        "reason": reason,
    }
    return Draft(body=canonical(body, limit=MAX_BODY))


def refused_calls(  # everything that the entry states
    *, entry_id: str, actor: str, broker: Broker, start: int, end: int, counts: Sequence[tuple[str, int]], root: bytes
) -> Draft:
    """What a person's calls came to that were decided and refused beyond those that have an entry each.

    `root` is that of the RFC 6962 tree over the SHA-256 of each decision's document, in order.
    """
    body = {
        **common("access.refused-batch", entry_id, "", ("person", actor), broker, None),
        "counts": [{"count": count, "reason": reason} for reason, count in counts],
        "decisions_root": root.hex(),
        "total": sum(count for _, count in counts),
        "window": {"end": end, "start": start},
    }
    return Draft(body=canonical(body, limit=MAX_BODY))


def lease_revoked(
    *, entry_id: str, actor: str, broker: Broker, lease: LeaseRecord, ended: int, reason: str, decision: bytes
) -> Draft:
    """A person ended a lease, on the chains of its assets. `reason` is what its holder is told at a renewal."""
    tenant = lease.holder.tenant
    body = {
        **common("lease.revoked", entry_id, tenant, ("person", actor), broker, None),
        "decision_digest": decision.hex(),
        "keys": [{"asset": asset, "version": version} for asset, version in lease.keys],
        "lease": {"end": ended, "id": lease.lease_id, "start": lease.start},
        "node": lease.holder.node,
        "reason": reason,
    }
    return Draft(body=canonical(body, limit=MAX_BODY), assets=lease.names)


def query(*, entry_id: str, tenant: str, actor: str, broker: Broker, scope: bytes) -> Draft:
    """A person asked what the log or a decision says. `scope` is the SHA-256 of what was asked."""
    body = {
        **common("query.performed", entry_id, tenant, ("person", actor), broker, None),
        "scope_digest": scope.hex(),
    }
    return Draft(body=canonical(body, limit=MAX_BODY))
