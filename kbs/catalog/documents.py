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
from attest.tlog.entry import parse_canonical
from kbs.model.asset import Asset, KeyVersion, Lock, NamedProfile, NamedReferences, Principal
from kbs.model.enrolment import ENROLMENT_LIFE_MS, ROLES, Enrolment, enrolment_name
from kbs.model.names import PURPOSE, TENANT, AssetName, InvalidName
from kbs.model.tier import TIERS

__all__ = [
    "DocumentInvalid",
    "read_asset",
    "read_enrolment",
    "read_key_version",
    "read_lock",
    "read_principal",
    "read_profile",
    "read_references",
]

KINDS = frozenset({"weights", "dataset", "checkpoint", "output", "tokenizer"})
_PUBLIC_KEY = 1_216


class DocumentInvalid(ValueError):
    """A document that is not what its kind demands; the sentence names the field."""


def _fields(data: bytes, version: str, *names: str) -> Mapping[str, Any]:
    try:
        document = parse_canonical(data)
    except AttestError as error:
        raise DocumentInvalid(f"the document is not canonical JSON: {error}") from error
    if document.get("v") != version:
        raise DocumentInvalid(f"v must be {version!r}, it is {document.get('v')!r}")
    missing, unknown = set(names) - document.keys(), document.keys() - {"v", *names}
    if missing or unknown:
        raise DocumentInvalid(f"{version}: missing {sorted(missing)}, unknown {sorted(unknown)}")
    return document


def _want(fine: bool, field: str, rule: str, got: object) -> None:
    if not fine:
        raise DocumentInvalid(f"{field} must be {rule}, it is {got!r}")


def _int(document: Mapping[str, Any], field: str, low: int, high: int) -> int:
    value = document[field]
    _want(type(value) is int and low <= value <= high, field, f"a whole number from {low} to {high}", value)
    return int(value)


def _text(document: Mapping[str, Any], field: str) -> str:
    value = document[field]
    _want(isinstance(value, str) and value != "", field, "a text that is not empty", value)
    return str(value)


def _texts(document: Mapping[str, Any], field: str) -> tuple[str, ...]:
    value = document[field]
    fine = (
        isinstance(value, list) and value and all(isinstance(v, str) for v in value) and len(set(value)) == len(value)
    )
    _want(bool(fine), field, "a list of different texts, not empty", value)
    return tuple(value)


def _hex(document: Mapping[str, Any], field: str, size: int, *, optional: bool = False) -> bytes:
    value = document[field]
    if optional and value == "":
        return b""
    try:
        data = bytes.fromhex(value)
    except (TypeError, ValueError):
        data = b""
    _want(len(data) == size and value == data.hex(), field, f"{size} bytes in lower-case hexadecimal", value)
    return data


