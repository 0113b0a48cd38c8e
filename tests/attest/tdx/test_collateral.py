"""Rows T11 to T25: chains, documents and lists, each wrong in one way and genuinely signed."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from attest.anchors import Anchors
from attest.errors import AttestError
from attest.evidence import Collateral, TdxCollateral, TdxEvidence
from attest.finding import Outcome
from attest.tdx.chain import Bench, VerifiedChain, authenticate_pck
from attest.tdx.collateral import authenticate_collateral
from attest.tdx.revocation import check_not_revoked
from attest.tdx.verify import needed, verify_quote
from attest.verify import Kept, verify
from attest.x509 import load_certificate
from tests.attest.refusal import refused
from tests.attest.tdx.made import DATA, NOW, collateral, intel, judge, platform, td_of
from tests.makers.endless import without_next_update
from tests.makers.intel import Intel, Sgx, key
from tests.makers.quote import Form

SECOND, DAY = dt.timedelta(seconds=1), dt.timedelta(days=1)
QUOTE = platform().quote(DATA)
Make = Callable[[Intel], TdxCollateral]


def _level(vendor: Intel, **changed: object) -> dict[str, object]:
    return {**vendor.level(), **changed}


def _tcb(vendor: Intel, **changed: object) -> dict[str, object]:
    level = vendor.level()
    return {**level, "tcb": {**level["tcb"], **changed}}


# name: (collateral, the check that refuses)
WRONG: dict[str, tuple[Make, str]] = {
    "T13 TCB info of tomorrow": (
        lambda v: v.collateral(tcb_info={"issueDate": "2026-05-01T12:00:01Z"}),
        "COLLATERAL_NOT_YET_VALID",
    ),
    "T13 TCB info of yesterday": (
        lambda v: v.collateral(tcb_info={"nextUpdate": "2026-05-01T11:59:59Z"}),
        "COLLATERAL_EXPIRED",
    ),
    "T13 QE identity of tomorrow": (
        lambda v: v.collateral(qe_identity={"issueDate": "2026-05-01T12:00:01Z"}),
        "COLLATERAL_NOT_YET_VALID",
    ),
    "T13 QE identity of yesterday": (
        lambda v: v.collateral(qe_identity={"nextUpdate": "2026-05-01T11:59:59Z"}),
        "COLLATERAL_EXPIRED",
    ),
    "T13 a PCK list of yesterday": (lambda v: v.collateral(pck_crl=v.crl(end=NOW - SECOND)), "CRL_EXPIRED"),
    "T13 a root list of yesterday": (
        lambda v: v.collateral(root_ca_crl=v.crl("root", end=NOW - SECOND)),
        "CRL_EXPIRED",
    ),
    "T13 a list of tomorrow": (lambda v: v.collateral(pck_crl=v.crl(start=NOW + SECOND)), "CRL_NOT_YET_VALID"),
    "T14 the PCK is listed": (lambda v: v.collateral(pck_crl=v.crl(revoked=[101])), "CERT_REVOKED"),
    "T14 the CA is listed": (lambda v: v.collateral(root_ca_crl=v.crl("root", revoked=[2])), "CERT_REVOKED"),
    "T14 the signer is listed": (lambda v: v.collateral(root_ca_crl=v.crl("root", revoked=[4])), "CERT_REVOKED"),
    "T14 the root is listed": (lambda v: v.collateral(root_ca_crl=v.crl("root", revoked=[1])), "CERT_REVOKED"),
    "T14 the list of the other CA": (lambda v: v.collateral("processor"), "CRL_ISSUER"),
    "T14 another CA's list beside this chain": (lambda v: v.collateral(pck_crl=v.crl("processor")), "CRL_ISSUER"),
    "T14 a list under a name that is not its key's": (
        lambda v: v.collateral(pck_crl=v.crl(signed_by="processor")),
        "CRL_SIGNATURE",
    ),
    "a root list by another key": (
        lambda v: v.collateral(root_ca_crl=v.crl("root", signed_by="platform")),
        "CRL_SIGNATURE",
    ),
    "a list for CAs alone": (lambda v: v.collateral(pck_crl=v.crl(critical=True)), "CRL_UNSUPPORTED"),
    "a PCK list without an end": (lambda v: v.collateral(pck_crl=_endless("platform")), "CRL_EXPIRED"),
    "a root list without an end": (lambda v: v.collateral(root_ca_crl=_endless("root")), "CRL_EXPIRED"),
    "a list that is none": (lambda v: v.collateral(pck_crl=b"0"), "CRL_MALFORMED"),
    "T15 no PCK list": (lambda v: v.collateral(pck_crl=b""), "CRL_MISSING"),
    "T15 no root list": (lambda v: v.collateral(root_ca_crl=b""), "CRL_MISSING"),
    "T16 TCB info by another key": (
        lambda v: v.collateral(tcb_info_issuer_chain=v.but("signer", key=key("other")).signer.pem + v.root.pem),
        "TCBINFO_SIGNATURE",
    ),
    "T16 a digit of TCB info": (
        lambda v: replace(v.collateral(), tcb_info=v.collateral().tcb_info.replace(b'"svn":5', b'"svn":4', 1)),
        "TCBINFO_SIGNATURE",
    ),
    "T16 a digit of QE identity": (
        lambda v: replace(v.collateral(), qe_identity=v.collateral().qe_identity.replace(b":20,", b":21,", 1)),
        "QEID_SIGNATURE",
    ),
    "T16 TCB info signed by the PCK": (
        lambda v: v.collateral(tcb_info_issuer_chain=platform().chain),
        "COLLATERAL_CHAIN",
    ),
    "T16 signed by a CA": (
        lambda v: v.collateral(tcb_info_issuer_chain=v.ca("platform").pem + v.root.pem),
        "COLLATERAL_CHAIN",
    ),
    "T16 no chain": (lambda v: v.collateral(qe_identity_issuer_chain=b""), "COLLATERAL_CHAIN"),
    "T16 a signer without its root": (lambda v: v.collateral(tcb_info_issuer_chain=v.signer.pem), "COLLATERAL_CHAIN"),
    "T17 tcbInfo twice": (
        lambda v: replace(v.collateral(), tcb_info=b'{"tcbInfo":{},' + v.collateral().tcb_info[1:]),
        "JSON_DUPLICATE_KEY",
    ),
    "T17 tcbInfo twice, once in disguise": (
        lambda v: replace(v.collateral(), tcb_info=b'{"tcb\\u0049nfo":{},' + v.collateral().tcb_info[1:]),
        "JSON_DUPLICATE_KEY",
    ),
    "T17 a key inside twice": (
        lambda v: replace(v.collateral(), tcb_info=_signed_raw(v, b'{"id":"TDX",', b'{"id":"SGX","id":"TDX",')),
        "JSON_DUPLICATE_KEY",
    ),
    "T18 pretty-printed": (
        lambda v: replace(v.collateral(), tcb_info=_pretty(v.collateral().tcb_info)),
        "TCBINFO_SIGNATURE",
    ),
    "T19 another family": (lambda v: v.collateral(tcb_info={"fmspc": "00806F050000"}), "TCBINFO_MISMATCH"),
    "T19 another PCE": (lambda v: v.collateral(tcb_info={"pceId": "0001"}), "TCBINFO_MISMATCH"),
    "T19 for SGX": (lambda v: v.collateral(tee="SGX"), "TCBINFO_MISMATCH"),
    "T20 tcbType 1": (lambda v: v.collateral(tcb_info={"tcbType": 1}), "TCBINFO_FORMAT"),
    "T20 version 4": (lambda v: v.collateral(tcb_info={"version": 4}), "TCBINFO_FORMAT"),
    "T20 version true": (lambda v: v.collateral(tcb_info={"tcbType": False}), "TCBINFO_FORMAT"),
    "T20 no levels": (lambda v: v.collateral(tcb_info={"tcbLevels": []}), "TCBINFO_FORMAT"),
    "T20 a level twice": (lambda v: v.collateral(tcb_info={"tcbLevels": [v.level(), v.level()]}), "TCBINFO_FORMAT"),
    "T20 15 components": (
        lambda v: v.collateral(tcb_info={"tcbLevels": [_tcb(v, sgxtcbcomponents=[{"svn": 1}] * 15)]}),
        "TCBINFO_FORMAT",
    ),
    "T20 a component of 256": (
        lambda v: v.collateral(tcb_info={"tcbLevels": [_tcb(v, sgxtcbcomponents=[{"svn": 256}] * 16)]}),
        "TCBINFO_FORMAT",
    ),
    "T20 a component that is text": (
        lambda v: v.collateral(tcb_info={"tcbLevels": [_tcb(v, sgxtcbcomponents=[{"svn": "1"}] * 16)]}),
        "TCBINFO_FORMAT",
    ),
    "T20 no TDX components": (lambda v: v.collateral(tcb_info={"tcbLevels": [v.level(tdx=None)]}), "TCBINFO_FORMAT"),
    "T20 a status of nobody": (
        lambda v: v.collateral(tcb_info={"tcbLevels": [_level(v, tcbStatus="Fine")]}),
        "TCBINFO_FORMAT",
    ),
    "T20 a status of a relaunch in a document": (
        lambda v: v.collateral(tcb_info={"tcbLevels": [_level(v, tcbStatus="TDRelaunchAdvised")]}),
        "TCBINFO_FORMAT",
    ),
    "T20 a date that is none": (lambda v: v.collateral(tcb_info={"issueDate": "2026-05-01"}), "TCBINFO_FORMAT"),
    "T20 an unknown member": (lambda v: v.collateral(tcb_info={"tdxNewIdentities": []}), "TCBINFO_FORMAT"),
    "T20 a number that is not whole": (lambda v: v.collateral(tcb_info={"tcbType": 0.0}), "TCBINFO_FORMAT"),
    "T20 a level of a module twice": (
        lambda v: v.collateral(
            tcb_info={"tdxModuleIdentities": [v.module(levels=[v.isv_level(5), v.isv_level(5, "Revoked")])]}
        ),
        "TCBINFO_FORMAT",
    ),
    "T20 a module twice": (
        lambda v: v.collateral(tcb_info={"tdxModuleIdentities": [v.module(), v.module("tdx_01")]}),
        "TCBINFO_FORMAT",
    ),
    "QE identity without levels": (lambda v: v.collateral(qe_identity={"tcbLevels": []}), "QEID_FORMAT"),
    "QE identity of version 3": (lambda v: v.collateral(qe_identity={"version": 3}), "QEID_FORMAT"),
    "QE identity with a status that is none of an enclave": (
        lambda v: v.collateral(qe_identity={"tcbLevels": [v.isv_level(4, "ConfigurationNeeded")]}),
        "QEID_FORMAT",
    ),
    "JSON that is none": (lambda v: replace(v.collateral(), tcb_info=b"{"), "TCBINFO_FORMAT"),
    "JSON with something behind": (
        lambda v: replace(v.collateral(), tcb_info=v.collateral().tcb_info + b"{}"),
        "TCBINFO_FORMAT",
    ),
    "JSON with one member more": (
        lambda v: replace(v.collateral(), tcb_info=v.collateral().tcb_info[:-1] + b',"x":1}'),
        "TCBINFO_FORMAT",
    ),
    "JSON without end": (lambda v: replace(v.collateral(), tcb_info=b"[" * 100_000), "TCBINFO_FORMAT"),
    "a signature that is no hexadecimal": (
        lambda v: replace(v.collateral(), tcb_info=v.collateral().tcb_info[:-4] + b'zz"}'),
        "TCBINFO_FORMAT",
    ),
    "a signature with a sign": (
        lambda v: replace(v.collateral(), tcb_info=v.collateral().tcb_info[:-130] + b"+" + b"0" * 127 + b'"}'),
        "TCBINFO_FORMAT",
    ),
    "a signature that is a list": (
        lambda v: replace(v.collateral(), tcb_info=v.collateral().tcb_info[:-131] + b'["0"' + b',"0"' * 127 + b"]}"),
        "TCBINFO_FORMAT",
    ),
    "a document that is a list": (
        lambda v: replace(v.collateral(), tcb_info=v.sign("tcbInfo", b"[]")),
        "TCBINFO_FORMAT",
    ),
    "a signature cut short": (
        lambda v: replace(v.collateral(), qe_identity=v.collateral().qe_identity[:-4] + b'"}'),
        "QEID_FORMAT",
    ),
    "a document that is too large": (
        lambda v: replace(v.collateral(), tcb_info=v.collateral().tcb_info + b" " * (1 << 18)),
        "TCBINFO_FORMAT",
    ),
    "T21 the identity of the other enclave": (
        lambda v: replace(v.collateral(), qe_identity=v.collateral(tee="SGX").qe_identity),
        "QEID_MISMATCH",
    ),
    "T21 the verifying enclave": (lambda v: v.collateral(qe_identity={"id": "QVE"}), "QEID_MISMATCH"),
    "T22 another signer": (lambda v: v.collateral(qe_identity={"mrsigner": "00" * 32}), "QE_REPORT_MISMATCH"),
    "T22 another product": (lambda v: v.collateral(qe_identity={"isvprodid": 3}), "QE_REPORT_MISMATCH"),
    "T22 MISCSELECT": (lambda v: v.collateral(qe_identity={"miscselect": "01000000"}), "QE_REPORT_MISMATCH"),
    "T22 attributes": (lambda v: v.collateral(qe_identity={"attributes": "15" + "00" * 15}), "QE_REPORT_MISMATCH"),
    "T22 a value that its mask hides": (
        lambda v: v.collateral(qe_identity={"attributes": "11" + "00" * 14 + "01"}),
        "QE_REPORT_MISMATCH",
    ),
    "T26 a platform below every level": (
        lambda v: v.collateral(tcb_info={"tcbLevels": [v.level(sgx=[4] * 16)]}),
        "TCB_NOT_SUPPORTED",
    ),
    "T26 PCESVN below every level": (
        lambda v: v.collateral(tcb_info={"tcbLevels": [v.level(pcesvn=14)]}),
        "TCB_NOT_SUPPORTED",
    ),
    "T26 TEE_TCB_SVN below every level": (
        lambda v: v.collateral(tcb_info={"tcbLevels": [v.level(tdx=[5, 0, 3, *[0] * 13])]}),
        "TCB_NOT_SUPPORTED",
    ),
    "T28 no identity of this module": (
        lambda v: v.collateral(tcb_info={"tdxModuleIdentities": [v.module("TDX_03")]}),
        "TDX_MODULE_MISMATCH",
    ),
    "T28 no identities": (lambda v: v.collateral(tcb_info={"tdxModuleIdentities": None}), "TDX_MODULE_MISMATCH"),
    "T28 another signer of the module": (
        lambda v: v.collateral(tcb_info={"tdxModuleIdentities": [{**v.module(), "mrsigner": "01" * 48}]}),
        "TDX_MODULE_MISMATCH",
    ),
    "T28 a module that should have attributes": (
        lambda v: v.collateral(tcb_info={"tdxModuleIdentities": [{**v.module(), "attributes": "01" + "00" * 7}]}),
        "TDX_MODULE_MISMATCH",
    ),
    "T28 a module below every level": (
        lambda v: v.collateral(tcb_info={"tdxModuleIdentities": [v.module(levels=[v.isv_level(6)])]}),
        "TCB_NOT_SUPPORTED",
    ),
    "T30 an enclave below every level": (
        lambda v: v.collateral(qe_identity={"tcbLevels": [v.isv_level(9)]}),
        "TCB_NOT_SUPPORTED",
    ),
}


def _endless(name: str) -> bytes:
    return without_next_update(intel().crl(name), lambda tbs: key(name).sign(tbs, ec.ECDSA(SHA256())))


def _signed_raw(vendor: Intel, old: bytes, new: bytes) -> bytes:
    raw = json.dumps(vendor.tcb_info(), separators=(",", ":")).encode().replace(old, new, 1)
    return vendor.sign("tcbInfo", raw)


def _pretty(body: bytes) -> bytes:
    return json.dumps(json.loads(body), indent=1).encode()


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_with_collateral(case: str) -> None:
    make, check = WRONG[case]
    with refused(check):
        judge(QUOTE, make(intel()))


# name: (the vendor, with a certificate that is wrong, the check that refuses)
CHAINS: dict[str, tuple[Intel, str]] = {
    "T11 a root of the same name": (intel().but("root", key=key("rogue"), issuer_key=key("rogue")), "CHAIN_SIGNATURE"),
    "T11 a CA of another name": (intel().but("platform", subject="Intel SGX PCK Something CA"), "PCK_CHAIN"),
    "T11 a CA that the root did not sign": (intel().but("platform", issuer_key=key("other")), "CHAIN_SIGNATURE"),
    "T12 a CA that is none": (intel().but("platform", ca=False, path_length=None), "CERT_NOT_CA"),
    "T12 a CA that may not issue": (intel().but("platform", signs=False), "CERT_NOT_CA"),
    "T13 a CA of yesterday": (intel().but("platform", not_after=NOW - SECOND), "CERT_EXPIRED"),
    "T13 a CA of tomorrow": (intel().but("platform", not_before=NOW + SECOND), "CERT_NOT_YET_VALID"),
    "T13 a signer of yesterday": (intel().but("signer", not_after=NOW - SECOND), "CERT_EXPIRED"),
    "T13 a signer of tomorrow": (intel().but("signer", not_before=NOW + SECOND), "CERT_NOT_YET_VALID"),
    "a signer of another name": (intel().but("signer", subject="Intel SGX Signing"), "COLLATERAL_CHAIN"),
    "a signer that is a CA": (intel().but("signer", ca=True), "CERT_NOT_CA"),
    "a signer that the root did not sign": (intel().but("signer", issuer_key=key("other")), "CHAIN_SIGNATURE"),
    "an extension that nobody understands": (intel().but("platform", critical="1.2.3.4"), "CERT_EXTENSIONS"),
}


@pytest.mark.parametrize("case", CHAINS)
def test_what_is_wrong_with_a_chain(case: str) -> None:
    vendor, check = CHAINS[case]
    checks = (check, "PCK_ROOT_NOT_PINNED") if case == "T11 a root of the same name" else (check,)
    with refused(*checks):
        judge(vendor.platform().quote(DATA), vendor.collateral())


# name: (changes of the PCK certificate, the check that refuses)
LEAVES: dict[str, tuple[dict[str, object], str]] = {
    "T12 a CA as leaf": ({"ca": True}, "CERT_NOT_CA"),
    "T12 another name": ({"subject": "Intel SGX TCB Signing"}, "PCK_CHAIN"),
    "T13 yesterday": ({"not_after": NOW - SECOND}, "CERT_EXPIRED"),
    "T13 tomorrow": ({"not_before": NOW + SECOND}, "CERT_NOT_YET_VALID"),
    "no extension": ({"bare": True}, "PCK_EXTENSION"),
    "an FMSPC of 5 bytes": ({"sgx": Sgx(fmspc=bytes(5))}, "PCK_EXTENSION"),
    "no PPID": ({"sgx": Sgx(drop=1)}, "PCK_EXTENSION"),
    "no TCB": ({"sgx": Sgx(drop=2)}, "PCK_EXTENSION"),
    "a member twice": ({"sgx": Sgx(twice=4)}, "PCK_EXTENSION"),
    "15 components": ({"sgx": Sgx(components=[1] * 15)}, "PCK_EXTENSION"),
    "a component of 256": ({"sgx": Sgx(components=[0] * 15 + [256], cpusvn=bytes(16))}, "PCK_EXTENSION"),
    "CPUSVN that is not its components": ({"sgx": Sgx(cpusvn=b"\1" * 16)}, "PCK_EXTENSION"),
    "something that is no pair": ({"sgx": Sgx(extra=b"\x05\x00")}, "PCK_EXTENSION"),
}


@pytest.mark.parametrize("case", LEAVES)
def test_what_is_wrong_with_a_pck(case: str) -> None:
    changes, check = LEAVES[case]
    with refused(check):
        judge(intel().platform(**changes).quote(DATA))  # type: ignore[arg-type]


def test_what_intel_may_add_to_the_extension() -> None:
    more = bytes.fromhex("300e06092a864886f84d010d63040101")
    found = judge(intel().platform(sgx=Sgx(extra=more)).quote(DATA))
    assert td_of(found).pck.components[:4] == (3, 3, 2, 2)
    large = [255] * 16
    assert td_of(judge(intel().platform(sgx=Sgx(components=large)).quote(DATA))).pck.components == tuple(large)


def _other_anchors() -> Anchors:
    """A root of the same name, and another key."""
    (root,) = intel().anchors.intel
    return replace(intel().anchors, intel=(replace(root, spki_sha256=bytes(32)),))


def test_t11_a_vendor_whose_root_is_not_pinned() -> None:
    with refused("PCK_ROOT_NOT_PINNED"):
        judge(QUOTE, anchors=Anchors(amd=(), intel=(), simulated=True))
    with refused("PCK_ROOT_NOT_PINNED"):
        judge(
            QUOTE, anchors=replace(intel().anchors, intel=(replace(intel().anchors.intel[0], spki_sha256=bytes(32)),))
        )


def test_t12_a_chain_of_the_signing_branch() -> None:
    vendor = intel()
    wrong = {
        "the signer as leaf": vendor.signer.pem + vendor.ca("platform").pem + vendor.root.pem,
        "no CA": platform().pck.pem + vendor.root.pem,
        "the CA twice": platform().pck.pem + vendor.ca("platform").pem * 2 + vendor.root.pem,
        "from the root down": vendor.root.pem + vendor.ca("platform").pem + platform().pck.pem,
        "nothing": b"",
    }
    for chain in wrong.values():
        form = Form(certification=(5, chain or b"\0"))
        with refused("PCK_CHAIN"):
            judge(platform().quote(DATA, form=form))
    other_ca = platform().pck.pem + vendor.ca("processor").pem + vendor.root.pem
    with refused("CHAIN_SIGNATURE"):
        judge(platform().quote(DATA, form=Form(certification=(5, other_ca))))


# name: (what is done to the text of a chain)
TEXTS: dict[str, Callable[[bytes], bytes]] = {
    "text before": lambda pem: b"x\n" + pem,
    "an empty line between": lambda pem: pem.replace(b"-----END CERTIFICATE-----\n", b"-----END CERTIFICATE-----\n\n"),
    "short lines": lambda pem: pem.replace(b"\nMII", b"\nM\nII", 1),
    "a line of one letter more": lambda pem: _moved(pem, 1),
    "a line of one letter less": lambda pem: _moved(pem, -1),
    "an empty line at the end": lambda pem: pem.replace(b"\n-----END", b"\n\n-----END", 1),
    "one long line": lambda pem: pem[:200].replace(b"\n", b"") + pem[200:],
    "another label": lambda pem: pem.replace(b"BEGIN CERTIFICATE", b"BEGIN X509 CERTIFICATE", 1),
    "spaces": lambda pem: pem.replace(b"MII", b" MII", 1),
    "nine certificates": lambda pem: pem * 3,
    "text behind": lambda pem: pem + b"x",
    "zeros inside": lambda pem: pem.replace(b"\n", b"\n\0", 1),
}


def _moved(pem: bytes, by: int) -> bytes:
    """The end of the second line stands elsewhere; there are as many lines as before."""
    at = pem.index(b"\n", pem.index(b"\n", pem.index(b"\n") + 1) + 1)
    text = pem[:at] + pem[at + 1 :]
    return text[: at + by] + b"\n" + text[at + by :]


@pytest.mark.parametrize("case", TEXTS)
def test_one_way_to_write_a_chain(case: str) -> None:
    with refused("CERT_MALFORMED"):
        judge(platform().quote(DATA, form=Form(certification=(5, TEXTS[case](platform().chain)))))


def test_bits_to_spare_in_base64() -> None:
    """A certificate whose last group has unused bits: with them set it is the same certificate in another text."""
    for number in range(2, 40):
        made = intel().platform(number=number)
        if len(made.pck.der) % 3:
            text = made.pck.pem.rstrip().rsplit(b"\n", 1)[0]
            body = text.rstrip(b"=")
            changed = body[:-1] + bytes([body[-1] + 1]) + text[len(body) :] + b"\n-----END CERTIFICATE-----\n"
            with refused("CERT_MALFORMED"):
                judge(made.quote(DATA, form=Form(certification=(5, made.chain.replace(made.pck.pem, changed)))))
            return
    raise AssertionError("no certificate with bits to spare")


def test_no_collateral_is_a_named_failure_and_comes_last() -> None:
    with refused("COLLATERAL_MISSING"):
        judge(QUOTE, tdx=())
    with refused("QUOTE_SIGNATURE"):
        judge(platform().quote(DATA, signer=key("other")), tdx=())


def test_the_right_one_of_several_is_found() -> None:
    other = intel().collateral(tcb_info={"fmspc": "00806F050000"})
    processor = intel().collateral("processor")
    stale = intel().collateral(pck_crl=intel().crl(end=NOW - SECOND))
    judge(QUOTE, other, processor, stale, collateral())
    with refused("CRL_EXPIRED"):
        judge(QUOTE, stale, other)
    judge(intel().platform("processor").quote(DATA), collateral(), processor)


@pytest.mark.parametrize("spelled", [str.lower, str.upper])
def test_t19_hexadecimal_in_either_case(spelled: Callable[[str], str]) -> None:
    fmspc, signer = intel().tcb_info()["fmspc"], intel().qe_identity()["mrsigner"]
    judge(QUOTE, intel().collateral(tcb_info={"fmspc": spelled(fmspc)}, qe_identity={"mrsigner": spelled(signer)}))


def test_t15_lists_may_be_optional_and_then_it_says_so() -> None:
    bare = intel().collateral(pck_crl=b"", root_ca_crl=b"")
    found = judge(QUOTE, bare, revocation="optional")
    assert [f.outcome for f in found.findings if f.check == "CERT_REVOKED"] == [Outcome.SKIPPED] * 2
    with refused("CERT_REVOKED"):
        judge(QUOTE, intel().collateral(pck_crl=intel().crl(revoked=[101])), revocation="optional")


def test_t13_both_ends_are_inside() -> None:
    ends = {"issueDate": "2026-05-01T12:00:00Z", "nextUpdate": "2026-05-01T12:00:00Z"}
    judge(QUOTE, intel().collateral(tcb_info=ends, qe_identity=ends))
    judge(QUOTE, intel().collateral(pck_crl=intel().crl(start=NOW, end=NOW)))


def test_what_is_kept_spares_signatures_and_nothing_else() -> None:
    first = judge(QUOTE)
    again = judge(platform().quote(DATA, mr_td=b"\7" * 48), kept=first.kept).kept
    assert (again.tdx, _bare(again)) == (first.kept.tdx, _bare(first.kept))
    for late in (NOW + 29 * DAY + SECOND, NOW - DAY - SECOND):
        with refused("COLLATERAL_EXPIRED", "COLLATERAL_NOT_YET_VALID", "CRL_EXPIRED", "CRL_NOT_YET_VALID"):
            judge(QUOTE, kept=first.kept, now=late)
    with refused("CERT_REVOKED"):
        judge(QUOTE, intel().collateral(pck_crl=intel().crl(revoked=[101])), kept=first.kept)
    with refused("PCK_ROOT_NOT_PINNED"):
        judge(QUOTE, kept=first.kept, anchors=_other_anchors())
    with refused("COLLATERAL_MISSING"):
        judge(QUOTE, kept=first.kept, tdx=())
    with refused("QUOTE_SIGNATURE"):
        judge(platform().quote(DATA, signer=key("other")), kept=first.kept)


def _bare(kept: Kept) -> list[VerifiedChain]:
    return [replace(chain, vouched=None) for chain in kept.pck_chains]


_QE_REPORT = 48 + 584 + 4 + 64 + 64 + 2 + 4
# name: (the byte that is changed, the check that refuses)
VOUCHED: dict[str, tuple[int, str]] = {
    "MRENCLAVE of the enclave's report": (_QE_REPORT + 64, "QE_REPORT_SIGNATURE"),
    "REPORTDATA of the enclave's report": (_QE_REPORT + 320, "QE_REPORT_SIGNATURE"),
    "its signature": (_QE_REPORT + 384, "QE_REPORT_SIGNATURE"),
    "the attestation key": (_QE_REPORT - 6 - 64, "QE_BINDING"),
    "authentication data": (_QE_REPORT + 384 + 64 + 2, "QE_BINDING"),
    "the signed body": (48 + 200, "QUOTE_SIGNATURE"),
}


@pytest.mark.parametrize("case", VOUCHED)
def test_what_vouched_before_vouches_for_nothing_else(case: str) -> None:
    at, check = VOUCHED[case]
    with refused(check):
        judge(QUOTE[:at] + bytes([QUOTE[at] ^ 1]) + QUOTE[at + 1 :], kept=judge(QUOTE).kept)


def test_an_enclave_that_another_platform_vouched_for_is_looked_at() -> None:
    kept, others = judge(QUOTE).kept, judge(intel().platform(number=2).quote(DATA)).kept
    mixed = replace(kept.pck_chains[0], vouched=others.pck_chains[0].vouched)
    assert judge(QUOTE, kept=replace(kept, pck_chains=(mixed,))).kept == kept


def test_each_signature_is_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nine with nothing kept: PCK, its CA, the signer, two documents, two lists, the enclave, the quote; then one."""
    checked: list[bytes] = []

    def count(_spki: bytes, digest: bytes, _signature: bytes, _algorithm: object) -> bool:
        checked.append(digest)
        return True

    monkeypatch.setattr("attest.ecdsa._verifies", count)
    kept = judge(QUOTE).kept
    assert len(checked) == len(set(checked)) == 9
    judge(QUOTE, kept=kept)
    assert len(checked) == 10


