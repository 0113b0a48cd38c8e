"""What the units of one batch are judged against: read when the batch begins, moved by each unit that is written, and
written when it ends.

So a unit sees what its neighbours before it did, as if it had a transaction of its own, and SQLite is asked once for
all of them (kbs/store/many.py says why).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from kbs.model.lease import Machine
from kbs.model.log import ChainHead, Place
from kbs.model.unit import Count, Stored, Unit, Verdict
from kbs.store import statements as sql
from kbs.store.many import Delete, Insert, Row, Update

__all__ = ["GOVERNANCE", "Ledger", "State", "read_state", "read_stored"]

GOVERNANCE = "gov"


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The row that counts what the snapshot is a copy of."""

    revision: int
    governance: int


def read_state(connection: sqlite3.Connection) -> State:
    """The present revision, and the index of the newest governance entry."""
    revision, governance = connection.execute(sql.GET_STATE, {"id": 1}).fetchone()
    return State(revision=revision, governance=governance)


def read_stored(connection: sqlite3.Connection, digest: bytes) -> Stored | None:
    """What a used challenge left behind, or None."""
    row = connection.execute(sql.GET_CHALLENGE, {"digest": digest}).fetchone()
    if row is None:
        return None
    bound, reply, index, size, proof, leaf, root, committed_at = row
    hashes = tuple(proof[i : i + 32] for i in range(0, len(proof), 32))
    place = Place(index=index, leaf=leaf, proof=hashes, size=size, root=root, time=committed_at)
    return Stored(bound=bound, reply=reply, place=place)


