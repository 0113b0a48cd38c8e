"""The key pair that keys are wrapped for: made anew for every request, never stored, gone with the process.

Suite 1: ML-KEM-768 + X25519, HKDF-SHA256, AES-256-GCM. RFC 9180 base mode: it does not say who sent; the receipt does.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PrivateKey, Suite

from clients.errors import NotTrusted

__all__ = ["SUITE", "RecipientKey"]

SUITE = 1
_SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


class RecipientKey:
    """A fresh key pair of suite 1."""

    def __init__(self) -> None:
        ml_kem, x25519 = MLKEM768PrivateKey.generate(), X25519PrivateKey.generate()
        self.public = ml_kem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()
        self._private = MLKEM768X25519PrivateKey(ml_kem, x25519)

    def open(self, wrapped: bytes, info: bytes) -> bytes:
        """What was wrapped; raises NotTrusted WRAPPED_KEY if any of its context differs."""
        try:
            return _SUITE.decrypt(wrapped, self._private, info=info)
        except (InvalidTag, ValueError) as error:
            raise NotTrusted("WRAPPED_KEY", "the wrapped key does not open under this request's context") from error
