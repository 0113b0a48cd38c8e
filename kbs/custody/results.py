"""The key of attestation results: ECDSA on P-256, JWS ES256, named by its thumbprint (RFC 7638).

A key is used once its time has come; those before and after it stay published, so that a result is verified for as long
as it lives.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_private_key

from kbs.custody.secret import Secret

__all__ = ["ResultSigner", "open_result_key", "public_jwk", "thumbprint"]

_TYPE = "ear+jwt"


class ResultSigner:
    """Signs with the newest key whose time has come; (not_before in ms, PKCS #8 DER), oldest first."""

    def __init__(self, keys: Sequence[tuple[int, Secret]]) -> None:
        self.renew(keys)

    def renew(self, keys: Sequence[tuple[int, Secret]]) -> None:
        """Other keys from now on."""
        if not keys:
            raise ValueError("there is no key for attestation results")
        self._keys = [(not_before, open_result_key(secret)) for not_before, secret in keys]

    def sign(self, claims: Mapping[str, object], now: int) -> str:
        """A compact JWS over the claims."""
        begun = [key for not_before, key in self._keys if not_before <= now] or [self._keys[0][1]]
        kid = thumbprint(public_jwk(begun[-1].public_key()))
        return jwt.encode(dict(claims), begun[-1], algorithm="ES256", headers={"typ": _TYPE, "kid": kid})


def public_jwk(key: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey) -> dict[str, str]:
    """The members of a public key that its thumbprint is made of (RFC 7517, RFC 8037): P-256 or Ed25519."""
    if isinstance(key, ed25519.Ed25519PublicKey):
        return {"crv": "Ed25519", "kty": "OKP", "x": _text(key.public_bytes_raw())}
    point = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return {"crv": "P-256", "kty": "EC", "x": _text(point[1:33]), "y": _text(point[33:])}


def thumbprint(jwk: Mapping[str, str]) -> str:
    """RFC 7638, SHA-256."""
    return _text(hashlib.sha256(json.dumps(dict(jwk), separators=(",", ":"), sort_keys=True).encode()).digest())


def open_result_key(secret: Secret) -> ec.EllipticCurvePrivateKey:
    """The key in PKCS #8 DER; raises TypeError for one that is not on P-256."""
    key = load_der_private_key(secret.reveal(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise TypeError("a key of attestation results is one on P-256")
    return key


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
