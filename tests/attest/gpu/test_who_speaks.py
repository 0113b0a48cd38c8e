"""Who may speak of a certificate, and for how long: one thing wrong at a time with a list's entry or a responder."""

from __future__ import annotations

import dataclasses
import datetime as dt

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from attest.anchors import Anchors
from attest.gpu.appraise import appraise_device
from attest.gpu.claims import DeviceClaims
from attest.gpu.opaque import Mode
from attest.gpu.profile import GpuProfile
from attest.gpu.verify import verify_device
from tests.attest.gpu.made import NONCE, NOW, collateral, judge, kept_of, rims, vendor
from tests.attest.refusal import refused
from tests.makers.nvidia import DRIVER_INDICES, Authority, Extension, certify, measured, mint, name
from tests.makers.nvidia_rim import manifest

HOUR = dt.timedelta(hours=1)
SINCE = NOW - dt.timedelta(days=100)
UNKNOWN_CRITICAL = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0"), True


def _provisioner() -> Authority:
    return vendor().provisioners["GH100"]


def _identity() -> Authority:
    return vendor().identities["GH100"]


def _claims(*crls: bytes, responses: tuple[bytes, ...] = ()) -> DeviceClaims:
    offered = collateral(rims_=(), crls=(vendor().crl(vendor().root), *crls), ocsp=responses)
    return judge(vendor().device().evidence(NONCE), offered).claims


def _listing(*extensions: Extension) -> bytes:
    """A list of the identity CA's with one entry, about a certificate that nobody has here."""
    since = NOW - HOUR
    entry = x509.RevokedCertificateBuilder().serial_number(4_711).revocation_date(since)
    for extension, critical in extensions:
        entry = entry.add_extension(extension, critical=critical)
    builder = x509.CertificateRevocationListBuilder().issuer_name(_identity().certificate.subject)
    builder = builder.last_update(since).next_update(since + dt.timedelta(days=9))
    return builder.add_revoked_certificate(entry.build()).sign(_identity().key, SHA384()).public_bytes(Encoding.DER)


def test_entries_of_a_list_are_its_issuers_own() -> None:
    """An entry may name another issuer: whoever does not look would take its serial for one of the list's issuer."""
    other = x509.CertificateIssuer([x509.DirectoryName(name("NVIDIA GB100 Identity"))])
    _claims(_listing())
    _claims(_listing((x509.InvalidityDate(SINCE), False)))
    for extension in ((other, True), (other, False), UNKNOWN_CRITICAL):
        with refused("CRL_UNSUPPORTED"):
            _claims(_listing(extension))


def _twin(*, renamed: bool) -> Authority:
    """The identity CA under another name, or of another key."""
    if renamed:
        return certify(name("NVIDIA GH100 Identity 2"), vendor().root, since=SINCE, key=_identity().key)
    return certify(_identity().certificate.subject, vendor().root, since=SINCE)


@pytest.mark.parametrize("renamed", [True, False], ids=["of another name", "of another key"])
def test_a_response_names_its_issuer_by_name_and_by_key(renamed: bool) -> None:
    v = vendor()
    _claims(responses=(v.ocsp(_provisioner(), _identity(), responder=_identity()),))
    twin = _twin(renamed=renamed)
    serial = _provisioner().certificate.serial_number
    subject = certify(_provisioner().certificate.subject, twin, since=SINCE, serial=serial)
    with refused("REVOCATION_MISSING"):
        _claims(responses=(v.ocsp(subject, twin, responder=_identity()),))


def _delegate(issuer: Authority, *extra: Extension, since: dt.datetime = SINCE) -> Authority:
    purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]), False
    return certify(name("OCSP"), issuer, since=since, ca=False, extra=[purpose, *extra])


# name: (the responder, the check; none if it may speak)
def _delegates() -> dict[str, tuple[Authority, str]]:
    critical_purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]), True
    critical = certify(name("OCSP"), _identity(), since=SINCE, ca=False, extra=[critical_purpose])
    return {
        "of the issuer's": (_delegate(_identity()), ""),
        "with its purpose critical": (critical, ""),
        "with a critical extension that nobody knows": (_delegate(_identity(), UNKNOWN_CRITICAL), "OCSP_RESPONDER"),
        "of another name's with the same key": (_delegate(_twin(renamed=True)), "OCSP_RESPONDER"),
        "of the same name's with another key": (_delegate(_twin(renamed=False)), "OCSP_RESPONDER"),
        "not valid yet": (_delegate(_identity(), since=NOW + HOUR), "STATUS_NOT_YET_VALID"),
        "valid from now on": (_delegate(_identity(), since=NOW), ""),
    }


def test_who_may_speak_in_the_issuers_place() -> None:
    for case, (responder, check) in _delegates().items():
        response = vendor().ocsp(_provisioner(), _identity(), responder=responder)
        if not check:
            assert _claims(responses=(response,)).standing.unchecked == (), case
            continue
        with refused(check):
            _claims(responses=(response,))


def _element(tag: int, body: bytes) -> bytes:
    size = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes([tag]) + (size if len(body) < 0x80 else bytes([0x80 | len(size)]) + size) + body


