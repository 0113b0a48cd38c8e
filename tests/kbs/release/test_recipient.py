"""Recipients' public keys: which are refused, and that what is wrapped opens elsewhere."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pyhpke import AEADId, CipherSuite, KDFId, KEMId, KEMKey, OpenError

from clients.errors import NotTrusted
from clients.workload.recipient import RecipientKey
from kbs.custody.secret import Secret
from kbs.model.refusal import Refused
from kbs.release.recipient import SUITES, open_recipient

KEY = Secret(b"the private half, or anything else" * 3)
INFO = b"all context"
Q = 3_329
FIELD = 2**384 - 2**128 - 2**96 + 2**32 - 1


def _x25519() -> bytes:
    return X25519PrivateKey.generate().public_key().public_bytes_raw()


def _ml_kem() -> bytes:
    return MLKEM768PrivateKey.generate().public_key().public_bytes_raw()


def _point(curve: ec.EllipticCurve, form: PublicFormat = PublicFormat.UncompressedPoint) -> bytes:
    return ec.generate_private_key(curve).public_key().public_bytes(Encoding.X962, form)


def _coefficient(value: int, at: int = 0) -> bytes:
    """An encapsulation key whose coefficient `at` is `value`: 12 bits each, little-endian."""
    packed = int.from_bytes(_ml_kem(), "little")
    packed = packed & ~(0xFFF << 12 * at) | value << 12 * at
    return packed.to_bytes(1_184, "little")


GOOD: dict[int, Callable[[], bytes]] = {
    1: lambda: _ml_kem() + _x25519(),
    2: _x25519,
    3: lambda: _point(ec.SECP384R1()),
}
# The points of small order, and their encodings that are not reduced (RFC 7748 section 6.1; cr.yp.to/ecdh.html).
LOW_ORDER = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "0100000000000000000000000000000000000000000000000000000000000080",
]  # fmt: skip

# name: (suite, the key)
BAD: dict[str, tuple[int, Callable[[], bytes]]] = {
    **{f"suite 2, low order {p[:8]}..{p[-4:]}": (2, lambda p=p: bytes.fromhex(p)) for p in LOW_ORDER},  # type: ignore[misc]
    **{f"suite 1, low order {p[:8]}..{p[-4:]}": (1, lambda p=p: _ml_kem() + bytes.fromhex(p)) for p in LOW_ORDER},  # type: ignore[misc]
    "suite 1, a coefficient of q": (1, lambda: _coefficient(Q) + _x25519()),
    "suite 1, the last coefficient of 4095": (1, lambda: _coefficient(4_095, 767) + _x25519()),
    "suite 1, all ones": (1, lambda: b"\xff" * 1_184 + _x25519()),
    "suite 1, halves swapped": (1, lambda: _x25519() + b"\xff" * 1_184),
    "suite 3, not on the curve": (3, lambda: b"\x04" + bytes(95) + b"\x01"),
    "suite 3, another point's y": (3, lambda: GOOD[3]()[:49] + GOOD[3]()[49:]),
    "suite 3, zero": (3, lambda: b"\x04" + bytes(96)),
    "suite 3, coordinates of p": (3, lambda: b"\x04" + FIELD.to_bytes(48, "big") * 2),
    "suite 3, above p": (3, lambda: b"\x04" + b"\xff" * 96),
    "suite 3, infinity": (3, lambda: bytes(97)),
    "suite 3, hybrid form": (3, lambda: b"\x06" + GOOD[3]()[1:]),
    "suite 3, compressed": (3, lambda: _point(ec.SECP384R1(), PublicFormat.CompressedPoint)),
    "suite 3, a P-256 point": (3, lambda: _point(ec.SECP256R1())),
    "suite 3, compressed and padded": (3, lambda: (b"\x02" + GOOD[3]()[1:49]).ljust(97, b"\0")),
    "suite 1, a key of suite 2": (1, GOOD[2]),
    "suite 2, a key of suite 1": (2, GOOD[1]),
    "suite 3, a key of suite 2": (3, GOOD[2]),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_keys_that_are_refused(name: str) -> None:
    suite, make = BAD[name]
    with pytest.raises(Refused) as refused:
        open_recipient(suite, make())
    assert (refused.value.reason, refused.value.check) == ("REQUEST_MALFORMED", "RECIPIENT_KEY")


@pytest.mark.parametrize("suite", GOOD)
def test_lengths(suite: int) -> None:
    good = GOOD[suite]()
    open_recipient(suite, good)
    for raw in (b"", good[:-1], good + b"\0", good[1:], good * 2, bytes(10)):
        with pytest.raises(Refused, match="bytes"):
            open_recipient(suite, raw)


@pytest.mark.parametrize("suite", [0, 4, -1, 0x647A, 2**31 - 1])
def test_suites_that_are_none(suite: int) -> None:
    for make in GOOD.values():
        with pytest.raises(Refused) as refused:
            open_recipient(suite, make())
        assert (refused.value.reason, refused.value.check) == ("REQUEST_MALFORMED", "SUITE")


def test_noise_is_refused_or_a_key() -> None:
    """Only Refused comes, whatever the bytes are."""
    for _ in range(60):
        for suite, form in SUITES.items():
            try:
                assert open_recipient(suite, os.urandom(form.size)).wrap(KEY, INFO)
            except Refused:
                continue


# suite: (KEM, KDF) of an implementation that is not ours and not OpenSSL's
ELSEWHERE = {
    2: (KEMId.DHKEM_X25519_HKDF_SHA256, KDFId.HKDF_SHA256, 32),
    3: (KEMId.DHKEM_P384_HKDF_SHA384, KDFId.HKDF_SHA384, 97),
}


@pytest.mark.parametrize("suite", ELSEWHERE)
def test_what_is_wrapped_opens_elsewhere(suite: int) -> None:
    kem, kdf, enc = ELSEWHERE[suite]
    hpke = CipherSuite.new(kem, kdf, AEADId.AES256_GCM)
    private = X25519PrivateKey.generate() if suite == 2 else ec.generate_private_key(ec.SECP384R1())
    public = (
        private.public_key().public_bytes_raw()
        if isinstance(private, X25519PrivateKey)
        else private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    )
    wrapped = open_recipient(suite, public).wrap(KEY, INFO)
    key = KEMKey.from_pyca_cryptography_key(private)
    opened = hpke.create_recipient_context(wrapped[:enc], key, info=INFO).open(wrapped[enc:])
    assert opened == KEY.reveal()
    for other in (b"", INFO + b"\0", b"other context"):
        with pytest.raises(OpenError):
            hpke.create_recipient_context(wrapped[:enc], key, info=other).open(wrapped[enc:])


def test_suite_1_opens_at_the_client() -> None:
    recipient, other = RecipientKey(), RecipientKey()
    wrapped = open_recipient(1, recipient.public).wrap(KEY, INFO)
    assert recipient.open(wrapped, INFO) == KEY.reveal()
    for key, data, info in ((other, wrapped, INFO), (recipient, wrapped[:-1], INFO), (recipient, wrapped, b"")):
        with pytest.raises(NotTrusted):
            key.open(data, info)


@pytest.mark.parametrize("suite", GOOD)
def test_each_wrapping_is_another(suite: int) -> None:
    recipient = open_recipient(suite, GOOD[suite]())
    wrapped = {recipient.wrap(KEY, INFO) for _ in range(5)}
    assert len(wrapped) == 5
    assert not any(KEY.reveal()[:8] in w for w in wrapped)
