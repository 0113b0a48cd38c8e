"""The recipient's public key: parsed, tried, then used once. RFC 9180 base mode, all context in `info`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.asymmetric import ec, mlkem, x25519
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PublicKey, Suite

from kbs.custody.secret import Secret
from kbs.model.refusal import Refused

__all__ = ["SUITES", "Recipient", "open_recipient"]

PublicKey = MLKEM768X25519PublicKey | x25519.X25519PublicKey | ec.EllipticCurvePublicKey
_ML_KEM_768 = 1_184


@dataclass(frozen=True, slots=True, kw_only=True)
class _Form:
    size: int
    suite: Suite
    parse: Callable[[bytes], PublicKey]


def _hybrid(raw: bytes) -> PublicKey:
    return MLKEM768X25519PublicKey(
        mlkem.MLKEM768PublicKey.from_public_bytes(raw[:_ML_KEM_768]),
        x25519.X25519PublicKey.from_public_bytes(raw[_ML_KEM_768:]),
    )


def _p384(raw: bytes) -> PublicKey:
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP384R1(), raw)


SUITES: Mapping[int, _Form] = {
    1: _Form(size=1_216, suite=Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM), parse=_hybrid),
    2: _Form(
        size=32,
        suite=Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM),
        parse=x25519.X25519PublicKey.from_public_bytes,
    ),
    3: _Form(size=97, suite=Suite(KEM.P384, KDF.HKDF_SHA384, AEAD.AES_256_GCM), parse=_p384),
}


@dataclass(frozen=True, slots=True)
class Recipient:
    """A public key that has been encapsulated to once already, so that wrapping cannot fail on it later."""

    suite: Suite
    key: PublicKey

    def wrap(self, secret: Secret, info: bytes) -> bytes:
        """enc || ct. Randomised: never wrap again under an entry that was written."""
        return self.suite.encrypt(secret.reveal(), self.key, info=info)


def open_recipient(suite: int, raw: bytes) -> Recipient:
    """The recipient of suite 1, 2 or 3; raises Refused with check SUITE or RECIPIENT_KEY."""
    form = SUITES.get(suite)
    if form is None:
        known = ", ".join(map(str, SUITES))
        raise Refused("REQUEST_MALFORMED", check="SUITE", expected=f"one of {known}", got=str(suite))
    if len(raw) != form.size:
        raise _bad_key(f"{form.size} bytes", f"{len(raw)} bytes")
    try:
        key = form.parse(raw)
        form.suite.encrypt(b"", key)
    except (ValueError, TypeError, InvalidKey) as error:
        raise _bad_key(f"a public key of suite {suite}", "bytes that are none") from error
    return Recipient(form.suite, key)


def _bad_key(expected: str, got: str) -> Refused:
    return Refused("REQUEST_MALFORMED", check="RECIPIENT_KEY", expected=expected, got=got)
