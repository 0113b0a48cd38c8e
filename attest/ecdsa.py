"""ECDSA over P-384 with SHA-384 (AMD) and P-256 with SHA-256 (Intel): the one place where such a signature is checked.

Source: FIPS 186-5 section 6.4.2; SubjectPublicKeyInfo as in RFC 5480. AWS-LC (`awscrt`) verifies at 2.5 times the rate
of OpenSSL and is used when it is installed; the choice is made once, at import, and tests hold both to the same
answers. (r, n - s) verifies wherever (r, s) does: a signature identifies nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import load_der_public_key

from attest.errors import NotAuthentic

try:
    from awscrt.crypto import EC as AWS_EC
except ImportError:
    AWS_EC = None

__all__ = [
    "ORDER",
    "SPKI_SIZE",
    "is_p256_spki",
    "is_p384_spki",
    "spki_of_p256",
    "verify_p256",
    "verify_p256_der",
    "verify_p384",
]

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973
SPKI_SIZE = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class _Curve:
    """A curve with its hash. `head` is the one DER that precedes the coordinates of an uncompressed point."""

    name: str
    order: int
    head: bytes
    size: int
    digest: Callable[[bytes], Any]
    algorithm: SHA256 | SHA384


_P384 = _Curve(
    name="P-384",
    order=ORDER,
    head=bytes.fromhex("3076301006072a8648ce3d020106052b8104002203620004"),
    size=SPKI_SIZE,
    digest=hashlib.sha384,
    algorithm=SHA384(),
)
_P256 = _Curve(
    name="P-256",
    order=0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    head=bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004"),
    size=91,
    digest=hashlib.sha256,
    algorithm=SHA256(),
)


def is_p384_spki(spki: bytes) -> bool:
    """Whether `spki` has the one DER form of an uncompressed P-384 key; the point itself is checked when it is used."""
    return len(spki) == _P384.size and spki.startswith(_P384.head)


def is_p256_spki(spki: bytes) -> bool:
    """As `is_p384_spki`, for P-256."""
    return len(spki) == _P256.size and spki.startswith(_P256.head)


def spki_of_p256(point: bytes) -> bytes:
    """SubjectPublicKeyInfo of the point x || y, 32 bytes each, big-endian."""
    return _P256.head + point


def verify_p384(spki: bytes, message: bytes, r: int, s: int, *, check: str, path: str) -> None:
    """Returns if (r, s) is a signature of `message` by the key in `spki`; else raises NotAuthentic `check`.

    It never answers False, so that no caller can forget to look.
    """
    _verify(_P384, spki, message, r, s, check, path)


def verify_p256(spki: bytes, message: bytes, r: int, s: int, *, check: str, path: str) -> None:
    """As `verify_p384`, for P-256 with SHA-256."""
    _verify(_P256, spki, message, r, s, check, path)


def verify_p256_der(spki: bytes, message: bytes, signature: bytes, *, check: str, path: str) -> None:
    """As `verify_p256`, for a signature in DER, as certificates and revocation lists have it (RFC 3279 2.2.3).

    Both libraries take (r, s) in its one encoding alone, and from 1 to n - 1; why one is refused is looked up then.
    """
    if is_p256_spki(spki) and _verifies(spki, hashlib.sha256(message).digest(), signature, _P256.algorithm):
        return
    try:
        r, s = decode_dss_signature(signature)
    except ValueError as error:
        raise NotAuthentic(check, path, expected="a signature in DER", got=str(error)) from error
    _verify(_P256, spki, message, r, s, check, path)


def _verify(curve: _Curve, spki: bytes, message: bytes, r: int, s: int, check: str, path: str) -> None:
    if len(spki) != curve.size or not spki.startswith(curve.head):
        raise NotAuthentic(check, path, expected=f"a {curve.name} public key", got=spki)
    if not (0 < r < curve.order and 0 < s < curve.order):
        raise NotAuthentic(check, path, expected="r and s from 1 to n - 1", got=f"r {r:#x}, s {s:#x}")
    if not _verifies(spki, curve.digest(message).digest(), encode_dss_signature(r, s), curve.algorithm):
        raise NotAuthentic(check, path, expected="a signature by the endorsed key", got="one that does not verify")


def _with_cryptography(spki: bytes, digest: bytes, signature: bytes, algorithm: SHA256 | SHA384) -> bool:
    try:
        key = load_der_public_key(spki)
        if not isinstance(key, EllipticCurvePublicKey):
            return False
        key.verify(signature, digest, ECDSA(Prehashed(algorithm)))
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    return True


def _with_awscrt(spki: bytes, digest: bytes, signature: bytes, _algorithm: SHA256 | SHA384) -> bool:
    try:
        return AWS_EC.new_key_from_der_data(spki).verify(digest, signature) is True
    except (RuntimeError, ValueError):
        return False


_Backend = Callable[[bytes, bytes, bytes, SHA256 | SHA384], bool]
_verifies: _Backend = _with_cryptography if AWS_EC is None else _with_awscrt
