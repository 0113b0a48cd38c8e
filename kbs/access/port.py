"""What access needs of its neighbours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric import ec

from kbs.model.asset import Snapshot
from kbs.model.log import Draft
from kbs.model.unit import Outcome, Stored, Unit

__all__ = ["Access", "Entries", "Issuer"]


class Challenges(Protocol):
    """The broker's challenges."""

    def check(self, challenge: bytes, now: int, *, used: bool) -> int:
        """When it was issued; raises Refused."""


class Catalogue(Protocol):
    """The state that is decided under."""

    def current(self) -> Snapshot:
        """The catalogue at its present revision."""


class UsedChallenges(Protocol):
    """What used challenges left behind."""

    def used_challenge(self, digest: bytes) -> Stored | None:
        """The stored reply, or None."""


class Store(Protocol):
    """The write door."""

    async def commit(self, units: Sequence[Unit]) -> list[Outcome]:
        """Writes each unit on its own merits; raises StoreUnavailable."""


class Issuer(Protocol):
    """The issuing CA."""

    def issue_person(self, pseudonym: str, public: ec.EllipticCurvePublicKey, now: int, life_ms: int) -> bytes:
        """DER of a client certificate."""

    @property
    def der(self) -> bytes:
        """DER of the CA's own certificate."""


class Entries(Protocol):
    """The entries that people's coming in leaves."""

    def enrolled(self, principal: str, name: str, document: bytes) -> Draft:
        """A principal was created by a code; `document` is the SHA-256 of its document."""

    def issued(self, principal: str, key: bytes, certificate: bytes, expires: int) -> Draft:
        """A certificate was issued; key and certificate as SHA-256."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The room's neighbours. `now` is the log's own time at least, so that no clock set back opens a closed door."""

    deployment: str
    challenges: Challenges
    catalogue: Catalogue
    store: Store
    used: UsedChallenges
    issuer: Callable[[], Issuer]
    entries: Entries
    now: Callable[[], int]
    certificate_life: int