def _body(der: bytes) -> tuple[bytes, bytes]:
    """The content of the first DER element, and what follows it."""
    size, at = der[1], 2
    if size > 0x80:
        at += size - 0x80
        size = int.from_bytes(der[2:at], "big")
    return der[at : at + size], der[at + size :]


def test_a_response_speaks_of_one_certificate() -> None:
    """Two in one are genuinely signed here, and which of them counts would be the reader's choice."""
    v = vendor()
    response = ocsp.load_der_ocsp_response(v.ocsp(_provisioner(), _identity()))
    data, single = _body(response.tbs_response_bytes)[0], next(iter(response.responses))
    assert single.serial_number == _provisioner().certificate.serial_number
    [at] = [n for n in range(len(data)) if data[n : n + 1] == b"\x30" and _ends(data, n)]
    both = _element(0x30, data[:at] + _element(0x30, _body(data[at:])[0] * 2))
    signature = _identity().key.sign(both, ec.ECDSA(SHA384()))
    algorithm = bytes.fromhex("300a06082a8648ce3d040303")
    basic = _element(0x30, both + algorithm + _element(0x03, b"\0" + signature))
    kind = bytes.fromhex("06092b0601050507300101")
    made = _element(0x30, b"\x0a\x01\x00" + _element(0xA0, _element(0x30, kind + _element(0x04, basic))))
    assert len(list(ocsp.load_der_ocsp_response(made).responses)) == 2
    with refused("OCSP_MALFORMED"):
        _claims(responses=(made,))


def _ends(data: bytes, at: int) -> bool:
    """Whether the element at `at` is the last, and a list of responses: it begins with two sequences and a third."""
    body, rest = _body(data[at:])
    return not rest and body[:1] == b"\x30" and _body(body)[0][:1] == b"\x30" and not _body(body)[1]


def test_a_response_of_any_size_is_not_read() -> None:
    responder = _delegate(_identity())
    response = vendor().ocsp(_provisioner(), _identity(), responder=responder, attached=(responder,) * 40)
    assert len(response) > 16_384
    with refused("OCSP_MALFORMED"):
        _claims(responses=(response,))


def test_a_status_speaks_for_one_name_and_one_key() -> None:
    """Two authorities of one name or of one key are two; what the one lists says nothing of the other's."""
    authentic = judge(vendor().device().evidence(NONCE))
    chain = authentic.chain.window.links
    for status in authentic.statuses:
        for link in chain:
            speaks = status.issuer == link.issuer
            assert (status.state_of(link) is not None) == speaks
            assert status.state_of(dataclasses.replace(link, issuer=b"another")) is None
            assert status.state_of(dataclasses.replace(link, issuer_spki=b"another")) is None


def test_the_oldest_word_is_the_age_of_all() -> None:
    v = vendor()
    ages = [NOW - 9 * HOUR, NOW - 5 * HOUR]
    for root, identity in (ages, ages[::-1]):
        offered = collateral(rims_=(), crls=(v.crl(v.root, since=root), v.crl(_identity(), since=identity)))
        assert judge(v.device().evidence(NONCE), offered).claims.standing.since == ages[0]


def test_a_kept_manifest_is_for_its_root() -> None:
    v, device = vendor(), vendor().device()
    kept = kept_of(judge(device.evidence(NONCE)))
    assert kept.rims
    anchors = Anchors(amd=(), nvidia=(v.anchors.nvidia[0], mint(now=NOW).anchors.nvidia[1]), simulated=True)
    with refused("CHAIN_ROOT_NOT_PINNED"):
        verify_device(
            device.evidence(NONCE), collateral(), anchors, nonce=NONCE, now=NOW, revocation_required=True, kept=kept
        )


def test_a_kept_manifest_of_another_version_is_passed_over_as_one_that_was_not_kept() -> None:
    newer = "580.65.06"
    other = manifest(vendor(), newer, {index: [measured(index)] for index in DRIVER_INDICES})
    offered, one = collateral(rims_=(*rims(), other)), vendor().device().evidence(NONCE)
    kept = kept_of(
        judge(one, offered), judge(vendor().device().evidence(NONCE, opaque={3: newer.encode() + b"\0"}), offered)
    )
    assert other in kept.rims
    assert [rim.version for rim in judge(one, offered, kept=kept).claims.offered] == [
        rim.version for rim in judge(one, offered).claims.offered
    ]


def test_a_wired_system_states_its_mode() -> None:
    """What is lifted for single devices is not lifted where the whole topology rests on it."""
    claims = judge(vendor().device().evidence(NONCE, opaque={36: None})).claims
    assert claims.mode is Mode.UNSTATED
    for document, outcome in (
        ({"count": 1, "allow_unstated_mode": True}, "skipped"),
        ({"count": 8, "topology": "ppcie", "allow_unstated_mode": True}, "failed"),
    ):
        found = appraise_device(0, claims, GpuProfile.parse(document))
        assert [f.outcome.value for f in found if f.check == "DEVICE_MODE"] == [outcome]
