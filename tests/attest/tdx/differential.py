"""Generated cases that mirror the conformance suite of dcap-qvl, and more; with the differences that are known.

Each case is one quote with one set of collateral at one time, good but for one thing. Both verifiers are asked:
dcap-qvl with the maker's root, and ours with a profile that accepts every status that can be accepted, since dcap-qvl
judges attributes and debugging while it verifies.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from attest.anchors import Anchors
from attest.appraise import appraise
from attest.errors import AttestError
from attest.evidence import TdxCollateral
from attest.finding import Outcome
from attest.profile import Claims, Profile
from attest.tdx.appraise import appraise_sgx
from attest.tdx.claims import SgxClaims, TcbStatus
from attest.tdx.verify import Authentic, verify_quote
from tests.attest.tdx.made import NOW, intel, platform
from tests.makers.intel import COMPONENTS, Intel, Platform, Sgx, key
from tests.makers.quote import SGX, Form, point

__all__ = ["DIFFERENCES", "Case", "answer_to", "cases", "judged", "ours"]

V3, V4, V5 = Form(version=3, tee_type=SGX), Form(version=4), Form(version=5)
SECOND = dt.timedelta(seconds=1)
_TAIL = bytes(16) + struct.pack("<H", 13) + bytes(2)


@dataclass(frozen=True, kw_only=True)
class Case:
    """What both verifiers are given."""

    quote: bytes
    collateral: TdxCollateral
    now: dt.datetime = NOW


def _td(made: Platform | None = None, given: TdxCollateral | None = None, now: dt.datetime = NOW, **quote: Any) -> Case:
    return Case(quote=(made or platform()).quote(**quote), collateral=given or intel().collateral(), now=now)


def _enclave(version: Form = V3, *, tee: str = "SGX", **quote: Any) -> Case:
    form = replace(version, tee_type=SGX)
    return Case(quote=platform().quote(tee="SGX", form=form, **quote), collateral=intel().collateral(tee=tee))


def _info(**changes: Any) -> Case:
    return _td(given=intel().collateral(tcb_info=changes))


def _identity(**changes: Any) -> Case:
    return _td(given=intel().collateral(qe_identity=changes))


def _level(**changes: Any) -> Case:
    return _info(tcbLevels=[intel().level(**changes)])


def _form(base: Form = V4, **changes: Any) -> Case:
    return _td(form=replace(base, **changes))


def _vendor(vendor: Intel) -> Case:
    return Case(quote=vendor.platform().quote(), collateral=vendor.collateral())


def _named(kind: int, data: bytes, *, chain: bool) -> Case:
    given = intel().collateral()
    if chain:
        given = replace(given, pck_certificate_chain=platform().chain.rstrip(b"\0"))
    return _td(form=replace(V4, certification=(kind, data)), given=given)


def _changed(at: int, bit: int = 0) -> Case:
    case = _td()
    changed = bytearray(case.quote)
    changed[at] ^= 1 << bit
    return replace(case, quote=bytes(changed))


def _structure() -> dict[str, Callable[[], Case]]:
    signed = 48 + 584
    proof = signed + 4
    enclave = proof + 64 + 64 + 6
    flips = {
        "header": 30, "MRTD": 48 + 140, "quote signature": proof, "attestation key": proof + 66,
        "QE report": enclave + 64, "QE signature": enclave + 384 + 16, "QE auth": enclave + 384 + 64 + 4,
    }  # fmt: skip
    found: dict[str, Callable[[], Case]] = {
        "TDX 4": _td,
        "TDX 5, report 1.0": lambda: _td(form=V5),
        "TDX 5, report 1.5": lambda: _td(report="1.5"),
        "TDX 5, report 1.5 extended": lambda: _td(report="1.5 extended"),
        "SGX 3": _enclave,
        "SGX 4": lambda: _enclave(V4),
        "SGX 5": lambda: _enclave(V5),
        "TDX with the enclave identity of SGX": lambda: _td(
            given=replace(intel().collateral(), qe_identity=intel().collateral(tee="SGX").qe_identity)
        ),
        "SGX with documents of TDX": lambda: _enclave(tee="TDX"),
        "TDX with documents of SGX": lambda: _td(given=intel().collateral(tee="SGX")),
        "cut short": lambda: replace(_td(), quote=_td().quote[:700]),
        "empty": lambda: replace(_td(), quote=b""),
        "zeros follow": lambda: _form(tail=bytes(64)),
        "something follows": lambda: _form(tail=b"\1" * 8),
        "outer type 5": lambda: _form(outer_type=5),
        "slack outside": lambda: _form(outer_slack=bytes(4)),
        "reserved bytes of the header": lambda: _form(svns=b"\1\0\0\0"),
        "reserved bytes of the QE report": lambda: _form(qe_fields={"reserved_96": 1}),
        "another vendor": lambda: _form(vendor=bytes(16)),
        "no authentication data": lambda: _form(qe_auth=b""),
        "much authentication data": lambda: _form(qe_auth=bytes(500)),
        "QE binding": lambda: _form(qe_report_data=bytes(64)),
        "QE binding, second half": lambda: _form(
            qe_report_data=hashlib.sha256(point(key("attestation")) + bytes(range(32))).digest() + b"\1" * 32
        ),
        "quote signed by another key": lambda: _td(signer=key("other")),
        "QE report signed by another key": lambda: Case(
            quote=replace(platform(), pck=replace(platform().pck, key=key("other"))).quote(
                form=replace(V4, certification=(5, platform().chain))
            ),
            collateral=intel().collateral(),
        ),
        "type 5 with a chain beside it": lambda: _named(5, platform().chain, chain=True),
        "type 3 without a chain": lambda: _named(3, bytes(384) + _TAIL, chain=False),
        "type 3 with a chain": lambda: _named(3, bytes(384) + _TAIL, chain=True),
        "type 4 with a chain": lambda: _named(4, platform().pck.pem, chain=True),
        "type 5 without certificates": lambda: _named(5, b"\0", chain=False),
    }
    for version in (0, 1, 2, 6, 0xFFFF):
        found[f"version {version}"] = lambda v=version: _form(version=v)  # type: ignore[misc]
    for kind in (0, 1, 3, 4):
        found[f"key type {kind}"] = lambda k=kind: _form(key_type=k)  # type: ignore[misc]
    for tee in (1, 0x80, 0x82):
        found[f"TEE {tee:#x}"] = lambda t=tee: _form(tee_type=t)  # type: ignore[misc]
    for name, at in flips.items():
        found[f"a bit of {name}"] = lambda a=at: _changed(a)  # type: ignore[misc]
    return found


def _documents() -> dict[str, Callable[[], Case]]:
    vendor = intel()
    return {
        "TCB info expired": lambda: _info(nextUpdate="2026-05-01T11:59:59Z"),
        "TCB info of the future": lambda: _info(issueDate="2026-05-01T12:00:01Z"),
        "TCB info at its last second": lambda: _info(nextUpdate="2026-05-01T12:00:00Z"),
        "TCB info of QVE": lambda: _info(id="QVE"),
        "TCB info of another family": lambda: _info(fmspc="00806F050000"),
        "TCB info with the family in lower case": lambda: _info(fmspc="90c06f000000"),
        "TCB info of another PCE": lambda: _info(pceId="0001"),
        "TCB info without levels": lambda: _info(tcbLevels=[]),
        "TCB info without TDX components": lambda: _level(tdx=None),
        "TCB info with 15 components": lambda: _level(sgx=[1] * 15),
        "TCB info of version 4": lambda: _info(version=4),
        "TCB info with an unknown member": lambda: _info(somethingNew={}),
        "TCB info with an unknown status": lambda: _level(status="Fine"),
        "TCB info signed by another key": lambda: _td(
            given=vendor.collateral(
                tcb_info_issuer_chain=vendor.but("signer", key=key("other")).signer.pem + vendor.root.pem
            )
        ),
        "TCB info with a digit changed": lambda: _td(
            given=replace(vendor.collateral(), tcb_info=vendor.collateral().tcb_info.replace(b'"svn":5', b'"svn":4', 1))
        ),
        "TCB info with a short chain": lambda: _td(given=vendor.collateral(tcb_info_issuer_chain=vendor.signer.pem)),
        "TCB info without a chain": lambda: _td(given=vendor.collateral(tcb_info_issuer_chain=b"")),
        "QE identity expired": lambda: _identity(nextUpdate="2026-05-01T11:59:59Z"),
        "QE identity of the future": lambda: _identity(issueDate="2026-05-01T12:00:01Z"),
        "QE identity of QVE": lambda: _identity(id="QVE"),
        "QE identity with a digit changed": lambda: _td(
            given=replace(vendor.collateral(), qe_identity=vendor.collateral().qe_identity.replace(b":20,", b":21,", 1))
        ),
        "QE identity with a short chain": lambda: _td(
            given=vendor.collateral(qe_identity_issuer_chain=vendor.signer.pem)
        ),
        "QE identity without levels": lambda: _identity(tcbLevels=[]),
        "QE of another signer": lambda: _identity(mrsigner="00" * 32),
        "QE of another product": lambda: _identity(isvprodid=7),
        "QE with another MISCSELECT": lambda: _identity(miscselect="01000000"),
        "QE with other attributes": lambda: _identity(attributes="15" + "00" * 15),
        "QE under debug": lambda: _form(qe_fields={"attributes": 0x13}),
        "QE under debug, hidden by the mask": lambda: _td(
            form=replace(V4, qe_fields={"attributes": 0x13}),
            given=vendor.collateral(qe_identity={"attributesMask": "F9" + "FF" * 7 + "00" * 8}),
        ),
        "QE below every level": lambda: _identity(tcbLevels=[vendor.isv_level(9)]),
        "no PCK list": lambda: _td(given=vendor.collateral(pck_crl=b"")),
        "PCK list expired": lambda: _td(given=vendor.collateral(pck_crl=vendor.crl(end=NOW - SECOND))),
        "PCK listed": lambda: _td(given=vendor.collateral(pck_crl=vendor.crl(revoked=[101]))),
        "CA listed": lambda: _td(given=vendor.collateral(root_ca_crl=vendor.crl("root", revoked=[2]))),
        "signer listed": lambda: _td(given=vendor.collateral(root_ca_crl=vendor.crl("root", revoked=[4]))),
        "the list of the other CA": lambda: _td(given=vendor.collateral("processor")),
        "PCK list by another key": lambda: _td(given=vendor.collateral(pck_crl=vendor.crl(signed_by="processor"))),
        "root list by another key": lambda: _td(
            given=vendor.collateral(root_ca_crl=vendor.crl("root", signed_by="platform"))
        ),
        "everything a year later": lambda: _td(now=NOW + dt.timedelta(days=365)),
        "everything a year earlier": lambda: _td(now=NOW - dt.timedelta(days=365)),
    }


def _chains() -> dict[str, Callable[[], Case]]:
    vendor = intel()
    return {
        "Processor CA": lambda: Case(
            quote=vendor.platform("processor").quote(), collateral=vendor.collateral("processor")
        ),
        "a CA as PCK": lambda: _td(vendor.platform(ca=True)),
        "PCK of another name": lambda: _td(vendor.platform(subject="Intel SGX TCB Signing")),
        "PCK expired": lambda: _td(vendor.platform(not_after=NOW - SECOND)),
        "PCK of the future": lambda: _td(vendor.platform(not_before=NOW + SECOND)),
        "PCK without its extension": lambda: _td(vendor.platform(bare=True)),
        "CA of another name": lambda: _vendor(vendor.but("platform", subject="Intel SGX PCK Something CA")),
        "CA that is none": lambda: _vendor(vendor.but("platform", ca=False, path_length=None)),
        "CA that the root did not sign": lambda: _vendor(vendor.but("platform", issuer_key=key("other"))),
        "CA expired": lambda: _vendor(vendor.but("platform", not_after=NOW - SECOND)),
        "signer expired": lambda: _vendor(vendor.but("signer", not_after=NOW - SECOND)),
        "signer of another name": lambda: _vendor(vendor.but("signer", subject="Somebody")),
        "signer that the root did not sign": lambda: _vendor(vendor.but("signer", issuer_key=key("other"))),
        "the signing branch as PCK chain": lambda: _form(
            certification=(5, vendor.signer.pem + vendor.ca("platform").pem + vendor.root.pem)
        ),
        "CPUSVN that is not its components": lambda: _td(vendor.platform(sgx=Sgx(cpusvn=b"\7" * 16))),
    }


def _levels() -> dict[str, Callable[[], Case]]:
    vendor = intel()
    old_module = [vendor.module(levels=[vendor.isv_level(6), vendor.isv_level(3, "OutOfDate")])]
    found: dict[str, Callable[[], Case]] = {
        "versions above every level": lambda: _td(vendor.platform(sgx=Sgx(components=[9] * 16, pcesvn=99))),
        "a component below": lambda: _td(vendor.platform(sgx=Sgx(components=(1, *COMPONENTS[1:])))),
        "1,3,2 against 1,2,3": lambda: _td(
            vendor.platform(sgx=Sgx(components=(1, 3, 2) + (0,) * 13)),
            vendor.collateral(tcb_info={"tcbLevels": [vendor.level(sgx=(1, 2, 3) + (0,) * 13)]}),
        ),
        "PCESVN below": lambda: _level(pcesvn=99),
        "TDX component 2 below": lambda: _level(tdx=[5, 0, 9, *[0] * 13]),
        "TDX components 0 and 1 below": lambda: _level(tdx=[9, 9, 2, *[0] * 13]),
        "TDX components without a major version": lambda: _td(tee_tcb_svn=bytes([5, 0, 2]) + bytes(13)),
        "no identity of the module": lambda: _info(tdxModuleIdentities=[vendor.module("TDX_03")]),
        "no module at all": lambda: _info(tdxModuleIdentities=None),
        "another signer of the module": lambda: _info(tdxModuleIdentities=[{**vendor.module(), "mrsigner": "01" * 48}]),
        "attributes of the module": lambda: _td(seam_attributes=1),
        "old module": lambda: _info(tdxModuleIdentities=old_module),
        "old module, configuration needed": lambda: _info(
            tdxModuleIdentities=old_module, tcbLevels=[vendor.level("ConfigurationNeeded")]
        ),
        "old module, relaunch advised": lambda: _td(
            report="1.5", tee_tcb_svn2=bytes([6, 1, 2]) + bytes(13),
            given=vendor.collateral(tcb_info={"tdxModuleIdentities": old_module}),
        ),
        "revoked module": lambda: _info(
            tdxModuleIdentities=[vendor.module(levels=[vendor.isv_level(6), vendor.isv_level(3, "Revoked")])]
        ),
        "old enclave": lambda: _identity(tcbLevels=[vendor.isv_level(9), vendor.isv_level(4, "OutOfDate")]),
        "revoked enclave": lambda: _identity(tcbLevels=[vendor.isv_level(9), vendor.isv_level(4, "Revoked")]),
        "revoked on the SGX level alone": lambda: _info(
            tcbLevels=[vendor.level("Revoked", tdx=[5, 0, 3, *[0] * 13]), vendor.level(tdx=[5, 0, 1, *[0] * 13])]
        ),
        "an advisory on UpToDate": lambda: _level(advisories=["INTEL-SA-1"]),
    }  # fmt: skip
    for status in TcbStatus:
        if not status.name.startswith("TDRelaunch"):
            found[f"level {status.name}"] = lambda s=status.name: _level(status=s)  # type: ignore[misc]
    return found


def _policy() -> dict[str, Callable[[], Case]]:
    sept = 1 << 28
    return {
        "TD under debug": lambda: _td(td_attributes=sept | 1),
        "TD without SEPT_VE_DISABLE": lambda: _td(td_attributes=0),
        "TD with a reserved bit": lambda: _td(td_attributes=sept | 1 << 40),
        "TD with PKS": lambda: _td(td_attributes=sept | 1 << 30),
        "TD with KL": lambda: _td(td_attributes=sept | 1 << 31),
        "TD with LASS": lambda: _td(td_attributes=sept | 1 << 27),
        "TD with PERFMON": lambda: _td(td_attributes=sept | 1 << 63),
        "TD that is migratable": lambda: _td(td_attributes=sept | 1 << 29),
        "TD with a service TD": lambda: _td(report="1.5", mr_servicetd=b"\1" * 48),
        "TD without SSE": lambda: _td(xfam=1),
        "enclave under debug": lambda: _enclave(attributes=7),
        "enclave that was never initialised": lambda: _enclave(attributes=4),
    }


def cases() -> Mapping[str, Callable[[], Case]]:
    """Every case by name."""
    return {**_structure(), **_documents(), **_chains(), **_levels(), **_policy()}


_ANY = Profile.parse({"tdx": {"accepted_tcb": [s.name for s in TcbStatus if s is not TcbStatus.Revoked]}})


def judged(found: Authentic) -> str:
    """A status, or what else than the references the profile finds."""
    claims = found.claims
    verdict = claims.tcb_verdict.status
    if isinstance(claims, SgxClaims):
        refused = [f.check for f in appraise_sgx(claims) if f.outcome is Outcome.FAILED]
        never = [check for check in refused if check != "TCB_STATUS_NOT_ACCEPTED"]
        return never[0] if never else verdict.name
    whole = Claims(platform="tdx", simulated=claims.simulated, tdx=claims)
    failed = [f.check for f in appraise(whole, _ANY, []).findings if f.outcome is Outcome.FAILED]
    never = [check for check in failed if check != "POLICY_UNSPECIFIED"]
    return never[0] if never else verdict.name


def answer_to(quote: bytes, collateral: Sequence[TdxCollateral], anchors: Anchors, now: dt.datetime) -> str:
    """Our answer: a status, or the check that refused."""
    try:
        found = verify_quote(quote, collateral, anchors, now=now, revocation_required=True)
    except AttestError as error:
        return error.check
    return judged(found)


def ours(case: Case) -> str:
    """Our answer to a case."""
    return answer_to(case.quote, [case.collateral], intel().anchors, case.now)


# name: why the answers differ. Ours is the first word of each.
DIFFERENCES: Mapping[str, str] = {
    "SGX 4": "accepted: Intel specifies enclaves in versions 4 and 5, dcap-qvl takes them in version 3 alone",
    "SGX 5": "accepted: as in version 4",
    "something follows": "refused: bytes that nobody signed and that are no padding; dcap-qvl ignores them",
    "outer type 5": "refused: versions 4 and 5 have certification data of type 6; dcap-qvl does not look at the type",
    "slack outside": "refused: lengths nest exactly; dcap-qvl ignores what is left over",
    "reserved bytes of the header": "refused: reserved bytes are zero; dcap-qvl ignores them",
    "reserved bytes of the QE report": "refused: reserved bytes are zero; dcap-qvl ignores them",
    "no authentication data": "accepted: its length is Intel's to choose; dcap-qvl wants 32 bytes",
    "much authentication data": "accepted: as above",
    "QE binding, second half": "refused: all 64 bytes of REPORTDATA are compared; dcap-qvl compares 32",
    "TCB info of another PCE": "refused: PCEID is compared as FMSPC is; dcap-qvl skips it",
    "TCB info of version 4": "refused: an unknown version is not read with a known table",
    "TCB info with an unknown member": "refused: a member that nobody evaluates may be what revokes a module",
    "TCB info with a short chain": "refused: the chain has to reach its root; dcap-qvl adds the root itself",
    "QE identity with a short chain": "refused: as above",
    "QE with other attributes": "refused: the identity's value is compared whole; dcap-qvl masks both sides",
    "PCK of another name": "refused: the name is Intel's; dcap-qvl looks at the issuer alone",
    "signer of another name": "refused: documents are signed by the signer and by nobody else below the root",
    "CPUSVN that is not its components": "refused: a certificate that contradicts itself",
    "revoked on the SGX level alone": "refused: revoked is revoked, on whichever level",
    "TD with PERFMON": "refused: not in the default list of attributes; dcap-qvl allows it",
    "TD without SSE": "refused: XFAM always has x87 and SSE; dcap-qvl does not look at XFAM",
    "enclave that was never initialised": "refused: INIT is set in every enclave that runs; dcap-qvl does not look",
}
