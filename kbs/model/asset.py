"""What the catalogue holds: assets, their key versions, profiles, reference sets, people, locks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from attest.profile import Profile
from attest.reference import ReferenceSet
from kbs.model.enrolment import Enrolment
from kbs.model.names import AssetName
from kbs.model.tier import TIERS, TierRule

__all__ = [
    "DEVICE_KINDS",
    "REFERENCE_STATES",
    "Asset",
    "Device",
    "KeyVersion",
    "Lock",
    "NamedProfile",
    "NamedReferences",
    "Object",
    "Principal",
    "Snapshot",
    "Tenant",
]

DEVICE_KINDS = frozenset({"nvidia-gpu", "nvidia-switch"})
REFERENCE_STATES = ("draft", "active", "deprecated", "revoked")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """Whose things they are. `owner` is the group that answers for it."""

    name: str
    owner: str
    labels: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device that a tenant knows. `pseudonym` is that of its PDI, as log entries name it."""

    name: str
    kind: str
    pseudonym: str
    labels: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """What keys are for. `digest` is that of its document; `content_digest` is empty or 32 bytes."""

    name: AssetName
    kind: str
    tier: int
    owner: str
    size_bytes: int
    purposes: frozenset[str]
    profile: str
    references: tuple[str, ...]
    content_digest: bytes
    new_nodes_per_hour: int
    bytes_per_day: int
    lease_seconds: int
    digest: bytes
    labels: frozenset[str] = frozenset()

    @property
    def rule(self) -> TierRule:
        """The native rule of its tier."""
        return TIERS[self.tier]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyVersion:
    """One key pair of an asset, or a secret that was imported: what may be known. What is released is never here.

    `state` is enabled, disabled, destroyed, or awaiting-import, when `public_key` is that of the pair that the secret
    is imported through.
    """

    asset: AssetName
    version: int
    public_key: bytes
    suite: str = "MLKEM768-X25519"
    state: str = "enabled"

    @property
    def name(self) -> str:
        """tenants/{tenant}/assets/{asset}/keyVersions/{version}."""
        return self.asset.key_version(self.version)


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedProfile:
    """A release profile and the digest of its document."""

    name: str
    profile: Profile
    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedReferences:
    """A set of reference values; `shared` says that more than one party can boot what it names.

    `sunset`, in ms since 1970, is when a deprecated set ceases to count; no other set has one.
    """

    name: str
    state: str
    shared: bool
    references: ReferenceSet
    digest: bytes
    sunset: int | None = None

    def counts(self, now: int) -> bool:
        """Whether it is trusted at `now`, in ms since 1970: active, or deprecated and not past its sunset."""
        return self.state == "active" or (self.state == "deprecated" and self.sunset is not None and now < self.sunset)


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """A person, as far as the broker knows: a pseudonym, the client key, roles within tenants.

    `key` is the SHA-256 of its DER SubjectPublicKeyInfo: certificates come and go within a day, the person stays.
    """

    id: str
    key: bytes
    roles: frozenset[str]
    tenants: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """Stops releases of one asset, or of a whole tenant."""

    name: str
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Object:
    """Any object of the catalogue as it is stored: kind, the canonical JSON of its document, and that one's SHA-256.

    `reading` is what the document was read to.
    """

    kind: str
    digest: bytes
    document: bytes
    reading: object


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """What was written since an entry, as of one moment: (name, kind, digest, document) of each, `count` of all."""

    revision: int
    governance: int
    count: int
    rows: Sequence[tuple[str, str, bytes, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The state that releases are decided under, whole, at one revision.

    `governance` is the index of the newest governance entry. The revision is checked again inside every commit, so
    that a snapshot may be old but never acted upon when it is.
    """

    revision: int
    governance: int
    assets: Mapping[str, Asset]
    key_versions: Mapping[str, KeyVersion]
    profiles: Mapping[str, NamedProfile]
    references: Mapping[str, NamedReferences]
    principals: Mapping[bytes, Principal]
    locks: tuple[Lock, ...]
    objects: Mapping[str, Object] = field(default_factory=dict)
    enrolments: Mapping[str, Enrolment] = field(default_factory=dict)

    def locked(self, asset: AssetName) -> bool:
        """True if a lock names the asset or its tenant."""
        targets = {str(asset), f"tenants/{asset.tenant}"}
        return any(lock.target in targets for lock in self.locks)
