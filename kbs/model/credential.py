"""Proof of possession and what it earns, as both sides of the wire understand them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from attest.binding import bind

__all__ = ["ENROL", "LOGIN", "Credential", "Possession", "possession_message"]

ENROL, LOGIN = "enrol", "login"


@dataclass(frozen=True, slots=True, kw_only=True)
class Possession:
    """A challenge, a public key (DER SubjectPublicKeyInfo), a signature (DER). Nothing in it is believed."""

    challenge: bytes
    public_key: bytes
    signature: bytes

    @property
    def key_digest(self) -> bytes:
        """SHA-256 of the public key: whose it is is looked up by that."""
        return hashlib.sha256(self.public_key).digest()

    @property
    def challenge_digest(self) -> bytes:
        """SHA-256 of the challenge: the idempotency key."""
        return hashlib.sha256(self.challenge).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A client certificate with its issuer's, DER, and when it ends, in ms since 1970."""

    principal: str
    certificates: tuple[bytes, bytes]
    expires: int


def possession_message(action: str, origin: str, challenge: bytes, code_digest: bytes, public_key: bytes) -> bytes:
    """What is signed. `code_digest` is empty unless enrolling."""
    return bind("sealgate/v1/possession", action, origin, challenge, code_digest, public_key)
