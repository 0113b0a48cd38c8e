"""Wrapping at rest: AES-256-GCM with a fresh nonce, the context bound as associated data.

A wrapped key moved to another row, purpose or parent does not open.
"""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from attest.binding import bind
from kbs.custody.secret import Secret

__all__ = ["KEY_SIZE", "WrapInvalid", "unwrap", "wrap"]

KEY_SIZE = 32
_NONCE = 12
_DOMAIN = "sealgate/v1/at-rest"


class WrapInvalid(Exception):
    """A stored key does not open under its parent and context. Says which, never what."""


def wrap(kek: Secret, context: str, secret: Secret) -> bytes:
    """`secret` under `kek` (32 bytes), bound to `context`: nonce || ciphertext || tag."""
    nonce = os.urandom(_NONCE)
    return nonce + AESGCM(kek.reveal()).encrypt(nonce, secret.reveal(), bind(_DOMAIN, context))


def unwrap(kek: Secret, context: str, wrapped: bytes) -> Secret:
    """The inverse of `wrap`; raises WrapInvalid for another key, context or byte."""
    if len(wrapped) < _NONCE + 16:
        raise WrapInvalid(f"the stored key of {context} is cut short")
    try:
        return Secret(AESGCM(kek.reveal()).decrypt(wrapped[:_NONCE], wrapped[_NONCE:], bind(_DOMAIN, context)))
    except InvalidTag:
        raise WrapInvalid(f"the stored key of {context} does not open under its parent") from None
