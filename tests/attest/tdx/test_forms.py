"""What is recognised by its form is what it says when it is taken apart; a form that is not known is none of these."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from attest.errors import Malformed
from attest.extensions import read_extensions
from attest.intel_form import recognise_intel, recognise_intel_list
from attest.names import certificate_parts, common_name, list_parts
from attest.tdx import pck
from attest.tdx.collateral_json import read_collateral
from attest.tdx.forms import recognise_identity, recognise_tcb_info
from attest.tdx.pem import read_chain
from attest.tdx.signed import Signed, read_signed
from attest.tdx.tcb_info import read_identity, read_tcb_info
from tests.attest.refusal import refused
from tests.attest.tdx.made import intel
from tests.vectors import VECTORS, needs_vectors

Document = tuple[str, Callable[[str], object], Callable[[Mapping[str, Any]], object]]
TCB_INFO: Document = ("tcbInfo", recognise_tcb_info, read_tcb_info)
IDENTITY: Document = ("enclaveIdentity", recognise_identity, read_identity)
SIGNATURE = "5a" * 64

INFO = json.dumps(intel().tcb_info(), separators=(",", ":"))
ENCLAVE = json.dumps(intel().qe_identity(), separators=(",", ":"))


def _body(kind: Document, text: str, signature: str = SIGNATURE) -> bytes:
    return f'{{"{kind[0]}":{text},"signature":"{signature}"}}'.encode()


def _read(kind: Document, body: bytes, recognise: Callable[[str], object]) -> tuple[object, bytes, tuple[int, int]]:
    signed: Signed[object] = read_signed(body, kind[0], recognise, check="FORMAT", path="it")
    return signed.document(kind[2]), signed.raw, signed.signature


def _same(kind: Document, body: bytes) -> bool:
    """Whether it was recognised. What comes of it is the same as if it had been decoded, refusals included."""
    known = False

    def recognise(text: str) -> object:
        nonlocal known
        found = kind[1](text)
        known = found is not None
        return found

    try:
        expected: object = _read(kind, body, lambda _: None)
    except Malformed as error:
        expected = error.check, error.path
    try:
        got: object = _read(kind, body, recognise)
    except Malformed as error:
        got = error.check, error.path
    assert got == expected
    return known


@pytest.mark.parametrize(("kind", "text"), [(TCB_INFO, INFO), (IDENTITY, ENCLAVE)], ids=["tcb_info", "qe_identity"])
def test_what_is_made_is_recognised(kind: Document, text: str) -> None:
    assert _same(kind, _body(kind, text))


def test_components_with_their_names_are_recognised() -> None:
    named = INFO.replace('{"svn":3}', '{"svn":3,"category":"OS/VMM","type":"SGX Late Microcode Update"}')
    assert named != INFO
    assert _same(TCB_INFO, _body(TCB_INFO, named))
    assert _same(TCB_INFO, _body(TCB_INFO, INFO.replace("90C06F", "90c06f")))


@needs_vectors(1)
def test_what_intel_published_is_recognised() -> None:
    """All that is of TDX, and every identity; what was made for SGX is decoded."""
    assert VECTORS is not None
    found: dict[tuple[str, bool], int] = {}
    for file in sorted((VECTORS / "tdx" / "derived" / "bundles").glob("*.json")):
        collateral = read_collateral(file.read_bytes())
        for kind, body in ((TCB_INFO, collateral.tcb_info), (IDENTITY, collateral.qe_identity)):
            assert _same(kind, body) is (kind is IDENTITY or b'"id":"TDX"' in body)
            found[kind[0], _same(kind, body)] = found.get((kind[0], _same(kind, body)), 0) + 1
    assert min(found["tcbInfo", True], found["enclaveIdentity", True]) >= 10


# name: (what is replaced, by what): the form is another, and nobody but the decoder may say what that means.
OTHER_FORMS = {
    "a space": ('"version":3', '"version": 3'),
    "a line": ('"version":3', '"version":3\n'),
    "another order": ('"id":"TDX","version":3', '"version":3,"id":"TDX"'),
    "a key twice": ('"version":3', '"version":3,"version":3'),
    "a level's key twice": ('"pcesvn":', '"pcesvn":0,"pcesvn":'),
    "a component's key twice": ('{"svn":3}', '{"svn":200,"svn":3}'),
    "a key twice, by an escape": ('{"svn":3}', '{"svn":3,"sv\\u006e":200}'),
    "an unknown member": ('"tcbType":0', '"tcbType":0,"more":1'),
    "an unknown member of a component": ('{"svn":3}', '{"svn":3,"more":1}'),
    "a component too few": ('{"svn":3},', ""),
    "a component too many": ('{"svn":3},', '{"svn":3},{"svn":3},'),
    "svn 256": ('{"svn":3}', '{"svn":256}'),
    "svn 03": ('{"svn":3}', '{"svn":03}'),
    "svn -0": ('{"svn":3}', '{"svn":-0}'),
    "svn 3.0": ('{"svn":3}', '{"svn":3.0}'),
    "svn true": ('{"svn":3}', '{"svn":true}'),
    "svn in digits of another script": ('{"svn":3}', '{"svn":\N{ARABIC-INDIC DIGIT THREE}}'),
    "a text that is escaped": ("INTEL-SA-00960", "INTEL\\u002dSA-00960"),
    "a text that is empty": ('"INTEL-SA-00960"', '""'),
    "a status of a relaunch": ('"UpToDate"', '"TDRelaunchAdvised"'),
    "a day that is none": ('"2023-08-09T', '"2023-02-30T'),
    "an hour that is none": ("09T00:00:00Z", "09T24:00:00Z"),
    "a number above all": ('"tcbEvaluationDataNumber":20', '"tcbEvaluationDataNumber":2147483648'),
    "pcesvn above all": ('"pcesvn":', '"pcesvn":9'),
    "a module twice": ('"TDX_03"', '"tdx_01"'),
    "hexadecimal with a space": ("90C06F000000", "90C06F 00000"),
    "no module identity at all": ('"tdxModuleIdentities":[', '"tdxModuleIdentities":[],"x":['),
    "something behind": ("}]}", "}]}}"),
}


@pytest.mark.parametrize("case", OTHER_FORMS)
def test_another_form_is_left_to_the_decoder(case: str) -> None:
    old, new = OTHER_FORMS[case]
    assert old in INFO
    text = INFO.replace(old, new, 1)
    pieces = case == "pcesvn above all"
    assert not _same(TCB_INFO, _body(TCB_INFO, INFO.replace(old, new + "999") if pieces else text))


@pytest.mark.parametrize(
    "signature", ["0x" + "5a" * 63, "5a" * 63 + "_a", "5a" * 63 + " a", "+5" + "5a" * 63, "5a" * 63, "5g" * 64]
)
def test_a_signature_is_128_hexadecimal_digits(signature: str) -> None:
    assert _same(TCB_INFO, _body(TCB_INFO, INFO, signature)) in (True, False)
    with refused("FORMAT"):
        read_signed(_body(TCB_INFO, INFO, signature), "tcbInfo", recognise_tcb_info, check="FORMAT", path="it")


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_changed_documents(data: st.DataObject) -> None:
    """A character changed, left out, put in, or a piece of the text twice."""
    kind, text = data.draw(st.sampled_from([(TCB_INFO, INFO), (IDENTITY, ENCLAVE)]))
    at = data.draw(st.integers(0, len(text) - 1))
    size, new = data.draw(st.integers(0, 3)), data.draw(st.text('0123456789abcF":,{}[]\\ Z-\u00e9', max_size=3))
    if data.draw(st.booleans()):
        new = text[at : at + data.draw(st.integers(1, 40))] * 2
        size = len(new) // 2
    _same(kind, _body(kind, text[:at] + new + text[at + size :]))


def _made_certificates() -> list[bytes]:
    offered = intel().collateral()
    chains = (intel().platform().chain, offered.tcb_info_issuer_chain, offered.pck_crl_issuer_chain)
    return list(dict.fromkeys(der for chain in chains for der in read_chain(chain, path="it")))


CERTIFICATES = _made_certificates()


def _recognised(der: bytes) -> bool:
    """Whether a certificate that the library takes is recognised, and then as it is taken apart."""
    with warnings.catch_warnings(action="ignore"):  # of serials that are not positive: the door keeps them inside, too
        found = x509.load_der_x509_certificate(der)
    known = recognise_intel(der)
    if known is not None:
        parts = certificate_parts(der)
        assert known == (parts, common_name(parts.subject), read_extensions(found))
        assert found.serial_number > 0
        assert parts.algorithm == parts.inner
    return known is not None


def test_certificates_as_they_are_made_are_recognised() -> None:
    assert len(CERTIFICATES) == 4
    assert all(map(_recognised, CERTIFICATES))


@needs_vectors(1)
def test_certificates_as_intel_makes_them_are_recognised() -> None:
    assert VECTORS is not None
    folder = VECTORS / "tdx" / "intel-SGX-TDX-DCAP-QuoteVerificationLibrary" / "sampleData" / "tdx"
    files = [folder / "pckCert.pem", folder / "pckSignChain.pem", folder / "tcbSignChain.pem"]
    ders = [der for file in files for der in read_chain(file.read_bytes(), path="it")]
    assert len(ders) >= 5
    assert all(map(_recognised, ders))


def _at(der: bytes, what: bytes, offset: int = 0) -> int:
    assert der.count(what) == 1, what.hex()
    return der.index(what) + offset


ROOT, PCK = CERTIFICATES[2], CERTIFICATES[0]
BASIC, USAGE = bytes.fromhex("0603551d13"), bytes.fromhex("0603551d0f")
# name: (certificate, where a byte is changed, to what): whether or not the library takes it, it is no form of Intel's.
CHANGED: dict[str, tuple[bytes, int, int]] = {
    "version 2": (ROOT, 12, 1),
    "a serial that is negative": (ROOT, 15, 0xDE),
    "a serial that is zero first": (ROOT, 15, 0),
    "not critical": (ROOT, _at(ROOT, BASIC, 7), 0),
    "no CA after all": (ROOT, _at(ROOT, BASIC, 14), 0),
    "a deeper path": (ROOT, _at(ROOT, BASIC, 17), 2),
    "another usage": (ROOT, _at(ROOT, USAGE, 13), 0x86),
    "usage with unused bits": (ROOT, _at(ROOT, USAGE, 12), 0),
    "a signature with unused bits": (ROOT, len(ROOT) - len(certificate_parts(ROOT).signature) - 1, 1),
    "another algorithm": (PCK, PCK.rindex(bytes.fromhex("2a8648ce3d0403")) + 7, 3),
    "an extension that is not the SGX one": (PCK, _at(PCK, bytes.fromhex("06092a864886f84d010d0104"), 10), 2),
    "a length of the SGX one": (PCK, _at(PCK, bytes.fromhex("06092a864886f84d010d0104"), 14), 0),
    "two names": (PCK, _at(PCK, b"\x0c\x19Intel SGX PCK Cert", 4), ord("J")),
    "a country in another encoding": (PCK, PCK.rindex(b"\x13\x02US"), 0x0C),
    "a key on another curve": (PCK, _at(PCK, bytes.fromhex("06082a8648ce3d030107"), 9), 6),
    "a compressed key": (PCK, _at(PCK, bytes.fromhex("03420004"), 3), 2),
    "a time of another kind": (PCK, _at(PCK, b"\x30\x1e\x17\x0d", 2), 0x18),
    "a longer certificate": (ROOT, 3, ROOT[3] + 1),
    "a longer part that is signed": (ROOT, 7, ROOT[7] - 1),
    "more extensions": (ROOT, _at(ROOT, bytes.fromhex("301f0603551d23"), -1), 0xFF),
    "more around them": (ROOT, _at(ROOT, bytes.fromhex("301f0603551d23"), -4), 0xFF),
    "a longer address": (ROOT, _at(ROOT, b"https://", -1), 0x7F),
    "an address of another kind": (ROOT, _at(ROOT, b"https://", -2), 0x82),
    "a space in the address": (ROOT, _at(ROOT, b"https://", 3), 0x20),
    "a longer signature": (ROOT, len(ROOT) - len(certificate_parts(ROOT).signature) - 2, 0x7F),
}


@pytest.mark.parametrize("case", CHANGED)
def test_another_certificate_is_left_to_the_library(case: str) -> None:
    der, at, value = CHANGED[case]
    changed = bytearray(der)
    assert changed[at] != value
    changed[at] = value
    assert recognise_intel(bytes(changed)) is None


def test_something_behind_a_certificate() -> None:
    assert recognise_intel(ROOT + b"\0") is None
    assert recognise_intel(ROOT[:-1]) is None


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(CERTIFICATES), st.data())
def test_changed_certificates(der: bytes, data: st.DataObject) -> None:
    changed = bytearray(der)
    for _ in range(data.draw(st.integers(1, 2))):
        changed[data.draw(st.integers(0, len(der) - 1))] = data.draw(st.integers(0, 255))
    try:
        _recognised(bytes(changed))
    except (ValueError, x509.InvalidVersion):
        return  # the library does not take it, or these extensions, and it has the last word


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(CERTIFICATES), st.data())
def test_a_piece_of_a_certificate_twice_or_gone(der: bytes, data: st.DataObject) -> None:
    at, size = data.draw(st.integers(0, len(der) - 1)), data.draw(st.integers(1, 120))
    changed = der[:at] + der[at : at + size] * data.draw(st.sampled_from([0, 2])) + der[at + size :]
    whole = len(changed) - 4
    for each in (changed, b"\x30\x82" + whole.to_bytes(2, "big") + changed[4:]):
        try:
            _recognised(each)
        except (ValueError, x509.InvalidVersion):
            continue


LISTS = [intel().crl(), intel().crl("root"), intel().crl(revoked=[7]), intel().crl(revoked=range(1, 40))]


def _recognised_list(der: bytes) -> bool:
    """Whether a list that the library takes is recognised; then it is as it is taken apart, and nothing is critical."""
    found = x509.load_der_x509_crl(der)
    known = recognise_intel_list(der)
    if known is not None:
        assert known == list_parts(der)
        assert not [each.oid for each in found.extensions if each.critical]
        assert len(found.extensions) == 2
    return known is not None


def test_lists_as_they_are_made_are_recognised() -> None:
    assert all(map(_recognised_list, LISTS))
    assert not _recognised_list(intel().crl(critical=True))
    assert not _recognised_list(intel().crl(name="Intel SGX Another CA"))


@needs_vectors(1)
def test_lists_as_intel_makes_them_are_recognised() -> None:
    assert VECTORS is not None
    files = [*(VECTORS / "tdx").rglob("*CaCrl.der"), *(VECTORS / "tdx").rglob("*pck_crl_*.der")]
    assert len(files) >= 5
    assert all(_recognised_list(file.read_bytes()) for file in files)


# name: (list, where a byte is changed, to what)
CHANGED_LISTS: dict[str, tuple[int, int, int]] = {
    "version 1": (2, _at(LISTS[2], bytes.fromhex("020101300a"), 2), 0),
    "a longer list": (0, 2, LISTS[0][2] + 1),
    "a longer part that is signed": (0, 5, LISTS[0][5] + 1),
    "revoked ones that go on": (2, _at(LISTS[2], bytes.fromhex("302730250214"), 1), 0x28),
    "revoked ones that end before": (2, _at(LISTS[2], bytes.fromhex("302730250214"), 1), 0x26),
    "a number below zero": (0, _at(LISTS[0], bytes.fromhex("0603551d14040302"), 9), 0x80),
    "a number that is none": (0, _at(LISTS[0], bytes.fromhex("0603551d14040302"), 7), 4),
    "another extension": (0, _at(LISTS[0], bytes.fromhex("0603551d23"), 4), 0x1C),
    "a longer signature": (0, len(LISTS[0]) - len(list_parts(LISTS[0]).signature) - 2, 0x7F),
    "a signature with unused bits": (0, len(LISTS[0]) - len(list_parts(LISTS[0]).signature) - 1, 1),
}


@pytest.mark.parametrize("case", CHANGED_LISTS)
def test_another_list_is_left_to_the_library(case: str) -> None:
    number, at, value = CHANGED_LISTS[case]
    changed = bytearray(LISTS[number])
    assert changed[at] != value
    changed[at] = value
    assert recognise_intel_list(bytes(changed)) is None


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(LISTS), st.data())
def test_changed_lists(der: bytes, data: st.DataObject) -> None:
    changed = bytearray(der)
    for _ in range(data.draw(st.integers(1, 2))):
        changed[data.draw(st.integers(0, len(der) - 1))] = data.draw(st.integers(0, 255))
    try:
        _recognised_list(bytes(changed))
    except (ValueError, x509.InvalidVersion, x509.DuplicateExtension):
        return  # the library does not take it, and it has the last word


EXTENSION = read_extensions(x509.load_der_x509_certificate(CERTIFICATES[0])).others[pck.SGX_EXTENSION]


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_changed_extensions_of_a_pck(data: st.DataObject) -> None:
    changed = bytearray(EXTENSION)
    for _ in range(data.draw(st.integers(0, 2))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    raw = bytes(changed)
    found = pck._recognise(raw)
    assert found is None or found == pck._read(raw)
    assert raw != EXTENSION or found is not None
