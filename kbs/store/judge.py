"""One unit inside the transaction: its guards under the head's lock, then its rows.

Order of the guards: challenge used, challenge expired, revision, objects, counts. The first that fails decides, and
only a count that fails leaves anything behind: the refused entry.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

from kbs.model.effect import Effect, PutBrokerKey, PutKeyMaterial, PutLease, PutObject, PutTicket
from kbs.model.log import ChainHead, Place, Placed
from kbs.model.unit import AlreadyUsed, ChallengeUse, Conflict, Count, Expired, Moved, Stored, Unit, Verdict
from kbs.store import statements as sql
from kbs.store.port import Batch

__all__ = ["CHALLENGE_LIFE_MS", "GOVERNANCE", "Refusal", "Written", "judge", "read_stored", "write"]

CHALLENGE_LIFE_MS = 120_000
GOVERNANCE = "gov"
Refusal = AlreadyUsed | Expired | Moved | Conflict


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A unit that has its entry; `over_budget` tells which verdict it was."""

    unit: Unit
    placed: Placed
    reply: bytes
    over_budget: bool


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


def judge(connection: sqlite3.Connection, unit: Unit, now: int) -> Refusal | Verdict:
    """The verdict to write, or why none is. Counts that hold are added at once, so that the next unit sees them."""
    use = unit.challenge
    if use is not None and (refusal := _challenge(connection, use, now)) is not None:
        return refusal
    if unit.revision is not None and (state := read_state(connection)).revision != unit.revision:
        return Moved(revision=state.revision)
    for name, expected in unit.expects:
        row = connection.execute(sql.GET_OBJECT, {"name": name}).fetchone()
        if (row[0] if row else b"") != expected:
            return Conflict(name=name)
    totals: dict[tuple[str, int], int] = {}
    members: set[tuple[str, int, str]] = set()
    for count in unit.counts:
        meter, member = (count.meter, count.window), (count.meter, count.window, count.member)
        if member in members or _is_member(connection, count):
            continue
        totals[meter] = totals.get(meter, _total(connection, count)) + count.add
        members.add(member)
        if totals[meter] > count.limit:
            if unit.over_budget is None:
                raise ValueError("a unit with counts needs the verdict that is written when one is crossed")
            return unit.over_budget
    for (name, window), total in totals.items():
        connection.execute(sql.PUT_METER, {"meter": name, "window": window, "total": total})
    for name, window, who in members:
        connection.execute(sql.ADD_MEMBER, {"meter": name, "window": window, "member": who})
    return unit.verdict


def _challenge(connection: sqlite3.Connection, use: ChallengeUse, now: int) -> Refusal | None:
    stored = read_stored(connection, use.digest)
    if stored is not None:
        return AlreadyUsed(stored=stored)
    age = now - use.issued_at
    return Expired(age_ms=age) if age > CHALLENGE_LIFE_MS else None


def _is_member(connection: sqlite3.Connection, count: Count) -> bool:
    key = {"meter": count.meter, "window": count.window, "member": count.member}
    return connection.execute(sql.GET_MEMBER, key).fetchone() is not None


def _total(connection: sqlite3.Connection, count: Count) -> int:
    row = connection.execute(sql.GET_METER, {"meter": count.meter, "window": count.window}).fetchone()
    return int(row[0]) if row else 0


def write(connection: sqlite3.Connection, unit: Unit, verdict: Verdict, batch: Batch) -> Written:
    """Gives the verdict's entry its place and writes everything but what needs the batch to be closed."""
    draft = verdict.draft
    chains = [(asset, _chain(connection, asset)) for asset in draft.assets]
    governance = _chain(connection, GOVERNANCE) if draft.governance else None
    placed = batch.place(draft, chains, governance)
    heads = [(asset, head) for asset, head in chains] + ([(GOVERNANCE, governance)] if draft.governance else [])
    for chain, head in heads:
        seq = head.seq + 1 if head else 1
        connection.execute(sql.PUT_CHAIN, {"chain": chain, "idx": placed.index, "seq": seq})
    blobs = [{"digest": hashlib.sha256(b).digest(), "data": b, "idx": placed.index} for b in verdict.blobs]
    connection.executemany(sql.ADD_BLOB, blobs)
    for effect in verdict.effects:
        _EFFECTS[type(effect)](connection, effect, placed.index)
    moved = any(isinstance(effect, PutObject) for effect in verdict.effects)
    if moved or draft.governance:
        state = read_state(connection)
        row_state = {
            "revision": state.revision + moved,
            "governance": placed.index if draft.governance else state.governance,
        }
        connection.execute(sql.SET_STATE, {"key": 1, **row_state})
    return Written(unit=unit, placed=placed, reply=verdict.reply, over_budget=verdict is unit.over_budget)


def _chain(connection: sqlite3.Connection, chain: str) -> ChainHead | None:
    row = connection.execute(sql.GET_CHAIN, {"chain": chain}).fetchone()
    return ChainHead(index=row[0], seq=row[1]) if row else None


def _row(statement: str, *fields: str, indexed: bool = False) -> Callable[[sqlite3.Connection, Effect, int], None]:
    def put(connection: sqlite3.Connection, effect: Effect, index: int) -> None:
        row: dict[str, object] = {name: getattr(effect, name) for name in fields}
        if indexed:
            row["idx"] = index
        connection.execute(statement, row)

    return put


_EFFECTS: dict[type[Effect], Callable[[sqlite3.Connection, Effect, int], None]] = {
    PutObject: _row(sql.PUT_OBJECT, "name", "kind", "digest", indexed=True),
    PutKeyMaterial: _row(sql.PUT_KEY, "name", "parent", "wrapped"),
    PutBrokerKey: _row(sql.PUT_BROKER_KEY, "purpose", "serial", "not_before", "wrapped"),
    PutLease: _row(sql.PUT_LEASE, "lease_id", "tenant", "node", "start", "end", indexed=True),
    PutTicket: _row(sql.PUT_TICKET, "ticket", "tenant", indexed=True),
}
