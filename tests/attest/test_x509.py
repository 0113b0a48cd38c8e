"""The door to certificates: what comes out of it is a value or Malformed, and AMD's serial 0 passes without a sound."""

from __future__ import annotations

import datetime as dt
import warnings

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.utils import CryptographyDeprecationWarning
from hypothesis import given, settings
from hypothesis import strategies as st

from attest.errors import Malformed
from attest.evidence import read_certificates
from attest.x509 import load_certificate, load_pem_or_der, load_revocation_list
from tests.attest.refusal import refused
from tests.makers import amd

NOW = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)
AMD = amd.mint(now=NOW)
VCEK, ASK, ARK = AMD.chip().certificates


def _pem(der: bytes) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)


def test_serial_0_passes_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_certificate(VCEK, path="it").serial == 0


def test_canary_serial_0_is_still_only_a_warning_of_the_library() -> None:
    """The day this fails, `cryptography` refuses AMD's VCEKs, and attest/x509.py needs another way to read them."""
    with pytest.warns(CryptographyDeprecationWarning, match="serial number which wasn't positive"):
        x509.load_der_x509_certificate(VCEK)


def test_other_oddities_pass_without_a_warning() -> None:
    """A country of 22 letters makes the library warn; what an attacker sends is not to fill anybody's log."""
    odd = AMD.chip(serial=7, rename=(bytes.fromhex("55040a"), bytes.fromhex("550406"))).certificate
    with pytest.warns(UserWarning, match="length"):
        _ = x509.load_der_x509_certificate(odd).subject
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_certificate(odd, path="it").der == odd


def test_what_is_read() -> None:
    vcek, ask, ark = (load_certificate(der, path="it") for der in (VCEK, ASK, ARK))
    assert (vcek.common_name, ask.common_name, ark.common_name) == ("SEV-VCEK", "SEV-Milan", "ARK-Milan")
    assert vcek.issuer == ask.subject
    assert (vcek.is_ca, ask.is_ca, ark.is_ca) == (False, True, True)
    assert (ask.path_length, ark.path_length) == (0, None)
    assert ask.signs_certificates
    assert vcek.extensions[f"{amd.ARC}.2"] == amd.der_ia5("Milan-B0")
    assert vcek.not_before < NOW < vcek.not_after
    assert vcek.der == VCEK


def test_a_signature_is_checked_with_name_and_algorithm() -> None:
    vcek, ask, ark = (load_certificate(der, path="it") for der in (VCEK, ASK, ARK))
    vcek.check_issued_by(ask, path="it")
    ark.check_issued_by(ark, path="it")
    for certificate, issuer in ((vcek, ark), (ask, ask), (ark, vcek)):
        with refused("CHAIN_SIGNATURE"):
            certificate.check_issued_by(issuer, path="it")
    pkcs1 = AMD.reissued("ask", pss=False)
    with refused("CHAIN_SIGNATURE"):
        load_certificate(pkcs1.ask.der, path="it").check_issued_by(ark, path="it")


def test_pem_bundles() -> None:
    bundle = b"some text\n" + _pem(ASK) + b"\nmore text\n" + _pem(ARK)
    assert [c.common_name for c in load_pem_or_der(bundle, path="it")] == ["SEV-Milan", "ARK-Milan"]
    assert read_certificates(bundle) == (ASK, ARK)
    assert read_certificates(ASK) == (ASK,)
    assert read_certificates(_pem(VCEK)) == (VCEK,)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"0",
        b"\x30\x03\x02\x01",
        VCEK[:-1],
        VCEK + b"\0",
        b"-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        bytes(20_000),
        AMD.crl(),
    ],
    ids=["empty", "text", "cut", "cut by one", "one more", "bad PEM", "a key", "large", "a CRL"],
)
def test_what_is_no_certificate(data: bytes) -> None:
    with refused("CERT_MALFORMED"):
        read_certificates(data)


def test_sizes_are_limited_before_anything_is_parsed() -> None:
    with pytest.raises(Malformed, match="at most 16384 bytes"):
        load_certificate(bytes(16_385), path="it")
    with pytest.raises(Malformed, match="at most 1048576 bytes"):
        load_revocation_list(bytes((1 << 20) + 1), path="it")


def test_a_duplicate_extension_is_told() -> None:
    chip = AMD.chip(rename=(bytes.fromhex("010309"), bytes.fromhex("010308")), change={f"{amd.ARC}.3.9": b"\2\1\0"})
    assert load_certificate(chip.certificate, path="it").duplicate == f"{amd.ARC}.3.8"


def test_a_public_key_of_another_kind() -> None:
    chip = AMD.chip(curve=ec.SECP256R1())
    assert len(load_certificate(chip.certificate, path="it").spki) == 91


def test_revocation_lists() -> None:
    crl = load_revocation_list(AMD.crl([5, 6]), path="it")
    assert crl.serials == {5, 6}
    ark, ask = (load_certificate(der, path="it") for der in (ARK, ASK))
    crl.check_signed_by(ark, path="it")
    assert crl.issuer == ark.subject
    with refused("CRL_SIGNATURE"):
        crl.check_signed_by(ask, path="it")
    with refused("CRL_SIGNATURE"):
        crl.check_signed_by(load_certificate(VCEK, path="it"), path="it")
    pem = x509.load_der_x509_crl(AMD.crl()).public_bytes(Encoding.PEM)
    assert load_revocation_list(pem, path="it").serials == frozenset()
    for data in (b"", b"x", AMD.crl()[:-1], VCEK, bytes(2 << 20)):
        with refused("CRL_MALFORMED"):
            load_revocation_list(data, path="it")


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([VCEK, ASK]), st.integers(0, 1_200), st.integers(1, 255))
def test_a_changed_byte_gives_another_certificate_or_none(der: bytes, at: int, mask: int) -> None:
    changed = bytearray(der)
    changed[at % len(der)] ^= mask
    try:
        found = load_certificate(bytes(changed), path="it")
    except Malformed:
        return  # any other exception would have left the door
    assert found.der != der


def test_a_signature_has_no_unused_bits() -> None:
    """The octet before a signature says how many of its last bits are unused; zero bits could be called so."""
    for load, data, check in (
        (load_certificate, VCEK, "CERT_MALFORMED"),
        (load_certificate, ARK, "CERT_MALFORMED"),
        (load_revocation_list, AMD.crl(), "CRL_MALFORMED"),
    ):
        load(data, path="x")
        for bits in range(1, 8):
            changed = bytearray(data)
            changed[-257] = bits
            changed[-1] &= 0xFF << bits & 0xFF
            with refused(check):
                load(bytes(changed), path="x")
