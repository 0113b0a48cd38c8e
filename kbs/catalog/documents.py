"""Documents of the catalogue, read strictly: unknown keys, wrong types and contradictions stop at the door.

Each is canonical JSON; its SHA-256 is the digest that log entries name. What is read here is never validated again.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from typing import Any

from attest.errors import AttestError
from attest.profile import Profile
from attest.reference import ReferenceSet
from kbs.catalog.fields import DocumentInvalid, hexadecimal, members, object_, text, texts, want, whole
from kbs.model.asset import (
    DEVICE_KINDS,
    REFERENCE_STATES,
    Asset,
    Device,
    KeyVersion,
    NamedProfile,
    NamedReferences,
    Tenant,
)
from kbs.model.names import PURPOSE, TENANT, AssetName, InvalidName
from kbs.model.tier import TIERS

__all__ = [
    "DocumentInvalid",
    "read_asset",
    "read_device",
    "read_key_version",
    "read_profile",
    "read_references",
    "read_tenant",
]

KINDS = frozenset({"weights", "dataset", "checkpoint", "output", "tokenizer", "secret"})
X_WING, IMPORTED = "MLKEM768-X25519", "imported"
_PUBLIC_KEY = 1_216
_MAX_LABELS = 32
_VERSION_STATES = frozenset({"enabled", "disabled", "destroyed", "awaiting-import"})
_MOST = 2**53 - 1


def _asset_name(text: object) -> AssetName:
    try:
        return AssetName.parse(str(text))
    except InvalidName as error:
        raise DocumentInvalid(f"name: {error}") from error


def _labels(d: Mapping[str, Any]) -> frozenset[str]:
    if "labels" not in d:
        return frozenset()
    labels = texts(d, "labels")
    fine = len(labels) <= _MAX_LABELS and all(PURPOSE.fullmatch(label) for label in labels)
    want(fine, "labels", f"at most {_MAX_LABELS} words of lower-case letters, digits and '-'", labels)
    return frozenset(labels)


def read_asset(data: bytes) -> Asset:
    """`sealgate.asset/1`. Ceilings and lease are at or below the tier's; raises DocumentInvalid."""
    d = members(
        data, "sealgate.asset/1", "name", "kind", "tier", "owner", "size_bytes", "purposes", "profile", "references",
        "content_digest", "new_nodes_per_hour", "bytes_per_day", "lease_seconds", optional=frozenset({"labels"}),
    )  # fmt: skip
    tier = whole(d, "tier", 0, len(TIERS) - 1)
    rule = TIERS[tier]
    purposes = texts(d, "purposes")
    kind = text(d, "kind")
    want(
        all(PURPOSE.fullmatch(p) for p in purposes), "purposes", "words of lower-case letters, digits and '-'", purposes
    )
    want(kind in KINDS, "kind", f"one of {sorted(KINDS)}", kind)
    return Asset(
        name=_asset_name(d["name"]),
        kind=kind,
        tier=tier,
        owner=text(d, "owner"),
        size_bytes=whole(d, "size_bytes", 0, 2**53 - 1),
        purposes=frozenset(purposes),
        profile=text(d, "profile"),
        references=texts(d, "references"),
        content_digest=hexadecimal(d, "content_digest", 32, optional=True),
        new_nodes_per_hour=whole(d, "new_nodes_per_hour", 1, rule.new_nodes_per_hour),
        bytes_per_day=whole(d, "bytes_per_day", 0, rule.bytes_per_day),
        lease_seconds=whole(d, "lease_seconds", 60, rule.lease_seconds),
        labels=_labels(d),
        digest=hashlib.sha256(data).digest(),
    )


