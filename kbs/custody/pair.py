"""X-Wing key pairs: made here, of which only the public half is ever seen outside, and what is sealed to one.

A secret that exists already comes in sealed to a pair made for it alone, HPKE base mode in the API's suite 1, with
`info` = bind("sealgate/v1/import", origin, key_name). The pair's private half is destroyed with the import.

Sources: draft-connolly-cfrg-xwing-kem section 5.2 (expansion of the seed); RFC 9180.
"""

from __future__ import annotations

import hashlib

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PrivateKey, Suite

from attest.binding import bind
from kbs.custody.envelope import WrapInvalid
from kbs.custody.secret import Secret

__all__ = ["IMPORT", "MAX_SECRET", "SEED_SIZE", "import_info", "open_import", "public_key"]

IMPORT = "/import"  # the part of a key version under which the pair of an import is stored
SEED_SIZE = 32
MAX_SECRET = 4_096
_SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


def public_key(seed: Secret) -> bytes:
    """ML-KEM-768 encapsulation key (1184 bytes) || X25519 public key (32 bytes) of a seed of 32 bytes."""
    ml_kem, x25519 = _halves(seed)
    return ml_kem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()


def import_info(origin: str, key_name: str) -> bytes:
    """What an import is bound to: this deployment, and the one key version that it becomes."""
    return bind("sealgate/v1/import", origin, key_name)


def open_import(seed: Secret, origin: str, key_name: str, sealed: bytes) -> Secret:
    """The secret inside `sealed` (enc || ct); raises WrapInvalid for one that was made for anything else."""
    try:
        plain = _SUITE.decrypt(sealed, MLKEM768X25519PrivateKey(*_halves(seed)), import_info(origin, key_name))
    except (InvalidTag, ValueError):
        raise WrapInvalid(f"what was imported is not sealed for {key_name}") from None
    if not 1 <= len(plain) <= MAX_SECRET:
        raise WrapInvalid(f"a secret has 1 to {MAX_SECRET} bytes")
    return Secret(plain)


def _halves(seed: Secret) -> tuple[MLKEM768PrivateKey, X25519PrivateKey]:
    expanded = hashlib.shake_256(seed.reveal()).digest(96)
    return MLKEM768PrivateKey.from_seed_bytes(expanded[:64]), X25519PrivateKey.from_private_bytes(expanded[64:])
