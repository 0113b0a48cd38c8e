"""What a person looked up is in the log before the answer leaves."""

from __future__ import annotations

import hashlib

from attest.tlog.entry import canonical
from kbs.log.calls import query
from kbs.model.unit import Committed, Unit, Verdict
from kbs.release.port import Broker
from kbs.rpc.people import Allowed

__all__ = ["log_query"]


async def log_query(broker: Broker, allowed: Allowed, tenant: str, method: str, **scope: str | int | bool) -> None:
    """Writes `query.performed`; what was asked for is the blob behind its digest."""
    document = canonical({"v": "sealgate.query/1", "method": method, **scope})
    draft = query(
        entry_id=broker.random(16).hex(),
        tenant=tenant,
        actor=allowed.person.id,
        broker=broker.identity,
        scope=hashlib.sha256(document).digest(),
    )
    outcome = (await broker.store.commit([Unit(verdict=Verdict(draft=draft, blobs=(document,)))]))[0]
    if not isinstance(outcome, Committed):
        raise TypeError(f"a query without guards was not written: {outcome}")
