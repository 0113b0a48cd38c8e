"""Rows T24, T32, T35 to T40: what a profile finds, and what no profile lifts."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from attest.appraise import Appraisal, appraise
from attest.ear import vector_of
from attest.finding import Finding, Outcome, acceptable
from attest.profile import Claims, Profile, bound_init_data
from attest.reference import ReferenceSet
from attest.tdx.appraise import appraise_sgx, appraise_tdx
from attest.tdx.claims import SgxClaims, TcbStatus
from attest.tdx.profile import TdxProfile
from attest.tdx.verify import verify_quote
from tests.attest.refusal import refused
from tests.attest.snp.made import claims as snp_claims
from tests.attest.tdx.made import DATA, NOW, claims, intel, platform, td_of
from tests.makers.intel import FMSPC, time_text
from tests.makers.quote import td_report

V = intel()
DAY = dt.timedelta(days=1)
VALUE: dict[str, Any] = {
    "name": "image-1", "platform": "tdx", "covers": ["firmware", "kernel", "initrd", "cmdline"],
    "measurement": "d1" * 48, "rtmr0": "a0" * 48, "rtmr1": "a1" * 48, "rtmr2": "a2" * 48,
}  # fmt: skip
REFERENCES = ReferenceSet.parse({"name": "images", "values": [VALUE]})
SEPT = 1 << 28


def _appraise(profile: Mapping[str, Any], of: Claims | None = None, *references: ReferenceSet) -> Appraisal:
    return appraise(of or claims(), Profile.parse({"tdx": dict(profile)}), references or [REFERENCES])


def _failed(findings: tuple[Finding, ...]) -> set[tuple[str, str]]:
    return {(f.check, f.path) for f in findings if f.outcome is Outcome.FAILED}


def test_good_is_acceptable() -> None:
    found = _appraise({})
    assert acceptable(found.findings)
    assert found.matched == REFERENCES.values[0]
    vector = vector_of(found.findings).document()
    assert (vector["executables"], vector["hardware"], vector["runtime-opaque"]) == (3, 2, 2)


# name: (profile, fields of the TD's report, the check that fails, its path)
REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str, str]] = {
    "T35 DEBUG": ({}, {"td_attributes": SEPT | 1}, "TD_DEBUG", "report.td_attributes.tud"),
    "T35 a profiling bit": ({}, {"td_attributes": SEPT | 1 << 5}, "TD_DEBUG", "report.td_attributes.tud"),
    "T35 a bit of the group without a name": (
        {},
        {"td_attributes": SEPT | 1 << 7},
        "TD_DEBUG",
        "report.td_attributes.tud",
    ),
    "T36 a reserved bit": ({}, {"td_attributes": SEPT | 1 << 40}, "TD_ATTRIBUTES", "report.td_attributes.reserved"),
    "T36 PERFMON": ({}, {"td_attributes": SEPT | 1 << 63}, "TD_ATTRIBUTES", "report.td_attributes"),
    "T36 PKS where none is allowed": (
        {"allow_attributes": ["lass"]},
        {"td_attributes": SEPT | 1 << 30},
        "TD_ATTRIBUTES",
        "report.td_attributes",
    ),
    "T36 XFAM without SSE": ({}, {"xfam": 1}, "TD_XFAM", "report.xfam"),
    "T36 XFAM beyond its mask": ({}, {"xfam": 3 | 1 << 20}, "TD_XFAM", "report.xfam"),
    "T37 MIGRATABLE": (
        {},
        {"td_attributes": SEPT | 1 << 29},
        "TD_MIGRATABLE",
        "report.td_attributes.migratable",
    ),
    "T37 a service TD": (
        {},
        {"report": "1.5", "mr_servicetd": b"\x5d" * 48},
        "TD_SERVICE_TD",
        "report.mr_servicetd",
    ),
    "T37 another service TD": (
        {"service_tds": ["5e" * 48]},
        {"report": "1.5", "mr_servicetd": b"\x5d" * 48},
        "TD_SERVICE_TD",
        "report.mr_servicetd",
    ),
    "Z6 SEPT_VE_DISABLE": ({}, {"td_attributes": 0}, "TD_SEPT_VE", "report.td_attributes.sept_ve_disable"),
    "T40 MRTD": ({"mr_td": ["11" * 48]}, {}, "POLICY_MR_TD", "report.mr_td"),
    "T40 MRSEAM": ({"mr_seam": ["11" * 48]}, {}, "POLICY_MR_SEAM", "report.mr_seam"),
    "T40 MRCONFIGID": ({"mr_config_id": ["11" * 48]}, {}, "POLICY_MR_CONFIG_ID", "report.mr_config_id"),
    "T40 MROWNER": ({"mr_owner": ["11" * 48]}, {}, "POLICY_MR_OWNER", "report.mr_owner"),
    "T40 MROWNERCONFIG": ({"mr_owner_config": ["11" * 48]}, {}, "POLICY_MR_OWNER_CONFIG", "report.mr_owner_config"),
    "T40 RTMR3": ({"rtmr3": ["11" * 48]}, {}, "POLICY_RTMR3", "report.rtmr3"),
    "another family": ({"fmspcs": ["00806f050000"]}, {}, "POLICY_FMSPC", "pck.fmspc"),
    "another platform": ({"ppids": ["00" * 16]}, {}, "POLICY_PPID", "pck.ppid"),
    "another instance": (
        {"platform_instance_ids": ["00" * 16]},
        {},
        "POLICY_PLATFORM_INSTANCE",
        "pck.platform_instance_id",
    ),
    "SMT": ({"allow_smt": False}, {}, "PLATFORM_SMT_ENABLED", "pck.smt_enabled"),
    "a dynamic platform": (
        {"allow_dynamic_platform": False},
        {},
        "PLATFORM_DYNAMIC_PLATFORM",
        "pck.dynamic_platform",
    ),
    "T24 TCB info of an older recovery": (
        {"minimum_tcb_evaluation": 21},
        {},
        "TCB_EVAL_NUMBER",
        "tcb_info.tcb_evaluation_data_number",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_profile_refuses(case: str) -> None:
    profile, fields, check, path = REFUSED[case]
    findings = _appraise(profile, claims(**fields)).findings
    assert (check, path) in _failed(findings), [f for f in findings if f.check == check]
    assert not acceptable(findings)


# name: (profile, fields of the TD's report)
ACCEPTED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "PKS, KL and LASS": ({}, {"td_attributes": SEPT | 1 << 30 | 1 << 31 | 1 << 27}),
    "PERFMON where it is allowed": ({"allow_attributes": ["perfmon"]}, {"td_attributes": SEPT | 1 << 63}),
    "SEPT_VE_DISABLE where it is not asked for": ({"require_sept_ve_disable": False}, {"td_attributes": 0}),
    "a service TD that is listed": ({"service_tds": ["5d" * 48]}, {"report": "1.5", "mr_servicetd": b"\x5d" * 48}),
    "no service TD": ({"service_tds": ["5d" * 48]}, {"report": "1.5"}),
    "everything as listed": ({"mr_td": ["d1" * 48], "fmspcs": [FMSPC.hex()], "rtmr1": ["a1" * 48]}, {}),
    "T24 at the minimum": ({"minimum_tcb_evaluation": 20}, {}),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_what_a_profile_accepts(case: str) -> None:
    profile, fields = ACCEPTED[case]
    findings = _appraise(profile, claims(**fields)).findings
    assert acceptable(findings), _failed(findings)


def test_t24_both_numbers_count() -> None:
    old = claims(offered=(V.collateral(qe_identity={"tcbEvaluationDataNumber": 19}),))
    found = _failed(_appraise({"minimum_tcb_evaluation": 20}, old).findings)
    assert found == {("TCB_EVAL_NUMBER", "qe_identity.tcb_evaluation_data_number")}


def _old(status: str = "OutOfDate", *advisories: str) -> Claims:
    level = V.level(status, advisories=advisories, date="2024-03-13T00:00:00Z")
    return claims(offered=(V.collateral(tcb_info={"tcbLevels": [level]}),))


@pytest.mark.parametrize(
    "status",
    ["SWHardeningNeeded", "ConfigurationNeeded", "ConfigurationAndSWHardeningNeeded", "OutOfDate",
     "OutOfDateConfigurationNeeded"],
)  # fmt: skip
def test_t32_a_status_is_accepted_by_name_alone(status: str) -> None:
    assert _failed(_appraise({}, _old(status)).findings) == {("TCB_STATUS_NOT_ACCEPTED", "tcb.status")}
    assert acceptable(_appraise({"accepted_tcb": ["UpToDate", status]}, _old(status)).findings)


def test_t31_revoked_is_refused_whatever_is_accepted() -> None:
    every = ["UpToDate", "OutOfDate", "OutOfDateConfigurationNeeded"]
    assert _failed(_appraise({"accepted_tcb": every}, _old("Revoked")).findings) == {("TCB_REVOKED", "tcb.status")}


GRACE: dict[str, Any] = {
    "fmspc": FMSPC.hex(), "statuses": ["OutOfDate"], "level": "2024-03-13T00:00:00Z", "advisories": ["INTEL-SA-1"],
    "owner": "platform-team", "until": time_text(NOW + DAY),
}  # fmt: skip
# name: (what differs in the exception, the status, the advisories, whether it is excused)
GRACES: dict[str, tuple[dict[str, Any], str, tuple[str, ...], bool]] = {
    "excused": ({}, "OutOfDate", ("INTEL-SA-1",), True),
    "fewer advisories": ({}, "OutOfDate", (), True),
    "an advisory that is not named": ({}, "OutOfDate", ("INTEL-SA-1", "INTEL-SA-2"), False),
    "another status": ({}, "ConfigurationNeeded", (), False),
    "over since this second": ({"until": time_text(NOW)}, "OutOfDate", (), False),
    "over for long": ({"until": time_text(NOW - 90 * DAY)}, "OutOfDate", (), False),
    "another family": ({"fmspc": "00806f050000"}, "OutOfDate", (), False),
    "an older level than is excused": ({"level": "2024-03-13T00:00:01Z"}, "OutOfDate", (), False),
    "a later level than is excused": ({"level": "2023-01-01T00:00:00Z"}, "OutOfDate", (), True),
    "Revoked": ({}, "Revoked", (), False),
}


@pytest.mark.parametrize("case", GRACES)
def test_grace_is_dated_and_ends_by_itself(case: str) -> None:
    changed, status, advisories, excused = GRACES[case]
    found = _appraise({"grace": [GRACE | changed]}, _old(status, *advisories)).findings
    assert acceptable(found) is excused
    (line,) = [f for f in found if f.path == "tcb.status" and f.check != "TCB_GRACE"]
    assert (len([f for f in found if f.check == "TCB_GRACE"]) == 1) is excused
    assert ("platform-team" in line.expected) is excused


def test_references_of_other_boots() -> None:
    for register in ("rtmr0", "rtmr1", "rtmr2"):
        other = ReferenceSet.parse({"name": "images", "values": [VALUE | {register: "ff" * 48}]})
        found = _appraise({}, None, other)
        assert (f"POLICY_{register.upper()}", f"reference.image-1.{register}") in _failed(found.findings)
        assert found.nearest is not None
        assert [d.field for d in found.nearest.differences] == [register]
    other = ReferenceSet.parse({"name": "images", "values": [VALUE | {"measurement": "ff" * 48}]})
    assert ("POLICY_MEASUREMENT", "report.measurement") in _failed(_appraise({}, None, other).findings)


def test_a_value_may_ask_for_more() -> None:
    more = ReferenceSet.parse({"name": "images", "values": [VALUE | {"rtmr3": "33" * 48, "mr_config_id": "44" * 48}]})
    assert not acceptable(_appraise({}, None, more).findings)
    met = claims(rtmr3=b"\x33" * 48, mr_config_id=b"\x44" * 48)
    assert acceptable(_appraise({}, met, more).findings)


def test_values_of_another_platform_are_never_met() -> None:
    snp = ReferenceSet.parse(
        {"name": "guests", "values": [{"name": "g", "measurement": "d1" * 48, "covers": ["firmware"]}]}
    )
    assert not acceptable(_appraise({}, None, snp).findings)
    assert not acceptable(
        appraise(snp_claims(measurement=b"\xd1" * 48), Profile.parse({"snp": {}}), [REFERENCES]).findings
    )


def test_a_platform_that_the_profile_does_not_name() -> None:
    for of, named in ((claims(), "snp"), (snp_claims(), "tdx")):
        found = appraise(of, Profile.parse({named: {}}), [REFERENCES])
        assert ("POLICY_PLATFORM", "platform") in _failed(found.findings)


def test_init_data_is_bound_by_mrconfigid() -> None:
    raw = b'{"job":"train-7"}'
    with refused("INIT_DATA_UNBOUND"):
        bound_init_data(raw, claims(mr_config_id=hashlib.sha256(raw).digest() + bytes(16)))
    assert bound_init_data(raw, claims(mr_config_id=hashlib.sha384(raw).digest())) == {"job": "train-7"}


def test_the_makers_fields_are_the_table_of_intel() -> None:
    assert len(td_report()) == 584
    assert len(td_report(form="1.5")) == 648


SGX_STATUSES = {"UpToDate": None, "OutOfDate": "TCB_STATUS_NOT_ACCEPTED", "Revoked": "TCB_REVOKED"}


@pytest.mark.parametrize("status", SGX_STATUSES)
def test_an_enclave_is_judged_by_debug_init_and_status(status: str) -> None:
    level = V.level(status, tdx=None)
    given = V.collateral(tee="SGX", tcb_info={"tcbLevels": [level]})
    cases: tuple[tuple[int, set[str]], ...] = (
        (5, set()),
        (7, {"report.attributes.debug"}),
        (4, {"report.attributes.init"}),
    )
    for attributes, wrong in cases:
        quote = platform().quote(DATA, tee="SGX", attributes=attributes)
        found = verify_quote(quote, [given], V.anchors, now=NOW, revocation_required=True).claims
        assert isinstance(found, SgxClaims)
        check = SGX_STATUSES[status]
        expected = {("SGX_DEBUG", path) for path in wrong} | ({(check, "tcb.status")} if check else set())
        assert _failed(appraise_sgx(found)) == expected


def test_a_platform_is_met_by_what_it_is_and_expectations_are_hexadecimal() -> None:
    sgx = platform().pck.sgx
    assert sgx is not None
    wanted = {"platform_instance_ids": ["22" * 16], "ppids": [sgx.ppid.hex()]}
    assert acceptable(_appraise(wanted).findings)
    assert not acceptable(_appraise(wanted, claims(made=V.platform(number=2))).findings)
    (line,) = [f for f in _appraise({"mr_td": ["11" * 48]}).findings if f.check == "POLICY_MR_TD"]
    assert (line.expected, line.got) == ("one of: " + "11" * 48, "d1" * 48)


def test_t31_revoked_is_refused_even_by_a_profile_that_no_document_could_say() -> None:
    every = frozenset(TcbStatus)
    grace = TdxProfile.parse({"grace": [GRACE]}).grace[0]
    for profile in (TdxProfile(accepted_tcb=every), TdxProfile(grace=(replace(grace, statuses=every),))):
        assert ("TCB_REVOKED", "tcb.status") in _failed(appraise_tdx(td_of(_old("Revoked")), profile))


@pytest.mark.parametrize("register", ["rtmr0", "rtmr1", "rtmr2"])
def test_a_value_without_what_decides_which_code_runs_is_met_by_nothing(register: str) -> None:
    """No document can say it; a value that is made otherwise is refused all the same."""
    bare = replace(REFERENCES.values[0], **{register: None})  # type: ignore[arg-type]
    assert [d.field for d in bare.differences(claims())] == [register]
