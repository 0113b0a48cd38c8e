"""Rows that a unit writes beside its entry. Each kind is one table's row; the store knows how it is written."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "DropBrokerKey",
    "DropKeyMaterial",
    "DropObject",
    "Effect",
    "EndLease",
    "PutBrokerKey",
    "PutKeyMaterial",
    "PutLease",
    "PutLeaseDevice",
    "PutLeaseKey",
    "PutObject",
    "PutTicket",
    "RenewLease",
    "ReplaceBrokerKey",
    "ReplaceKeyMaterial",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class PutObject:
    """The present version of a named object: the digest of its document, which is a blob. Moves the revision."""

    name: str
    kind: str
    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class DropObject:
    """A named object is no more; its documents stay, since entries name them. Moves the revision."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DropKeyMaterial:
    """A stored key is destroyed. What it protects cannot be opened again, unless a backup still holds it."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class PutKeyMaterial:
    """The private half of a key version or a key-encryption key, wrapped; `parent` names the key that wraps it.

    Never replaces: two changes that each make the tenant's first key-encryption key would lose one of them, and with it
    whatever it protects. The second is not written.
    """

    name: str
    parent: str
    wrapped: bytes


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class PutBrokerKey:
    """One of the broker's own keys, wrapped under the root with its purpose bound."""

    purpose: str
    serial: int
    not_before: int
    wrapped: bytes


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ReplaceKeyMaterial:
    """The same key wrapped anew, when what wraps it changes. Custody alone makes these, with the broker stopped."""

    name: str
    parent: str
    wrapped: bytes


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ReplaceBrokerKey:
    """The same key of the broker's own wrapped anew, under another root; or with another beginning."""

    purpose: str
    serial: int
    not_before: int
    wrapped: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class DropBrokerKey:
    """One of the broker's own keys is destroyed before anything was done with it."""

    purpose: str
    serial: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PutLease:
    """A lease as granted (kbs/model/lease.py); times in ms since 1970."""

    lease_id: str
    tenant: str
    node: str
    start: int
    end: int
    purpose: str
    platform: str
    guest: str
    holder_key: bytes
    ended: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PutLeaseKey:
    """One asset of a lease, at its place in the request."""

    lease_id: str
    asset: str
    version: int
    place: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PutLeaseDevice:
    """One device of a lease by its pseudonym, at its place in the evidence; written again when the lease is renewed.

    `serial` and `machine` are the names of kbs/model/lease.py `Machine`: that machine holds the device until `until`.
    """

    lease_id: str
    device: str
    place: int
    serial: str
    machine: str
    until: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewLease:
    """A lease goes on until `end`."""

    lease_id: str
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EndLease:
    """A lease ends now, for this reason."""

    lease_id: str
    ended: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PutTicket:
    """The way from a ticket to its entry."""

    ticket: str
    tenant: str


Effect = (
    DropObject
    | DropKeyMaterial
    | PutObject
    | PutKeyMaterial
    | PutBrokerKey
    | ReplaceKeyMaterial
    | ReplaceBrokerKey
    | DropBrokerKey
    | PutLease
    | PutLeaseKey
    | PutLeaseDevice
    | RenewLease
    | EndLease
    | PutTicket
)