class Ledger:
    """The rows that a batch reads and writes. `write` at the end, inside the same transaction."""

    def __init__(self, connection: sqlite3.Connection, units: Sequence[Unit], now: int) -> None:
        self._connection = connection
        self._state = self._state_read = read_state(connection)
        self._used = self._read_used(units)
        objects = sql.FIND_OBJECTS.run(connection, {(n,) for u in units for n, _ in u.expects})
        self._objects: dict[object, object] = dict(objects)  # type: ignore[arg-type]
        self._totals: dict[str, dict[int, int]] = {}
        self._members: dict[tuple[str, str], int] = {}
        leases: Any = sql.FIND_LEASES.run(connection, {(u.lease.lease_id,) for u in units if u.lease is not None})
        self._leases: dict[str, int] = dict(leases)
        self._holders = self._read_holders([u.machine for u in units if u.machine is not None], now)
        self._read_meters([count for unit in units for count in unit.counts])
        self._chains = self._read_chains([v for u in units for v in (u.verdict, u.over_budget) if v is not None])
        self._linked: set[str] = set()
        self._rows: dict[Delete | Insert | Update, list[Row]] = {}
        self._dropped: dict[str, dict[str, None]] = {}
        self._counted: set[tuple[str, int]] = set()

    def _read_used(self, units: Sequence[Unit]) -> set[object]:
        digests = {(u.challenge.digest,) for u in units if u.challenge is not None}
        return {digest for (digest,) in sql.FIND_CHALLENGES.run(self._connection, digests)}

    def _read_holders(self, machines: Sequence[Machine], now: int) -> dict[str, set[str]]:
        """For each device the machines that have live leases of it."""
        asked = {(device, now + 1) for machine in machines for device in machine.devices}
        found: dict[str, set[str]] = {}
        rows: Any = sql.FIND_HOLDERS.run(self._connection, asked)
        for device, machine in rows:
            found.setdefault(device, set()).add(machine)
        return found

    def _read_meters(self, counts: Sequence[Count]) -> None:
        """The buckets that the counts look back on, and when their members were last counted there."""
        buckets: Any = sql.FIND_METERS.run(self._connection, {(c.meter, c.since) for c in counts})
        for meter, window, total in buckets:
            self._totals.setdefault(meter, {})[window] = total
        seen: Any = sql.FIND_MEMBERS.run(self._connection, {(c.meter, c.member, c.since) for c in counts})
        for meter, member, window in seen:
            self._members[meter, member] = max(window, self._members.get((meter, member), window))

    def _read_chains(self, verdicts: Sequence[Verdict]) -> dict[str, ChainHead]:
        names = {(asset,) for each in verdicts for asset in each.draft.assets}
        if any(each.draft.governance for each in verdicts):
            names.add((GOVERNANCE,))
        rows = sql.FIND_CHAINS.run(self._connection, names)
        return {chain: ChainHead(index=index, seq=seq) for chain, index, seq in rows}  # type: ignore[arg-type, misc]

    @property
    def state(self) -> State:
        """The revision and the newest governance entry, with this batch's so far."""
        return self._state

    def stored(self, digest: bytes) -> Stored | None:
        """What a challenge left behind that was used before this batch."""
        return read_stored(self._connection, digest) if digest in self._used else None

    def object(self, name: str) -> object:
        """The digest of an object's document, empty for none."""
        return self._objects.get(name, b"")

    def total(self, count: Count) -> int:
        """What was added to the count's meter since it looks back."""
        return sum(total for window, total in self._totals.get(count.meter, {}).items() if window >= count.since)

    def is_member(self, count: Count) -> bool:
        """Whether the count's member was counted since it looks back."""
        return self._members.get((count.meter, count.member), count.since - 1) >= count.since

    def add(self, count: Count) -> None:
        """Counts it."""
        buckets = self._totals.setdefault(count.meter, {})
        buckets[count.window] = buckets.get(count.window, 0) + count.add
        self._counted.add((count.meter, count.window))
        self._members[count.meter, count.member] = count.window
        self.put(sql.ADD_MEMBER, (count.meter, count.window, count.member))

    def lease(self, lease_id: str) -> int | None:
        """The index of the entry that last changed a lease."""
        return self._leases.get(lease_id)

    def change_lease(self, lease_id: str, index: int) -> None:
        """The entry at `index` changes a lease."""
        self._leases[lease_id] = index

    def is_elsewhere(self, machine: Machine) -> bool:
        """Whether one of its devices is under a live lease of another machine.

        One whose lease ends in this batch still is: who is told so looks again, and finds it free.
        """
        return any(self._holders.get(device, set()) - {machine.name} for device in machine.devices)

    def hold(self, machine: Machine) -> None:
        """The machine has a live lease of its devices."""
        for device in machine.devices:
            self._holders.setdefault(device, set()).add(machine.name)

    def chain(self, name: str) -> ChainHead | None:
        """The newest entry of a chain."""
        return self._chains.get(name)

    def link(self, name: str, index: int) -> None:
        """The entry at `index` is now the newest of the chain."""
        before = self._chains.get(name)
        self._chains[name] = ChainHead(index=index, seq=before.seq + 1 if before else 1)
        self._linked.add(name)

    def govern(self, index: int) -> None:
        """The entry at `index` is the newest of governance."""
        self._state = replace(self._state, governance=index)

    def move(self, name: str, digest: bytes) -> None:
        """An object changes, and with it the revision: once for each entry, see `judge.write`."""
        self._objects[name] = digest

    def turn(self) -> None:
        """The revision moves."""
        self._state = replace(self._state, revision=self._state.revision + 1)

    def put(self, table: Delete | Insert | Update, row: Row) -> None:
        """A row to be written at the end."""
        self._rows.setdefault(table, []).append(row)

    def drop(self, statement: str, table: Insert, name: str) -> None:
        """The row of that name is to be gone, also one of this batch so far; a later one of the batch stays."""
        at = table.columns.index("name")
        self._rows[table] = [row for row in self._rows.get(table, []) if row[at] != name]
        self._dropped.setdefault(statement, {})[name] = None

    def write(self) -> None:
        """Writes everything: what goes, then each table once, blobs before the objects that name them."""
        for statement, names in self._dropped.items():
            self._connection.executemany(statement, [{"name": name} for name in names])
        for meter in sorted(self._counted):
            self.put(sql.PUT_METER, (*meter, self._totals[meter[0]][meter[1]]))
        for name in sorted(self._linked):
            self.put(sql.PUT_CHAIN, (name, self._chains[name].index, self._chains[name].seq))
        for table in sorted(self._rows, key=lambda each: each is not sql.ADD_BLOB):
            table.run(self._connection, self._rows[table])
        if self._state != self._state_read:
            row = {"revision": self._state.revision, "governance": self._state.governance}
            self._connection.execute(sql.SET_STATE, {"key": 1, **row})
