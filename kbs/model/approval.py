"""An invitation that waits for approval, and what approving it signs, as both sides understand it.

    sealgate.invitation/1   the deployment, and the enrolment that it asks for
    sealgate.approval/1     which enrolment, by which key, and that key's signature

Canonical JSON, both. An approval signs SHA-256(bind("sealgate/v1/approval", origin, proposal_id, base_etag,
document_digest, verdict)), with ECDSA over P-256; the etag is empty, since an enrolment takes the place of nothing.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from attest.binding import bind
from attest.errors import Malformed
from attest.tlog.entry import canonical, parse_canonical
from kbs.model.enrolment import ROLES, Enrolment, enrolment_name

__all__ = ["MAX_FILE", "Approval", "Proposal"]

MAX_FILE = 65_536
_PROPOSAL, _APPROVAL, _ENROLMENT = "sealgate.invitation/1", "sealgate.approval/1", "sealgate.enrolment/1"
_APPROVE = "approve"
_FIELDS = {"name", "code_sha256", "principal", "roles", "tenants", "expires"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """Who is to be let in: nothing of it counts before it was approved and admitted."""

    origin: str
    enrolment: Enrolment

    @property
    def document(self) -> bytes:
        """The enrolment's document, as the catalogue would have it."""
        return canonical({"v": _ENROLMENT, **self.enrolment.document()})

    @property
    def message(self) -> bytes:
        """What an approval signs."""
        digest = hashlib.sha256(self.document).digest()
        return bind("sealgate/v1/approval", self.origin, self.enrolment.name, b"", digest, _APPROVE)

    def encode(self) -> bytes:
        """The file."""
        return canonical({"v": _PROPOSAL, "origin": self.origin, "enrolment": self.enrolment.document()})

    @classmethod
    def decode(cls, raw: bytes) -> Proposal:
        """Reads what `encode` gave and nothing else; raises Malformed INVITATION_FORMAT."""
        d = _members(raw, _PROPOSAL, {"origin", "enrolment"}, "INVITATION_FORMAT")
        try:
            found = cls(origin=str(d["origin"]), enrolment=_enrolment(d["enrolment"]))
        except (KeyError, TypeError, ValueError) as error:
            raise _wrong("INVITATION_FORMAT", _PROPOSAL, str(error)) from error
        if found.encode() != raw.rstrip(b"\n"):
            raise _wrong("INVITATION_FORMAT", _PROPOSAL, "another form of it")
        return found


def _enrolment(d: Any) -> Enrolment:
    if not isinstance(d, Mapping) or d.keys() != _FIELDS or type(d["expires"]) is not int:
        raise ValueError("an enrolment has name, code_sha256, principal, roles, tenants and expires")
    code, roles, tenants = bytes.fromhex(d["code_sha256"]), frozenset(d["roles"]), frozenset(map(str, d["tenants"]))
    if len(code) != 32 or d["name"] != enrolment_name(code) or not roles or not roles <= ROLES or not tenants:
        raise ValueError("its name is made from code_sha256, its roles are known, and it has a role and a tenant")
    return Enrolment(
        name=str(d["name"]),
        code_sha256=code,
        principal=str(d["principal"]),
        roles=roles,
        tenants=tenants,
        expires=d["expires"],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A word for a proposal. Nothing in it is believed before the signature verified by an enrolled key.

    `public_key` is DER SubjectPublicKeyInfo, `signature` DER.
    """

    proposal: str
    public_key: bytes
    signature: bytes

    @property
    def key_digest(self) -> bytes:
        """SHA-256 of the public key: whose it is is looked up by that."""
        return hashlib.sha256(self.public_key).digest()

    def encode(self) -> bytes:
        """The file."""
        key, signature = (base64.b64encode(each).decode() for each in (self.public_key, self.signature))
        return canonical({"v": _APPROVAL, "proposal": self.proposal, "public_key": key, "signature": signature})

    @classmethod
    def decode(cls, raw: bytes) -> Approval:
        """Reads what `encode` gave and nothing else; raises Malformed APPROVAL_FORMAT."""
        d = _members(raw, _APPROVAL, {"proposal", "public_key", "signature"}, "APPROVAL_FORMAT")
        try:
            key, signature = (base64.b64decode(d[name], validate=True) for name in ("public_key", "signature"))
            found = cls(proposal=str(d["proposal"]), public_key=key, signature=signature)
        except (TypeError, ValueError) as error:
            raise _wrong("APPROVAL_FORMAT", _APPROVAL, str(error)) from error
        if found.encode() != raw.rstrip(b"\n"):
            raise _wrong("APPROVAL_FORMAT", _APPROVAL, "another form of it")
        return found


def _members(raw: bytes, version: str, names: set[str], check: str) -> Mapping[str, Any]:
    try:
        found: Any = parse_canonical(raw.rstrip(b"\n"), limit=MAX_FILE)
    except Malformed as error:
        raise _wrong(check, version, str(error)) from error
    if not isinstance(found, Mapping) or found.keys() != {"v", *names} or found["v"] != version:
        raise _wrong(check, version, "something else")
    return found


def _wrong(check: str, expected: str, got: str) -> Malformed:
    return Malformed(check, "file", expected=expected, got=got)
