"""The entry with which a freeze ends: `log.incident`, with the evidence that was kept as its document.

It is written while the log is still frozen, by the command that resolves and needs no key: the checkpoint over it is
signed by the broker that starts next.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from contextlib import closing
from pathlib import Path

from attest.tlog.entry import parse_leaf
from kbs.log.bodies import Broker, incident
from kbs.log.sequence import LogSequencer
from kbs.model.unit import Unit, Verdict
from kbs.serve.check import SiteCheck
from kbs.store.connect import open_reader
from kbs.store.door import WriteDoor
from kbs.store.port import Clock
from kbs.store.statements import GET_ENTRIES

__all__ = ["log_resolved", "simulated"]


def log_resolved(store: Path, found: SiteCheck, bundle: bytes, at: int, clock: Clock) -> None:
    """Appends the entry to the log that `found` describes, frozen since `at`. Raises StoreUnavailable, LogFrozen.

    A store without entries has no log yet, and gets none: its first must be the genesis.
    """
    if not found.origin:
        return
    draft = incident(
        entry_id=os.urandom(16).hex(),
        broker=Broker(id="incident", measurement="", simulated=simulated(store)),
        kind="frozen",
        at=at,
        ahead_ms=None,
        bundle=hashlib.sha256(bundle).digest(),
    )
    door = WriteDoor(store, LogSequencer(found.origin), clock, seen=found.store.head, resolving=True)
    with closing(door):
        asyncio.run(_commit(door, Unit(verdict=Verdict(draft=draft, own=(bundle,)))))


async def _commit(door: WriteDoor, unit: Unit) -> None:
    await door.commit([unit])


def simulated(store: Path) -> bool:
    """As the genesis entry says: an entry that said otherwise would be refused by every auditor."""
    with closing(open_reader(store)) as connection:
        row = connection.execute(GET_ENTRIES, {"start": 0, "end": 1}).fetchone()
    return parse_leaf(row[1]).body.get("simulated") is not False
