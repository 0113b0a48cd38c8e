"""One rule of a device's path at a time: roles that only one bit tells apart, both ends of validity, DER of an FWID."""

from __future__ import annotations

import datetime as dt

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding

from attest.errors import AttestError
from attest.evidence import DeviceEvidence
from attest.gpu.certs import NAMES, authenticate
from attest.gpu.fwid import TCB_INFO, fwid_of
from attest.gpu.links import Link, check_chain, find_root, window_of
from attest.gpu.report import GPU, SWITCH
from attest.x509 import Certificate, load_certificate
from tests.attest.gpu.made import NONCE, NOW, judge, kept_of, vendor, with_ocsp
from tests.attest.refusal import refused
from tests.makers.nvidia import certify

SECOND, DAY = dt.timedelta(seconds=1), dt.timedelta(days=1)
ROOT = vendor().anchors.nvidia[0]
CHAIN = tuple(load_certificate(each.der, path="chain") for each in vendor().device().chain[:-1])
Usage = dict[str, bool]
NO_USAGE: Usage = dict.fromkeys(
    ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
     "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"), False,
)  # fmt: skip


def _chain(position: int, certificate: Certificate) -> tuple[Certificate, ...]:
    return (*CHAIN[:position], certificate, *CHAIN[position + 1 :])


def _leaf(usage: Usage | None, *, ca: bool) -> Certificate:
    """A leaf by the same issuer, with this key usage, if any, and these basic constraints."""
    issuer = vendor().device().chain[1]
    made = certify(issuer.certificate.subject, issuer, since=NOW - DAY, ca=False)
    builder = (
        x509.CertificateBuilder()
        .subject_name(made.certificate.subject)
        .issuer_name(issuer.certificate.subject)
        .public_key(made.key.public_key())
        .serial_number(7)
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + DAY)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if usage is not None:
        builder = builder.add_extension(x509.KeyUsage(**{**NO_USAGE, **usage}), critical=True)
    signed = builder.sign(issuer.key, SHA384())
    return load_certificate(signed.public_bytes(Encoding.DER), path="leaf")


ROLES: dict[str, tuple[Certificate, ...]] = {
    "a leaf that is a CA and signs data": _chain(0, _leaf({"digital_signature": True}, ca=True)),
    "a leaf without key usage": _chain(0, _leaf(None, ca=False)),
    "a leaf that signs nothing": _chain(0, _leaf({"crl_sign": True}, ca=False)),
    "a leaf that signs certificates too": _chain(
        0, _leaf({"digital_signature": True, "key_cert_sign": True}, ca=False)
    ),
    "an issuer that is no CA": _chain(1, CHAIN[1]._replace(is_ca=False)),
    "an issuer that may not sign certificates": _chain(2, CHAIN[2]._replace(signs_certificates=False)),
    "an issuer without room below it": _chain(2, CHAIN[2]._replace(path_length=0)),
    "an extension that nobody understands": _chain(3, CHAIN[3]._replace(critical=("1.2.3.4",))),
}


@pytest.mark.parametrize("case", ROLES)
def test_roles(case: str) -> None:
    check_chain(CHAIN, NAMES[:-1], ROOT, path="chain")
    check_chain(_chain(2, CHAIN[2]._replace(path_length=1)), NAMES[:-1], ROOT, path="chain")
    with refused("CHAIN_ROLE"):
        check_chain(ROLES[case], NAMES[:-1], ROOT, path="chain")


@pytest.mark.parametrize("position", range(4))
def test_an_extension_twice_is_read_by_nobody(position: int) -> None:
    with refused("CERT_MALFORMED"):
        check_chain(_chain(position, CHAIN[position]._replace(duplicate="2.5.29.15")), NAMES[:-1], ROOT, path="chain")


def test_a_root_is_its_name_and_its_key() -> None:
    given = load_certificate(vendor().root.der, path="root")
    assert find_root(given, [ROOT], path="root") == ROOT
    for other in (given._replace(subject=b"other"), given._replace(spki=b"other")):
        with refused("CHAIN_ROOT_NOT_PINNED"):
            find_root(other, [ROOT], path="root")


