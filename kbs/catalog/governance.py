"""Documents about people and what stops releases: principals, the codes they enrol with, keys of the past, locks."""

from __future__ import annotations

from kbs.catalog.fields import hexadecimal, members, text, texts, want, whole
from kbs.model.asset import Lock, Principal
from kbs.model.enrolment import ENROLMENT_LIFE_MS, ROLES, Enrolment, RetiredKey, enrolment_name, retired_name
from kbs.model.names import TENANT, AssetName, InvalidName

__all__ = ["read_enrolment", "read_lock", "read_principal", "read_retired_key"]


def _lockable(target: object) -> bool:
    """A lock on what cannot exist would look like one and stop nothing."""
    try:
        return bool(AssetName.parse(str(target)))
    except InvalidName:
        return isinstance(target, str) and TENANT.fullmatch(target) is not None


def read_principal(data: bytes) -> Principal:
    """`sealgate.principal/1`: a pseudonym, the SHA-256 of the client key's SubjectPublicKeyInfo, roles and tenants."""
    d = members(data, "sealgate.principal/1", "id", "key_sha256", "roles", "tenants")
    roles = texts(d, "roles")
    want(set(roles) <= ROLES, "roles", f"among {sorted(ROLES)}", roles)
    return Principal(
        id=text(d, "id"),
        key=hexadecimal(d, "key_sha256", 32),
        roles=frozenset(roles),
        tenants=frozenset(texts(d, "tenants")),
    )


def read_lock(data: bytes) -> Lock:
    """`sealgate.lock/1`: what is locked, or with an empty target nothing any more."""
    d = members(data, "sealgate.lock/1", "name", "target")
    want(d["target"] == "" or _lockable(d["target"]), "target", "an asset's name, a tenant's, or empty", d["target"])
    return Lock(name=text(d, "name"), target=d["target"])


def read_retired_key(data: bytes) -> RetiredKey:
    """`sealgate.retired-key/1`: the SHA-256 of a key that is nobody's any more."""
    d = members(data, "sealgate.retired-key/1", "name", "key_sha256")
    key = hexadecimal(d, "key_sha256", 32)
    want(d["name"] == retired_name(key), "name", "made from key_sha256", d["name"])
    return RetiredKey(name=str(d["name"]), key=key)


def read_enrolment(data: bytes) -> Enrolment:
    """`sealgate.enrolment/1`: the digest of a code, and what its bearer becomes, until when."""
    d = members(data, "sealgate.enrolment/1", "name", "code_sha256", "principal", "roles", "tenants", "expires")
    roles, code = texts(d, "roles"), hexadecimal(d, "code_sha256", 32)
    want(set(roles) <= ROLES, "roles", f"among {sorted(ROLES)}", roles)
    want(d["name"] == enrolment_name(code), "name", "made from code_sha256", d["name"])
    return Enrolment(
        name=str(d["name"]),
        code_sha256=code,
        principal=text(d, "principal"),
        roles=frozenset(roles),
        tenants=frozenset(texts(d, "tenants")),
        expires=whole(d, "expires", ENROLMENT_LIFE_MS, (1 << 53) - 1),
    )
