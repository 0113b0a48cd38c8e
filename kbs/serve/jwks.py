"""The public keys of attestation results as a JWK Set (RFC 7517), named by their thumbprint (RFC 7638)."""

from __future__ import annotations

import json

from kbs.custody.results import open_result_key, public_jwk, thumbprint
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
    point = public_jwk(open_result_key(secret).public_key())
    return {**point, "use": "sig", "alg": "ES256", "kid": thumbprint(point)}
