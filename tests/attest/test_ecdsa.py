"""AWS-LC and OpenSSL must give the same answers, whatever the signature or the key."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from attest import ecdsa
from attest.ecdsa import ORDER, is_p256_spki, is_p384_spki, spki_of_p256, verify_p256, verify_p256_der, verify_p384
from tests.attest.refusal import refused

KEY = ec.generate_private_key(ec.SECP384R1())
MESSAGE = bytes(range(256)) * 2
R, S = decode_dss_signature(KEY.sign(MESSAGE, ec.ECDSA(SHA384())))


def _spki(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


SPKI = _spki(KEY)
DIGEST = hashlib.sha384(MESSAGE).digest()
GOOD = encode_dss_signature(R, S)
AWS = ecdsa._verifies is ecdsa._with_awscrt
BACKENDS: dict[str, Callable[[bytes, bytes, bytes, SHA256 | SHA384], bool]] = {
    "cryptography": ecdsa._with_cryptography,
    **({"awscrt": ecdsa._with_awscrt} if AWS else {}),
}


def _padded(signature: bytes) -> bytes:
    """The same numbers in another encoding: r with a zero byte more than it needs."""
    return bytes((0x30, signature[1] + 1, 0x02, signature[3] + 1, 0)) + signature[4:]


# name: (public key, digest, DER signature, is it one)
CASES: dict[str, tuple[bytes, bytes, bytes, bool]] = {
    "good": (SPKI, DIGEST, GOOD, True),
    "malleable, r and n - s": (SPKI, DIGEST, encode_dss_signature(R, ORDER - S), True),
    "another digest": (SPKI, hashlib.sha384(b"").digest(), GOOD, False),
    "another key": (_spki(ec.generate_private_key(ec.SECP384R1())), DIGEST, GOOD, False),
    "r and s swapped": (SPKI, DIGEST, encode_dss_signature(S, R), False),
    "r is 0": (SPKI, DIGEST, encode_dss_signature(0, S), False),
    "s is 0": (SPKI, DIGEST, encode_dss_signature(R, 0), False),
    "r is n": (SPKI, DIGEST, encode_dss_signature(ORDER, S), False),
    "s is n": (SPKI, DIGEST, encode_dss_signature(R, ORDER), False),
    "r + n": (SPKI, DIGEST, encode_dss_signature(R + ORDER, S), False),
    "s + n": (SPKI, DIGEST, encode_dss_signature(R, S + ORDER), False),
    "no signature": (SPKI, DIGEST, b"", False),
    "a signature cut short": (SPKI, DIGEST, GOOD[:-1], False),
    "a signature with a byte more": (SPKI, DIGEST, GOOD + b"\0", False),
    "r behind a zero byte": (SPKI, DIGEST, _padded(GOOD), False),
    "a length in two bytes": (SPKI, DIGEST, b"\x30\x81" + GOOD[1:], False),
    "no key": (b"", DIGEST, GOOD, False),
    "a key cut short": (SPKI[:-1], DIGEST, GOOD, False),
    "a key with a byte more": (SPKI + b"\0", DIGEST, GOOD, False),
    "a point that is not on the curve": (SPKI[:-1] + bytes([SPKI[-1] ^ 1]), DIGEST, GOOD, False),
    "the point 0, 0": (SPKI[:24] + bytes(96), DIGEST, GOOD, False),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("case", CASES)
def test_both_backends_agree(backend: str, case: str) -> None:
    spki, digest, signature, expected = CASES[case]
    assert BACKENDS[backend](spki, digest, signature, SHA384()) is expected


@pytest.mark.skipif(not AWS, reason="awscrt is not installed")
@settings(max_examples=60, deadline=None)
@given(st.binary(min_size=0, max_size=110), st.integers(0, ORDER + 1), st.integers(0, ORDER + 1))
def test_backends_agree_on_anything(noise: bytes, r: int, s: int) -> None:
    for signature in (noise, encode_dss_signature(r, s), encode_dss_signature(R, s)):
        openssl = ecdsa._with_cryptography(SPKI, DIGEST, signature, SHA384())
        assert ecdsa._with_awscrt(SPKI, DIGEST, signature, SHA384()) is openssl


def test_a_good_signature_returns_nothing_and_any_other_raises() -> None:
    verify_p384(SPKI, MESSAGE, R, S, check="SIGNATURE", path="it")
    for r, s in ((R, S ^ 1), (S, R), (0, S), (R, 0), (ORDER, S), (R, ORDER), (-1, S), (R + ORDER, S)):
        with refused("SIGNATURE"):
            verify_p384(SPKI, MESSAGE, r, s, check="SIGNATURE", path="it")


@pytest.mark.parametrize(
    "spki",
    [
        b"",
        SPKI[:-1],
        SPKI + b"\0",
        SPKI[:-1] + bytes([SPKI[-1] ^ 1]),
        _spki(ec.generate_private_key(ec.SECP256R1())),
        _spki(rsa.generate_private_key(65_537, 2_048)),
    ],
    ids=["empty", "short", "long", "off the curve", "P-256", "RSA"],
)
def test_only_a_p384_key_verifies(spki: bytes) -> None:
    with refused("SIGNATURE"):
        verify_p384(spki, MESSAGE, R, S, check="SIGNATURE", path="it")


def test_a_genuine_signature_by_a_key_on_another_curve_is_none() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    r, s = decode_dss_signature(key.sign(MESSAGE, ec.ECDSA(SHA384())))
    for backend in BACKENDS.values():
        assert backend(_spki(key), DIGEST, encode_dss_signature(r, s), SHA384())
    with refused("SIGNATURE"):
        verify_p384(_spki(key), MESSAGE, r, s, check="SIGNATURE", path="it")


def test_the_form_of_a_key() -> None:
    assert is_p384_spki(SPKI)
    assert not is_p384_spki(SPKI[:-1])


P256 = ec.generate_private_key(ec.SECP256R1())
POINT = P256.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:]
R256, S256 = decode_dss_signature(P256.sign(MESSAGE, ec.ECDSA(SHA256())))
N256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

# name: (the 64 bytes of a point, r, s)
NOT_P256: dict[str, tuple[bytes, int, int]] = {
    "another message's": (POINT, *decode_dss_signature(P256.sign(b"other", ec.ECDSA(SHA256())))),
    "by SHA-384": (POINT, *decode_dss_signature(P256.sign(MESSAGE, ec.ECDSA(SHA384())))),
    "r is 0": (POINT, 0, S256),
    "s is n": (POINT, R256, N256),
    "r + n": (POINT, R256 + N256, S256),
    "swapped": (POINT, S256, R256),
    "a point that is not on the curve": (POINT[:-1] + bytes([POINT[-1] ^ 1]), R256, S256),
    "the point 0, 0": (bytes(64), R256, S256),
    "half a point": (POINT[:32], R256, S256),
    "a point of P-384": (SPKI[-96:], R256, S256),
}


def test_p256() -> None:
    assert spki_of_p256(POINT) == _spki(P256)
    assert is_p256_spki(_spki(P256))
    assert not is_p256_spki(SPKI)
    verify_p256(_spki(P256), MESSAGE, R256, S256, check="SIGNATURE", path="it")
    verify_p256(_spki(P256), MESSAGE, R256, N256 - S256, check="SIGNATURE", path="it")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("case", NOT_P256)
def test_what_is_no_signature_by_p256(case: str, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    point, r, s = NOT_P256[case]
    monkeypatch.setattr(ecdsa, "_verifies", BACKENDS[backend])
    with refused("SIGNATURE"):
        verify_p256(spki_of_p256(point), MESSAGE, r, s, check="SIGNATURE", path="it")


SIGNER = ec.generate_private_key(ec.SECP256R1())
IN_DER = SIGNER.sign(MESSAGE, ec.ECDSA(SHA256()))

# name: (public key, signature in DER)
NOT_IN_DER = {
    "another key": (_spki(ec.generate_private_key(ec.SECP256R1())), IN_DER),
    "a key of another curve": (SPKI, IN_DER),
    "nothing": (_spki(SIGNER), b""),
    "cut short": (_spki(SIGNER), IN_DER[:-1]),
    "a byte more": (_spki(SIGNER), IN_DER + b"\0"),
    "r behind a zero byte": (_spki(SIGNER), _padded(IN_DER)),
    "a length in two bytes": (_spki(SIGNER), b"\x30\x81" + IN_DER[1:]),
    "r is 0": (_spki(SIGNER), encode_dss_signature(0, decode_dss_signature(IN_DER)[1])),
    "s is n": (_spki(SIGNER), encode_dss_signature(decode_dss_signature(IN_DER)[0], ecdsa._P256.order)),
    "r below 0": (_spki(SIGNER), bytes.fromhex("30060201ff020101")),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("case", NOT_IN_DER)
def test_a_signature_in_der_has_one_encoding(backend: str, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ecdsa, "_verifies", BACKENDS[backend])
    verify_p256_der(_spki(SIGNER), MESSAGE, IN_DER, check="SIGNATURE", path="it")
    spki, signature = NOT_IN_DER[case]
    with refused("SIGNATURE"):
        verify_p256_der(spki, MESSAGE, signature, check="SIGNATURE", path="it")
