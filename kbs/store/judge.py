"""One unit inside the transaction: its guards under the head's lock, then its rows.

Order of the guards: challenge used, challenge expired, revision, lease, machine, objects, counts. The first that fails
decides, and only a count that fails leaves anything behind: the refused entry.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from kbs.model.effect import (
    DropBrokerKey,
    DropKeyMaterial,
    DropObject,
    Effect,
    EndLease,
    PutBrokerKey,
    PutKeyMaterial,
    PutLease,
    PutLeaseDevice,
    PutLeaseKey,
    PutObject,
    PutTicket,
    RenewLease,
    ReplaceBrokerKey,
    ReplaceKeyMaterial,
)
from kbs.model.log import Placed
from kbs.model.unit import AlreadyUsed, ChallengeUse, Conflict, Count, Expired, Moved, Unit, Verdict
from kbs.store import statements as sql
from kbs.store.documents import pack
from kbs.store.ledger import GOVERNANCE, Ledger
from kbs.store.many import Delete, Insert, Update
from kbs.store.port import Batch

__all__ = ["CHALLENGE_LIFE_MS", "Refusal", "Written", "judge", "write"]

CHALLENGE_LIFE_MS = 120_000
_INDEX = frozenset({"idx", "newest"})
Refusal = AlreadyUsed | Expired | Moved | Conflict

# The table of each effect: its columns are the effect's fields by name, and those of _INDEX the index of its entry.
_EFFECTS: Mapping[type[Effect], Delete | Insert | Update] = {
    PutObject: sql.PUT_OBJECT,
    PutKeyMaterial: sql.PUT_KEY,
    PutBrokerKey: sql.PUT_BROKER_KEY,
    ReplaceKeyMaterial: sql.REPLACE_KEY,
    ReplaceBrokerKey: sql.REPLACE_BROKER_KEY,
    DropBrokerKey: sql.DROP_BROKER_KEY,
    PutLease: sql.PUT_LEASE,
    PutLeaseKey: sql.PUT_LEASE_KEY,
    PutLeaseDevice: sql.PUT_LEASE_DEVICE,
    RenewLease: sql.RENEW_LEASE,
    EndLease: sql.END_LEASE,
    PutTicket: sql.PUT_TICKET,
}
# What takes a row away: the statement, and the table that an earlier unit of the batch may have put it into.
_DROPS: Mapping[type[Effect], tuple[str, Insert]] = {
    DropObject: (sql.DROP_OBJECT, sql.PUT_OBJECT),
    DropKeyMaterial: (sql.DROP_KEY, sql.PUT_KEY),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A unit that has its entry; `over_budget` tells which verdict it was."""

    unit: Unit
    placed: Placed
    reply: bytes
    over_budget: bool


def judge(ledger: Ledger, unit: Unit, now: int) -> Refusal | Verdict:
    """The verdict to write, or why none is. Counts that hold are added at once, so that the next unit sees them."""
    use = unit.challenge
    if use is not None and (refusal := _challenge(ledger, use, now)) is not None:
        return refusal
    if unit.revision is not None and ledger.state.revision != unit.revision:
        return Moved(revision=ledger.state.revision)
    lease = unit.lease
    if lease is not None and ledger.lease(lease.lease_id) != lease.newest:
        return Moved(revision=ledger.state.revision)
    if unit.machine is not None and ledger.is_elsewhere(unit.machine):
        return Moved(revision=ledger.state.revision)
    for name, expected in unit.expects:
        if ledger.object(name) != expected:
            return Conflict(name=name)
    return _counted(ledger, unit)


def _challenge(ledger: Ledger, use: ChallengeUse, now: int) -> Refusal | None:
    stored = ledger.stored(use.digest)
    if stored is not None:
        return AlreadyUsed(stored=stored)
    age = now - use.issued_at
    return Expired(age_ms=age) if age > CHALLENGE_LIFE_MS else None


def _counted(ledger: Ledger, unit: Unit) -> Verdict:
    """All counts, or none and the other verdict."""
    added: list[Count] = []
    for count in unit.counts:
        seen = [each for each in added if each.meter == count.meter and each.window >= count.since]
        if ledger.is_member(count) or any(each.member == count.member for each in seen):
            continue
        if ledger.total(count) + sum(each.add for each in seen) + count.add > count.limit:
            if unit.over_budget is None:
                raise ValueError("a unit with counts needs the verdict that is written when one is crossed")
            return unit.over_budget
        added.append(count)
    for count in added:
        ledger.add(count)
    return unit.verdict


def write(ledger: Ledger, unit: Unit, verdict: Verdict, batch: Batch) -> Written:
    """Gives the verdict's entry its place, and the ledger everything but what needs the batch to be closed."""
    draft = verdict.draft
    chains = [(asset, ledger.chain(asset)) for asset in draft.assets]
    governance = ledger.chain(GOVERNANCE) if draft.governance else None
    placed = batch.place(draft, chains, governance)
    for asset in draft.assets:
        ledger.link(asset, placed.index)
    if draft.governance:
        ledger.link(GOVERNANCE, placed.index)
        ledger.govern(placed.index)
    for blob in verdict.blobs:
        ledger.put(sql.ADD_BLOB, (hashlib.sha256(blob).digest(), blob, placed.index))
    if verdict.own:
        ledger.put(sql.ADD_DOCUMENTS, (placed.index, pack(verdict.own)))
    if unit.machine is not None and verdict is unit.verdict:
        ledger.hold(unit.machine)
    _apply(ledger, verdict.effects, placed.index)
    return Written(unit=unit, placed=placed, reply=verdict.reply, over_budget=verdict is unit.over_budget)


def _apply(ledger: Ledger, effects: tuple[Effect, ...], index: int) -> None:
    """An entry that changes objects, however many, moves the revision once."""
    for effect in effects:
        if isinstance(effect, DropObject | DropKeyMaterial):
            ledger.drop(*_DROPS[type(effect)], effect.name)
            if isinstance(effect, DropObject):
                ledger.move(effect.name, b"")
            continue
        table = _EFFECTS[type(effect)]
        ledger.put(table, tuple(index if name in _INDEX else getattr(effect, name) for name in table.columns))
        if isinstance(effect, RenewLease | EndLease):
            ledger.change_lease(effect.lease_id, index)
        if isinstance(effect, EndLease):
            ledger.put(sql.FREE_DEVICES, (effect.ended, effect.lease_id))
        if isinstance(effect, PutObject):
            ledger.move(effect.name, effect.digest)
    if any(isinstance(effect, PutObject | DropObject) for effect in effects):
        ledger.turn()