def read_key_version(data: bytes) -> KeyVersion:
    """`sealgate.key-version/1`: the public half of an X-Wing key pair, base64url without padding, and its state.

    Of an imported secret the suite is `imported`; its public key is that of the pair it is imported through, which is
    gone once it was, and then empty.
    """
    d = members(
        data, "sealgate.key-version/1", "asset", "version", "suite", "public_key", optional=frozenset({"state"})
    )
    suite, state = d["suite"], d.get("state", "enabled")
    want(suite in (X_WING, IMPORTED), "suite", f"{X_WING!r} or {IMPORTED!r}", suite)
    want(isinstance(state, str) and state in _VERSION_STATES, "state", f"one of {sorted(_VERSION_STATES)}", state)
    want(suite == IMPORTED or state != "awaiting-import", "state", "that of a key pair made here", state)
    return KeyVersion(
        asset=_asset_name(d["asset"]),
        version=whole(d, "version", 1, 2**31),
        public_key=b"" if suite == IMPORTED and d["public_key"] == "" else _public_key(d),
        suite=suite,
        state=state,
    )


def _public_key(d: Mapping[str, Any]) -> bytes:
    encoded = text(d, "public_key")
    try:
        key = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
    except (ValueError, binascii.Error):
        key = b""
    one_form = base64.urlsafe_b64encode(key).decode().rstrip("=") == encoded
    want(len(key) == _PUBLIC_KEY and one_form, "public_key", f"{_PUBLIC_KEY} bytes in base64url", f"{len(key)} bytes")
    return key


def read_profile(data: bytes) -> NamedProfile:
    """`sealgate.profile/1`: a name, and what attest.profile.Profile reads."""
    d = members(data, "sealgate.profile/1", "name", "profile")
    try:
        profile = Profile.parse(object_(d, "profile"))
    except AttestError as error:
        raise DocumentInvalid(f"profile: {error}") from error
    return NamedProfile(name=text(d, "name"), profile=profile, digest=hashlib.sha256(data).digest())


def read_references(data: bytes) -> NamedReferences:
    """`sealgate.reference-set/1`: a name, its state, whether others can boot it too, and the values.

    A deprecated set, and no other, has a `sunset`: ms since 1970 from when on it counts no more.
    """
    d = members(data, "sealgate.reference-set/1", "name", "state", "shared", "values", optional=frozenset({"sunset"}))
    state = d["state"]
    want(isinstance(state, str) and state in REFERENCE_STATES, "state", f"one of {list(REFERENCE_STATES)}", state)
    want(type(d["shared"]) is bool, "shared", "true or false", d["shared"])
    want((state == "deprecated") == ("sunset" in d), "sunset", "given with state deprecated and no other", state)
    name = text(d, "name")
    try:
        references = ReferenceSet.parse({"name": name, "values": d["values"]})
    except AttestError as error:
        raise DocumentInvalid(f"values: {error}") from error
    return NamedReferences(
        name=name,
        state=state,
        sunset=whole(d, "sunset", 0, _MOST) if "sunset" in d else None,
        shared=d["shared"],
        references=references,
        digest=hashlib.sha256(data).digest(),
    )


def read_tenant(data: bytes) -> Tenant:
    """`sealgate.tenant/1`: a name, the group that answers for it, and labels."""
    d = members(data, "sealgate.tenant/1", "name", "owner", optional=frozenset({"labels"}))
    want(TENANT.fullmatch(str(d["name"])) is not None, "name", "tenants/TENANT", d["name"])
    return Tenant(name=d["name"], owner=text(d, "owner"), labels=_labels(d))


def read_device(data: bytes) -> Device:
    """`sealgate.device/1`: a name, the kind of device, the pseudonym of its identity, and labels."""
    d = members(data, "sealgate.device/1", "name", "kind", "pseudonym", optional=frozenset({"labels"}))
    want(d["kind"] in DEVICE_KINDS, "kind", f"one of {sorted(DEVICE_KINDS)}", d["kind"])
    return Device(name=text(d, "name"), kind=d["kind"], pseudonym=text(d, "pseudonym"), labels=_labels(d))
