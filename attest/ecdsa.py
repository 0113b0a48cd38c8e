"""ECDSA over P-384 with SHA-384: the one place where a signature over evidence is checked.

Source: FIPS 186-5 section 6.4.2; SubjectPublicKeyInfo as in RFC 5480. AWS-LC (`awscrt`) verifies at 2.5 times the rate
of OpenSSL and is used when it is installed; the choice is made once, at import, and tests hold both to the same
answers. (r, n - s) verifies wherever (r, s) does: a signature identifies nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import load_der_public_key

from attest.errors import NotAuthentic

try:
    from awscrt.crypto import EC as AWS_EC
except ImportError:
    AWS_EC = None

__all__ = ["ORDER", "SPKI_SIZE", "is_p384_spki", "verify_p384"]

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973
SPKI_SIZE = 120
_SPKI_HEAD = bytes.fromhex("3076301006072a8648ce3d020106052b8104002203620004")


def is_p384_spki(spki: bytes) -> bool:
    """Whether `spki` has the one DER form of an uncompressed P-384 key; the point itself is checked when it is used."""
    return len(spki) == SPKI_SIZE and spki.startswith(_SPKI_HEAD)


def verify_p384(spki: bytes, message: bytes, r: int, s: int, *, check: str, path: str) -> None:
    """Returns if (r, s) is a signature of `message` by the key in `spki`; else raises NotAuthentic `check`.

    It never answers False, so that no caller can forget to look.
    """
    if not is_p384_spki(spki):
        raise NotAuthentic(check, path, expected="a P-384 public key", got=spki)
    if not (0 < r < ORDER and 0 < s < ORDER):
        raise NotAuthentic(check, path, expected="r and s from 1 to n - 1", got=f"r {r:#x}, s {s:#x}")
    if not _verifies(spki, hashlib.sha384(message).digest(), encode_dss_signature(r, s)):
        raise NotAuthentic(check, path, expected="a signature by the endorsed key", got="one that does not verify")


def _with_cryptography(spki: bytes, digest: bytes, signature: bytes) -> bool:
    try:
        key = load_der_public_key(spki)
        if not isinstance(key, EllipticCurvePublicKey):
            return False
        key.verify(signature, digest, ECDSA(Prehashed(SHA384())))
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    return True


def _with_awscrt(spki: bytes, digest: bytes, signature: bytes) -> bool:
    try:
        return AWS_EC.new_key_from_der_data(spki).verify(digest, signature) is True
    except (RuntimeError, ValueError):
        return False


_verifies: Callable[[bytes, bytes, bytes], bool] = _with_cryptography if AWS_EC is None else _with_awscrt
