"""The holder key: made in the guest, bound into the evidence; whatever is issued later is issued to it alone."""

from __future__ import annotations

import hashlib

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from kbs.model.refusal import Refused

__all__ = ["HolderKey", "holder_digest", "open_holder"]

HolderKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey


def holder_digest(raw: bytes) -> bytes:
    """SHA-256 of a holder key that was opened before; empty for none."""
    return hashlib.sha256(raw).digest() if raw else b""


def open_holder(raw: bytes, *, required: bool = False) -> HolderKey | None:
    """The key in a DER SubjectPublicKeyInfo of P-256 or Ed25519 in its one form, None for empty bytes.

    Raises Refused REQUEST_MALFORMED with check HOLDER_KEY.
    """
    if not raw:
        if required:
            raise _bad("a holder key, to which the lease is bound", "none")
        return None
    try:
        key = load_der_public_key(raw)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _bad("a SubjectPublicKeyInfo in DER", f"{len(raw)} bytes that are none") from error
    on_p256 = isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)
    if not on_p256 and not isinstance(key, ed25519.Ed25519PublicKey):
        raise _bad("a key of P-256 or Ed25519", type(key).__name__)
    if key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) != raw:
        raise _bad("the one DER form, with an uncompressed point", "another")
    return key  # type: ignore[return-value]  # one of the two, as was just seen


def _bad(expected: str, got: str) -> Refused:
    return Refused("REQUEST_MALFORMED", check="HOLDER_KEY", expected=expected, got=got)
