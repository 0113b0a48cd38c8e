"""The public keys of attestation results as a JWK Set (RFC 7517), named by their thumbprint (RFC 7638)."""

from __future__ import annotations

import base64
import hashlib
import json

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_private_key

from kbs.custody.secret import Secret
from kbs.custody.vault import Vault
from kbs.serve.site import EAR

__all__ = ["jwk", "jwks"]

_KEPT = 3  # the one in force, its successor, and the one before


def jwks(vault: Vault) -> bytes:
    """The set, newest first; raises WrapInvalid, StoreUnavailable."""
    keys = [jwk(secret) for _, secret in reversed(vault.broker_keys(EAR, newest=_KEPT))]
    return json.dumps({"keys": keys}).encode() + b"\n"


def jwk(secret: Secret) -> dict[str, str]:
    """The public half of a P-256 key, PKCS#8 DER."""
    key = load_der_private_key(secret.reveal(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError("a key of attestation results is one on P-256")
    numbers = key.public_key().public_numbers()
    point = {"crv": "P-256", "kty": "EC", "x": _field(numbers.x), "y": _field(numbers.y)}
    thumbprint = hashlib.sha256(json.dumps(point, separators=(",", ":"), sort_keys=True).encode()).digest()
    return {**point, "use": "sig", "alg": "ES256", "kid": _base64(thumbprint)}


def _field(value: int) -> str:
    return _base64(value.to_bytes(32, "big"))


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