def _object(document: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    value = document[field]
    _want(isinstance(value, dict), field, "an object", value)
    return dict(value)


def _asset_name(text: object) -> AssetName:
    try:
        return AssetName.parse(str(text))
    except InvalidName as error:
        raise DocumentInvalid(f"name: {error}") from error


def _lockable(target: object) -> bool:
    """A lock on what cannot exist would look like one and stop nothing."""
    try:
        return bool(AssetName.parse(str(target)))
    except InvalidName:
        return isinstance(target, str) and TENANT.fullmatch(target) is not None


def read_asset(data: bytes) -> Asset:
    """`sealgate.asset/1`. Ceilings and lease are at or below the tier's; raises DocumentInvalid."""
    d = _fields(
        data, "sealgate.asset/1", "name", "kind", "tier", "owner", "size_bytes", "purposes", "profile", "references",
        "content_digest", "new_nodes_per_hour", "bytes_per_day", "lease_seconds",
    )  # fmt: skip
    tier = _int(d, "tier", 0, len(TIERS) - 1)
    rule = TIERS[tier]
    purposes = _texts(d, "purposes")
    kind = _text(d, "kind")
    _want(
        all(PURPOSE.fullmatch(p) for p in purposes), "purposes", "words of lower-case letters, digits and '-'", purposes
    )
    _want(kind in KINDS, "kind", f"one of {sorted(KINDS)}", kind)
    return Asset(
        name=_asset_name(d["name"]),
        kind=kind,
        tier=tier,
        owner=_text(d, "owner"),
        size_bytes=_int(d, "size_bytes", 0, 2**53 - 1),
        purposes=frozenset(purposes),
        profile=_text(d, "profile"),
        references=_texts(d, "references"),
        content_digest=_hex(d, "content_digest", 32, optional=True),
        new_nodes_per_hour=_int(d, "new_nodes_per_hour", 1, rule.new_nodes_per_hour),
        bytes_per_day=_int(d, "bytes_per_day", 0, rule.bytes_per_day),
        lease_seconds=_int(d, "lease_seconds", 60, rule.lease_seconds),
        digest=hashlib.sha256(data).digest(),
    )


def read_key_version(data: bytes) -> KeyVersion:
    """`sealgate.key-version/1`: the public half of an X-Wing key pair, base64url without padding."""
    d = _fields(data, "sealgate.key-version/1", "asset", "version", "suite", "public_key")
    _want(d["suite"] == "MLKEM768-X25519", "suite", "'MLKEM768-X25519'", d["suite"])
    text = _text(d, "public_key")
    try:
        key = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (ValueError, binascii.Error):
        key = b""
    one_form = base64.urlsafe_b64encode(key).decode().rstrip("=") == text
    _want(len(key) == _PUBLIC_KEY and one_form, "public_key", f"{_PUBLIC_KEY} bytes in base64url", f"{len(key)} bytes")
    return KeyVersion(asset=_asset_name(d["asset"]), version=_int(d, "version", 1, 2**31), public_key=key)


def read_profile(data: bytes) -> NamedProfile:
    """`sealgate.profile/1`: a name, and what attest.profile.Profile reads."""
    d = _fields(data, "sealgate.profile/1", "name", "profile")
    try:
        profile = Profile.parse(_object(d, "profile"))
    except AttestError as error:
        raise DocumentInvalid(f"profile: {error}") from error
    return NamedProfile(name=_text(d, "name"), profile=profile, digest=hashlib.sha256(data).digest())


def read_references(data: bytes) -> NamedReferences:
    """`sealgate.reference-set/1`: a name, its state, whether others can boot it too, and the values."""
    d = _fields(data, "sealgate.reference-set/1", "name", "state", "shared", "values")
    _want(d["state"] in ("active", "revoked"), "state", "'active' or 'revoked'", d["state"])
    _want(type(d["shared"]) is bool, "shared", "true or false", d["shared"])
    name = _text(d, "name")
    try:
        references = ReferenceSet.parse({"name": name, "values": d["values"]})
    except AttestError as error:
        raise DocumentInvalid(f"values: {error}") from error
    return NamedReferences(
        name=name,
        active=d["state"] == "active",
        shared=d["shared"],
        references=references,
        digest=hashlib.sha256(data).digest(),
    )


def read_principal(data: bytes) -> Principal:
    """`sealgate.principal/1`: a pseudonym, the SHA-256 of the client key's SubjectPublicKeyInfo, roles and tenants."""
    d = _fields(data, "sealgate.principal/1", "id", "key_sha256", "roles", "tenants")
    roles = _texts(d, "roles")
    _want(set(roles) <= ROLES, "roles", f"among {sorted(ROLES)}", roles)
    return Principal(
        id=_text(d, "id"),
        key=_hex(d, "key_sha256", 32),
        roles=frozenset(roles),
        tenants=frozenset(_texts(d, "tenants")),
    )


def read_lock(data: bytes) -> Lock:
    """`sealgate.lock/1`: what is locked, or with an empty target nothing any more."""
    d = _fields(data, "sealgate.lock/1", "name", "target")
    _want(d["target"] == "" or _lockable(d["target"]), "target", "an asset's name, a tenant's, or empty", d["target"])
    return Lock(name=_text(d, "name"), target=d["target"])


def read_enrolment(data: bytes) -> Enrolment:
    """`sealgate.enrolment/1`: the digest of a code, and what its bearer becomes, until when."""
    d = _fields(data, "sealgate.enrolment/1", "name", "code_sha256", "principal", "roles", "tenants", "expires")
    roles, code = _texts(d, "roles"), _hex(d, "code_sha256", 32)
    _want(set(roles) <= ROLES, "roles", f"among {sorted(ROLES)}", roles)
    _want(d["name"] == enrolment_name(code), "name", "made from code_sha256", d["name"])
    return Enrolment(
        name=str(d["name"]),
        code_sha256=code,
        principal=_text(d, "principal"),
        roles=frozenset(roles),
        tenants=frozenset(_texts(d, "tenants")),
        expires=_int(d, "expires", ENROLMENT_LIFE_MS, (1 << 53) - 1),
    )
