"""Wires the room of people: its entries, the issuing CA that is in force, and the log's own time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kbs.access.port import Access, Issuer
from kbs.log.bodies import change, credential
from kbs.model.log import Draft
from kbs.release.port import Broker
from kbs.store.read import Reader

__all__ = ["Entries", "access_of"]


@dataclass(frozen=True, slots=True)
class Entries:
    """The entries that people's coming in leaves."""

    broker: Broker

    def enrolled(self, principal: str, name: str, document: bytes) -> Draft:
        """A principal was created by a code."""
        return change(
            entry_type="principal.created",
            entry_id=self.broker.random(16).hex(),
            tenant="",
            actor=("person", principal),
            broker=self.broker.identity,
            name=name,
            old=b"",
            new=document,
        )

    def issued(self, principal: str, key: bytes, certificate: bytes, expires: int) -> Draft:
        """A certificate was issued."""
        return credential(
            entry_id=self.broker.random(16).hex(),
            actor=principal,
            broker=self.broker.identity,
            key=key,
            certificate=certificate,
            expires=expires,
        )


def access_of(broker: Broker, reader: Reader, issuer: Callable[[], Issuer], certificate_life: int) -> Access:
    """The room over one broker. Time is the log's at least: a clock that was set back opens no door again."""
    return Access(
        deployment=broker.deployment,
        challenges=broker.challenges,
        catalogue=broker.catalogue,
        store=broker.store,
        used=reader,
        issuer=issuer,
        entries=Entries(broker),
        now=lambda: max(broker.clock(), reader.head().last_time),
        certificate_life=certificate_life,
    )