def test_kept_parts_are_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = judge(QUOTE).kept
    monkeypatch.setattr("attest.tdx.chain.load_certificate", None)
    monkeypatch.setattr("attest.tdx.collateral.read_signed", None)
    assert judge(QUOTE, kept=kept).kept == kept


def test_which_collateral_is_needed() -> None:
    assert needed(QUOTE).__class__.__name__ == "Needed"
    found = needed(intel().platform("processor").quote(DATA))
    assert found is not None
    assert (found.fmspc.hex(), found.ca, found.tee) == ("90c06f000000", "processor", "TDX")
    assert needed(platform().quote(DATA, form=Form(certification=(3, bytes(404))))) is None


def test_t39_binding() -> None:
    common = {"now": NOW, "revocation": "required"}
    given = Collateral(tdx=(collateral(),))
    with refused("REPORT_DATA_MISMATCH"):
        verify(TdxEvidence(quote=QUOTE), given, intel().anchors, report_data=bytes(64), **common)  # type: ignore[arg-type]
    for short in (b"", DATA[:32], None):
        with refused("NONCE_REQUIRED"):
            verify(TdxEvidence(quote=QUOTE), given, intel().anchors, report_data=short, **common)  # type: ignore[arg-type]


# Another vendor whose root is pinned too, with the same names and the same serials.
SECOND_ROOT = intel().but("root", key=key("second"), issuer_key=key("second"))
SECOND_VENDOR = replace(
    SECOND_ROOT,
    changed={**SECOND_ROOT.changed, **{role: {"issuer_key": key("second")} for role in ("platform", "signer")}},
)


