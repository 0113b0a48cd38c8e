"""Verifier keys and our signer."""

from __future__ import annotations

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from attest.tlog import ed25519
from attest.tlog.keys import KeyType, SignerKey, VerifierKey, is_key_name
from tests.attest.tlog.refusal import refused

SUM_DB = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"
WITNESS = "Wit1+9b3fb2d5+BFhZSmQj9+SoL+p/nN0Hh76xXmF7QcHfytUrI1XfSClk"
SEED = bytes(range(32))
P = 2**255 - 19


def vkey_of(name: str, data: bytes) -> str:
    key_id = hashlib.sha256(name.encode() + b"\n" + data).digest()[:4].hex()
    return f"{name}+{key_id}+{base64.b64encode(data).decode()}"


def ml_dsa_vkey() -> str:
    return vkey_of("w", b"\x06" + MLDSA44PrivateKey.from_seed_bytes(SEED).public_key().public_bytes_raw())


@pytest.mark.parametrize(
    ("vkey", "name", "key_type"),
    [
        (SUM_DB, "sum.golang.org", KeyType.ED25519),
        (WITNESS, "Wit1", KeyType.ED25519_COSIGNATURE),
        (ml_dsa_vkey(), "w", KeyType.ML_DSA_44_COSIGNATURE),
    ],
    ids=["Ed25519", "Ed25519 cosignature", "ML-DSA-44 cosignature"],
)
def test_vkeys_round_trip(vkey: str, name: str, key_type: KeyType) -> None:
    key = VerifierKey.parse(vkey)
    assert (key.name, key.type, key.vkey) == (name, key_type, vkey)


@pytest.mark.parametrize(
    ("vkey", "check"),
    [
        ("", "VKEY_FORMAT"),
        ("sum.golang.org", "VKEY_FORMAT"),
        ("sum.golang.org+033de0ae", "VKEY_FORMAT"),
        ("sum.golang.org+033de0ae+", "VKEY_FORMAT"),
        (SUM_DB.replace("033de0ae", "033DE0AE"), "VKEY_FORMAT"),
        (SUM_DB.replace("033de0ae", "33de0ae"), "VKEY_FORMAT"),
        (SUM_DB + "\n", "VKEY_FORMAT"),
        (SUM_DB + "=", "VKEY_FORMAT"),
        (SUM_DB.replace("+Ac", "+ Ac"), "VKEY_FORMAT"),
        (SUM_DB.replace("033de0ae", "033de0af"), "VKEY_ID"),
        (SUM_DB.replace("sum", "sun"), "VKEY_ID"),
        (SUM_DB.replace("+Ac", "+BM"), "VKEY_ID"),
        ("+" + SUM_DB.split("+", 1)[1], "VKEY_NAME"),
        (
            vkey_of(
                "a b",
                b"\x01" + SignerKey.from_seed("a", SEED).public.key,
            ),
            "VKEY_NAME",
        ),
        (vkey_of("a\u00a0b", b"\x01" + bytes([9]) * 32), "VKEY_NAME"),
        (vkey_of("a", b"\x02" + bytes(32)), "VKEY_TYPE"),
        (vkey_of("a", b"\x05" + bytes(32)), "VKEY_TYPE"),
        (vkey_of("a", b"\xff" + bytes(32)), "VKEY_TYPE"),
        (vkey_of("a", b"\x01" + bytes(31)), "VKEY_KEY"),
        (vkey_of("a", b"\x01" + bytes(33)), "VKEY_KEY"),
        (vkey_of("a", b"\x06" + bytes(1311)), "VKEY_KEY"),
        (vkey_of("a", b"\x04" + bytes(32)), "VKEY_KEY"),
    ],
)
def test_vkeys_that_are_refused(vkey: str, check: str) -> None:
    with refused(check):
        VerifierKey.parse(vkey)


def little(y: int, sign: int = 0) -> bytes:
    return (y | sign << 255).to_bytes(32, "little")


Y8 = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7


@pytest.mark.parametrize("sign", [0, 1])
@pytest.mark.parametrize("y", [0, 1, P - 1, Y8, P - Y8, P, P + 1, P + 18, 2, 2**255 - 1])
def test_public_keys_of_small_order_or_of_no_point(y: int, sign: int) -> None:
    with refused("VKEY_KEY"):
        VerifierKey(name="a", type=KeyType.ED25519, key=little(y, sign))


def test_the_list_of_small_orders_is_complete() -> None:
    """Doubling a point of order 8 three times gives the neutral element; y = Y8 is such a point."""

    def double_y(y: int) -> int:
        d = -121665 * pow(121666, -1, P) % P
        x2 = (y * y - 1) * pow(d * y * y + 1, -1, P) % P
        return (y * y + x2) * pow(1 - d * x2 * y * y, -1, P) % P

    for y in (Y8, P - Y8):
        assert double_y(y) == 0
    assert double_y(0) == P - 1
    assert double_y(P - 1) == 1


def test_honest_keys_are_points() -> None:
    for at in range(64):
        key = SignerKey.from_seed("a", bytes([at]) * 32).public.key
        assert ed25519.weakness(key) is None
    assert ed25519.weakness(bytes(31)) == "31 bytes"


@pytest.mark.parametrize(
    ("name", "valid"),
    [
        ("example.com/log", True),
        ("n" * 255, True),
        ("", False),
        ("n" * 256, False),
        ("\u00e4" * 128, False),
        ("a+b", False),
        ("a b", False),
        ("a\u2003b", False),
        ("a\u00a0b", False),
        ("a\tb", False),
        ("a\x00b", False),
        ("a\ud800", False),
    ],
)
def test_key_names(name: str, valid: bool) -> None:
    assert is_key_name(name) is valid


def test_the_signer_hides_its_seed_and_signs_the_same_way_twice() -> None:
    signer = SignerKey.from_seed("example.com/log", SEED)
    for shown in (repr(signer), str(signer)):
        assert SEED.hex() not in shown
        assert repr(SEED) not in shown
        assert "private" not in shown
    assert signer.sign(b"text\n") == signer.sign(b"text\n")
    public = VerifierKey.parse(signer.verifier_key)
    assert public == signer.public
    # RFC 8032 section 7.1, test 1
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    known = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert SignerKey.from_seed("a", seed).public.key.hex() == known


@pytest.mark.parametrize(("name", "seed", "check"), [("a", bytes(31), "VKEY_KEY"), ("a b", SEED, "VKEY_NAME")])
def test_signers_that_are_refused(name: str, seed: bytes, check: str) -> None:
    with refused(check):
        SignerKey.from_seed(name, seed)
