"""Who holds which keys until when: the record of a lease, from its grant over its renewals to its end."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BLOCKED", "REATTEST", "Elsewhere", "Holder", "LeaseRecord", "Machine"]

# Why a lease ended, in the words that a caller is told: what attesting anew can cure, and what it cannot.
REATTEST, BLOCKED = "REVOKED_REATTEST", "REVOKED_BLOCKED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who asks, as far as evidence proves it; pseudonyms within the tenant.

    `node` is the platform, `guest` the SNP guest by its REPORT_ID (of a TD the platform again), `key` the SHA-256 of
    the holder key's SubjectPublicKeyInfo, empty without one, `devices` the serials in the order of the evidence.
    """

    tenant: str
    node: str
    guest: str
    platform: str
    key: bytes
    devices: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A node and its devices by keyed names that are the same for every tenant, which therefore no entry ever holds.

    `devices` are in the order of the evidence.
    """

    name: str
    devices: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """A device, by its name of `Machine`, under a live lease of another machine; `node` is that tenant's pseudonym."""

    device: str
    tenant: str
    lease_id: str
    node: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRecord:
    """One lease; times in ms since 1970.

    `keys` are (asset, version) in the order asked; `granted` is the index of the entry that granted it, `newest` that
    of the entry that last changed it; `ended` is 0 for a lease that nobody ended, and `reason` then empty.
    """

    lease_id: str
    holder: Holder
    purpose: str
    keys: tuple[tuple[str, int], ...]
    start: int
    end: int
    granted: int
    newest: int
    ended: int
    reason: str

    @property
    def names(self) -> tuple[str, ...]:
        """The assets, in the order asked."""
        return tuple(asset for asset, _ in self.keys)

    def live(self, now: int) -> bool:
        """Neither ended nor over."""
        return not self.ended and now < self.end

    def state(self, now: int) -> str:
        """`active`, `expired` or `ended`."""
        return "ended" if self.ended else "active" if now < self.end else "expired"
