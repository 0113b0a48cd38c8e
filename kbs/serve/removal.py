"""A person is taken out: their key is nobody's from then on, in every process, and no code lets that key in again."""

from __future__ import annotations

import hashlib
import os
from contextlib import closing

from attest.tlog.entry import canonical, parse_leaf
from kbs.catalog.snapshot import load
from kbs.log.bodies import Broker as Identity
from kbs.log.bodies import change
from kbs.log.sequence import LogSequencer
from kbs.model.asset import Principal
from kbs.model.effect import DropObject, Effect, PutObject
from kbs.model.enrolment import RetiredKey, retired_name
from kbs.model.unit import Committed, Conflict, Moved, Unit, Verdict
from kbs.serve.check import ensure_sound
from kbs.serve.site import Site
from kbs.store.door import WriteDoor
from kbs.store.errors import StoreUnavailable
from kbs.store.port import Clock
from kbs.store.read import Reader

__all__ = ["LastOperator", "NoSuchPerson", "people", "remove"]

_ATTEMPTS = 3


class NoSuchPerson(Exception):
    """Nobody enrolled has that pseudonym."""


class LastOperator(Exception):
    """Without this person nobody could change anything any more."""


def people(site: Site) -> list[Principal]:
    """Everybody who is enrolled, by pseudonym."""
    with closing(Reader(site.store)) as reader:
        return sorted(load(reader).principals.values(), key=lambda person: person.id)


async def remove(site: Site, pseudonym: str, clock: Clock, *, last: bool) -> Principal:
    """Drops a person, and their invitation, which would otherwise be unused again, and retires their key for ever.

    The broker may serve.

    Raises NoSuchPerson, LastOperator unless `last`, LogFrozen, StoreUnavailable.
    """
    ensure_sound(site.store, site.log, clock)
    with (
        closing(Reader(site.store)) as reader,
        closing(WriteDoor(site.store, LogSequencer(site.log_origin), clock)) as door,
    ):
        for _ in range(_ATTEMPTS):
            unit, person = _unit(reader, pseudonym, last=last)
            match (await door.commit([unit]))[0]:
                case Committed():
                    return person
                case Moved() | Conflict():
                    continue
                case outcome:
                    raise StoreUnavailable(f"{pseudonym} was not removed: {outcome}")
    raise StoreUnavailable(f"{pseudonym} was not removed: the catalogue changes all the time; try again")


def _unit(reader: Reader, pseudonym: str, *, last: bool) -> tuple[Unit, Principal]:
    snapshot = load(reader)
    found = [
        (name, stored.digest, stored.reading)
        for name, stored in snapshot.objects.items()
        if isinstance(stored.reading, Principal) and stored.reading.id == pseudonym
    ]
    if not found:
        raise NoSuchPerson(f"nobody who is enrolled has the pseudonym {pseudonym}")
    name, digest, person = found[0]
    others = [p for p in snapshot.principals.values() if p.id != pseudonym and "operator" in p.roles]
    if not others and "operator" in person.roles and not last:
        raise LastOperator(
            f"{pseudonym} is the only operator: without an operator nobody can change anything in this deployment any "
            "more. If that is meant, say --last"
        )
    invitations = [e.name for e in snapshot.enrolments.values() if e.principal == pseudonym]
    [(_, genesis, _)] = reader.entries(0, 1)
    draft = change(
        entry_type="principal.deleted",
        entry_id=os.urandom(16).hex(),
        tenant="",
        actor=("broker", "people"),
        broker=Identity(id="people", measurement="", simulated=parse_leaf(genesis).body["simulated"] is not False),
        name=name,
        old=digest,
        new=b"",
    )
    retired = RetiredKey(name=retired_name(person.key), key=person.key)
    document = canonical({"v": "sealgate.retired-key/1", **retired.document()})
    put = PutObject(name=retired.name, kind="retired-key", digest=hashlib.sha256(document).digest())
    effects: tuple[Effect, ...] = (*(DropObject(name=each) for each in (name, *invitations)), put)
    verdict = Verdict(draft=draft, effects=effects, blobs=(document,))
    return Unit(verdict=verdict, revision=snapshot.revision, expects=((name, digest),)), person
