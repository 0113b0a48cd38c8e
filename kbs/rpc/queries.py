"""What a person looked up is in the log before the answer leaves; and nobody fills the log by looking up."""

from __future__ import annotations

import hashlib

from attest.tlog.entry import canonical
from kbs.log.calls import query
from kbs.model.refusal import Slowed
from kbs.model.unit import Committed, Unit, Verdict
from kbs.release.port import Broker
from kbs.rpc.people import Allowed

__all__ = ["log_query"]


async def log_query(broker: Broker, allowed: Allowed, tenant: str, method: str, **scope: str | int | bool) -> None:
    """Writes `query.performed`; what was asked for is the blob behind its digest.

    Raises Slowed for somebody who asks in a loop, and then nothing is read: that is counted, and said once for each
    window as refusals are.
    """
    entry_id = broker.random(16).hex()
    wait = broker.queries.wait(allowed.person.id, entry_id.encode(), broker.monotonic())
    if wait:
        broker.refusals.count(allowed.person.id, "RATE_LIMITED", allowed.decision, broker.clock())
        raise Slowed(retry_after=wait / 1_000)
    document = canonical({"v": "sealgate.query/1", "method": method, **scope})
    draft = query(
        entry_id=entry_id,
        tenant=tenant,
        actor=allowed.person.id,
        broker=broker.identity,
        scope=hashlib.sha256(document).digest(),
    )
    outcome = (await broker.store.commit([Unit(verdict=Verdict(draft=draft, blobs=(document,)))]))[0]
    if not isinstance(outcome, Committed):
        raise TypeError(f"a query without guards was not written: {outcome}")