def _both() -> Anchors:
    (first,) = intel().anchors.intel
    spki = hashlib.sha256(load_certificate(SECOND_VENDOR.root.der, path="root").spki).digest()
    second = replace(first, spki_sha256=spki, certificate_sha256=bytes(32))
    return Anchors(amd=(), intel=(first, second), simulated=True)


def _by_second(name: str) -> bytes:
    return intel().crl(name, signed_by="second")


# name: (collateral of two pinned roots, the checks that refuse)
MIXED: dict[str, tuple[TdxCollateral, tuple[str, ...]]] = {
    "all of the other root": (
        SECOND_VENDOR.collateral(root_ca_crl=_by_second("root")),
        ("CRL_ISSUER",),
    ),
    "QE identity of the other": (
        replace(
            intel().collateral(),
            qe_identity=SECOND_VENDOR.collateral().qe_identity,
            qe_identity_issuer_chain=SECOND_VENDOR.signer.pem + SECOND_VENDOR.root.pem,
        ),
        ("COLLATERAL_CHAIN",),
    ),
    "a PCK list of the other": (
        replace(intel().collateral(), pck_crl_issuer_chain=SECOND_VENDOR.ca("platform").pem + SECOND_VENDOR.root.pem),
        ("COLLATERAL_CHAIN",),
    ),
    "a root list of the other": (replace(intel().collateral(), root_ca_crl=_by_second("root")), ("CRL_SIGNATURE",)),
}