def test_validity_has_both_ends_inside_it() -> None:
    def link(label: str, start: dt.datetime, end: dt.datetime) -> Link:
        return Link(
            name=label, der=b"", serial=1, subject=b"", issuer=b"", issuer_spki=b"", not_before=start, not_after=end,
            names_source=False,
        )  # fmt: skip

    window = window_of([link("leaf", NOW - DAY, NOW + 9 * DAY), link("ica", NOW - 9 * DAY, NOW + DAY)])
    for now in (NOW - DAY, NOW, NOW + DAY):
        window.check(now, path="chain")
    for now, check, path in (
        (NOW - DAY - SECOND, "CERT_NOT_YET_VALID", "chain.leaf"),
        (NOW + DAY + SECOND, "CERT_EXPIRED", "chain.ica"),
    ):
        with pytest.raises(AttestError) as caught:
            window.check(now, path="chain")
        assert (caught.value.check, caught.value.path) == (check, path)


def test_a_kept_chain_is_of_its_kind() -> None:
    """The same bytes given out as another kind are not what was verified."""
    device = vendor().device("LS_10")
    kept = kept_of(judge(device.evidence(NONCE), with_ocsp(device)))
    given = DeviceEvidence(kind=GPU, report=vendor().device().report(NONCE), chain=device.pem)
    with refused("GPU_KIND"):
        judge(given)
    with refused("GPU_KIND"):
        judge(given, kept=kept)
    assert device.kind == SWITCH


def test_a_chain_that_is_too_long_is_not_read() -> None:
    with refused("GPU_CHAIN_LENGTH"):
        authenticate(b"\0" * (1 << 20), GPU, vendor().anchors)


SHA384_OID = bytes.fromhex("0609608648016503040202")
GOOD = SHA384_OID + b"\x04\x30" + bytes(48)
SEQUENCE = b"\x30" + bytes([len(GOOD)]) + GOOD
TCB = b"\x30" + bytes([len(SEQUENCE) + 2]) + b"\xa6" + bytes([len(SEQUENCE)]) + SEQUENCE
# name: an extension of DiceTcbInfo that is not quite one
FWIDS: dict[str, bytes] = {
    "a byte behind": TCB + b"\0",
    "no SEQUENCE": b"\x31" + TCB[1:],
    "a list that is a SET": TCB.replace(SEQUENCE, b"\x31" + SEQUENCE[1:]),
    "another digest": TCB.replace(SHA384_OID, SHA384_OID[:-1] + b"\x01"),
    "47 bytes": b"\x30\x41\xa6\x3f\x30\x3d" + SHA384_OID + b"\x04\x2f" + bytes(47) + b"\x05\x00",
    "a digest that is no OCTET STRING": TCB.replace(b"\x04\x30", b"\x03\x30"),
    "a length of two bytes that needs one": b"\x30\x81" + TCB[1:],
    "a length of three bytes that needs one": b"\x30\x82\0" + TCB[1:],
    "a length of four bytes": b"\x30\x83\0\0" + TCB[1:],
    "an indefinite length": b"\x30\x80" + TCB[2:] + b"\0\0",
    "a tag of two bytes": b"\x3f\x10" + TCB[1:],
    "a value longer than its place": TCB[:1] + bytes([TCB[1] + 1]) + TCB[2:],
    "a value inside longer than its place": TCB.replace(b"\x04\x30", b"\x04\x31"),
}


@pytest.mark.parametrize("case", FWIDS)
def test_an_fwid_is_written_in_one_way(case: str) -> None:
    assert fwid_of(CHAIN[0]._replace(extensions={TCB_INFO: TCB})) == bytes(48)
    with refused("GPU_FWID_FORMAT"):
        fwid_of(CHAIN[0]._replace(extensions={TCB_INFO: FWIDS[case]}))