@pytest.mark.parametrize("case", MIXED)
def test_what_one_root_says_of_what_another_issued_is_nothing(case: str) -> None:
    given, checks = MIXED[case]
    assert judge(QUOTE, anchors=_both()).claims.tdx is not None
    with refused(*checks):
        judge(QUOTE, given, anchors=_both())


def test_a_list_is_of_this_ca_by_name_and_by_key() -> None:
    chain = authenticate_pck(platform().chain, Bench(intel().anchors))
    found = authenticate_collateral(collateral(), Bench(intel().anchors))
    assert found.pck_crl is not None
    assert {f.outcome for f in check_not_revoked(chain, found, required=True)} == {Outcome.PASSED}
    for other in (found.pck_crl._replace(issuer=b"other"), found.pck_crl._replace(issuer_spki=b"other")):
        with refused("CRL_ISSUER"):
            check_not_revoked(chain, replace(found, pck_crl=other), required=True)


def test_t11_the_pinned_key_under_another_name_is_no_root() -> None:
    vendor = intel().but("root", subject="Intel SGX Other CA", issuer="Intel SGX Other CA")
    for role in ("platform", "signer"):
        vendor = vendor.but(role, issuer="Intel SGX Other CA")
    with refused("PCK_ROOT_NOT_PINNED"):
        judge(
            vendor.platform().quote(DATA), vendor.collateral(root_ca_crl=intel().crl("root", name="Intel SGX Other CA"))
        )


def test_what_was_kept_under_a_root_that_is_no_longer_pinned() -> None:
    """Neither the chain nor the documents are taken for verified: each is refused by itself."""
    kept = judge(QUOTE).kept
    anchors = _other_anchors()
    common: dict[str, Any] = {"now": NOW, "revocation_required": True}
    with pytest.raises(AttestError) as caught:
        verify_quote(QUOTE, [collateral()], anchors, chains=kept.pck_chains, kept=kept.tdx, **common)
    assert (caught.value.check, caught.value.path) == ("PCK_ROOT_NOT_PINNED", "root")
    vendor = SECOND_VENDOR
    quote, own = vendor.platform().quote(DATA), collateral()
    with pytest.raises(AttestError) as caught:
        verify_quote(quote, [own], replace(_both(), intel=_both().intel[1:]), kept=kept.tdx, **common)
    assert (caught.value.check, caught.value.path) == ("PCK_ROOT_NOT_PINNED", "tcb_info_issuer_chain.root")
