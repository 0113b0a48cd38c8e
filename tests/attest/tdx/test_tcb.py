"""Rows T26 to T34: which status follows from which levels, and that every part keeps its own."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from attest.tdx.claims import TcbStatus
from attest.tdx.tcb import merge
from tests.attest.refusal import refused
from tests.attest.tdx.made import intel, verdict
from tests.makers.intel import COMPONENTS, Sgx
from tests.makers.quote import Form

S = TcbStatus
V = intel()
LOW = [max(0, svn - 1) for svn in COMPONENTS]
Parts = dict[str, str]


def _module(status: str, *advisories: str) -> list[dict[str, Any]]:
    return [V.module(levels=[V.isv_level(6), V.isv_level(3, status, advisories=advisories)])]


def _levels(*levels: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"tcb_info": {"tcbLevels": list(levels), **more}}


def _qe(status: str) -> dict[str, Any]:
    return {"qe_identity": {"tcbLevels": [V.isv_level(9), V.isv_level(8, status, advisories=["INTEL-SA-QE"])]}}


OLD_TDX = [5, 0, 1] + [0] * 13
# Two levels that differ in TDX components alone: the platform's SGX part reaches the first, its TDX part the second.
NEW_TDX = [5, 0, 3] + [0] * 13

# name: (changes of collateral, status, status of each part, advisories)
CASES: dict[str, tuple[dict[str, Any], str, Parts, tuple[str, ...]]] = {
    "up to date": ({}, "UpToDate", {"sgx": "UpToDate", "tdx": "UpToDate", "module": "UpToDate", "qe": "UpToDate"}, ()),
    "T29 an old platform under a new module": (
        _levels(V.level("OutOfDate", advisories=["INTEL-SA-1"])),
        "OutOfDate",
        {"tdx": "OutOfDate", "module": "UpToDate"},
        ("INTEL-SA-1",),
    ),
    "T29 an old module on a new platform": (
        {"tcb_info": {"tdxModuleIdentities": _module("OutOfDate", "INTEL-SA-M")}},
        "OutOfDate",
        {"tdx": "UpToDate", "module": "OutOfDate"},
        ("INTEL-SA-M",),
    ),
    "T29 an old module where configuration is needed": (
        _levels(V.level("ConfigurationNeeded"), tdxModuleIdentities=_module("OutOfDate")),
        "OutOfDateConfigurationNeeded",
        {"tdx": "ConfigurationNeeded", "module": "OutOfDate"},
        (),
    ),
    "T29 an old module where both are needed": (
        _levels(V.level("ConfigurationAndSWHardeningNeeded"), tdxModuleIdentities=_module("OutOfDate")),
        "OutOfDateConfigurationNeeded",
        {"tdx": "ConfigurationAndSWHardeningNeeded"},
        (),
    ),
    "T29 an old module where hardening is needed": (
        _levels(V.level("SWHardeningNeeded"), tdxModuleIdentities=_module("OutOfDate")),
        "OutOfDate",
        {"tdx": "SWHardeningNeeded"},
        (),
    ),
    "T30 an old enclave": (_qe("OutOfDate"), "OutOfDate", {"tdx": "UpToDate", "qe": "OutOfDate"}, ("INTEL-SA-QE",)),
    "T30 an old enclave where configuration is needed": (
        {**_levels(V.level("ConfigurationNeeded")), **_qe("OutOfDate")},
        "OutOfDateConfigurationNeeded",
        {"qe": "OutOfDate"},
        ("INTEL-SA-QE",),
    ),
    "T31 a revoked enclave": (_qe("Revoked"), "Revoked", {"qe": "Revoked", "tdx": "UpToDate"}, ("INTEL-SA-QE",)),
    "T31 a revoked module": (
        {"tcb_info": {"tdxModuleIdentities": _module("Revoked")}},
        "Revoked",
        {"module": "Revoked", "tdx": "UpToDate"},
        (),
    ),
    "T31 a revoked platform": (_levels(V.level("Revoked")), "Revoked", {"tdx": "Revoked"}, ()),
    "T31 revoked on the SGX level alone": (
        _levels(V.level("Revoked", tdx=NEW_TDX), V.level("UpToDate", tdx=OLD_TDX)),
        "Revoked",
        {"sgx": "Revoked", "tdx": "UpToDate"},
        (),
    ),
    "T31 revoked on the TDX level alone": (
        _levels(V.level("UpToDate", tdx=NEW_TDX), V.level("Revoked", tdx=OLD_TDX)),
        "Revoked",
        {"sgx": "UpToDate", "tdx": "Revoked"},
        (),
    ),
    "T33 an advisory on UpToDate": (
        _levels(V.level(advisories=["INTEL-SA-2", "INTEL-SA-1"])),
        "UpToDate",
        {"tdx": "UpToDate"},
        ("INTEL-SA-1", "INTEL-SA-2"),
    ),
    "levels in another order": (
        _levels(V.level("OutOfDate", sgx=LOW), V.level("UpToDate")),
        "UpToDate",
        {"sgx": "UpToDate"},
        (),
    ),
    "T27 components 0 and 1 are the module's": (
        _levels(V.level(tdx=[9, 9, 2] + [0] * 13)),
        "UpToDate",
        {"tdx": "UpToDate"},
        (),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_statuses(case: str) -> None:
    changes, status, parts, advisories = CASES[case]
    found = verdict(V.collateral(**changes))
    assert found.status.name == status
    said = {part.name: part.status.name for part in found.parts}
    assert said.keys() == {"sgx", "tdx", "module", "qe"}
    assert parts.items() <= said.items()
    assert found.advisories == advisories


def test_t27_without_a_major_version_they_are_the_platforms() -> None:
    old = bytes([5, 0, 2]) + bytes(13)
    found = verdict(V.collateral(), tee_tcb_svn=old)
    assert [part.name for part in found.parts] == ["sgx", "tdx", "qe"]
    with refused("TCB_NOT_SUPPORTED"):
        verdict(V.collateral(**_levels(V.level(tdx=[6] + [0] * 15))), tee_tcb_svn=old)


def test_pck_versions_count_for_sgx_and_the_quotes_for_tdx() -> None:
    weak = V.platform(sgx=Sgx(components=LOW))
    assert verdict(V.collateral(), made=weak).status is S.OutOfDate
    assert verdict(V.collateral(), tee_tcb_svn=bytes([4, 1, 2]) + bytes(13)).status is S.OutOfDate
    qe = Form(qe_fields={"cpusvn": bytes(16), "isvsvn": 2})
    assert verdict(V.collateral(), form=qe).parts[-1].status is S.OutOfDate


# The module's identity says that 5 is out of date; the platform has since loaded what `svn2` says.
OLD_MODULE = {"tdxModuleIdentities": _module("OutOfDate")}
AFTER = bytes([6, 1, 2]) + bytes(13)

# name: (changes of collateral, tee_tcb_svn2, status)
RELAUNCH: dict[str, tuple[dict[str, Any], bytes, str]] = {
    "advised": ({"tcb_info": OLD_MODULE}, AFTER, "TDRelaunchAdvised"),
    "advised, and configuration": (
        _levels(V.level("ConfigurationNeeded"), **OLD_MODULE),
        AFTER,
        "TDRelaunchAdvisedConfigurationNeeded",
    ),
    "to a module without a major version": (
        {"tcb_info": OLD_MODULE},
        bytes([5, 0, 2]) + bytes(13),
        "TDRelaunchAdvised",
    ),
    "the module is still old": ({"tcb_info": OLD_MODULE}, bytes([5, 1, 2]) + bytes(13), "OutOfDate"),
    "the loader is old": ({"tcb_info": OLD_MODULE}, bytes([6, 1, 1]) + bytes(13), "OutOfDate"),
    "the enclave is old": ({"tcb_info": OLD_MODULE, **_qe("OutOfDate")}, AFTER, "OutOfDate"),
    "the enclave is revoked": ({"tcb_info": OLD_MODULE, **_qe("Revoked")}, AFTER, "Revoked"),
    "the platform is old": (_levels(V.level("OutOfDate"), **OLD_MODULE), AFTER, "OutOfDate"),
    "the platform is revoked": (_levels(V.level("Revoked"), **OLD_MODULE), AFTER, "Revoked"),
    "the module is revoked": ({"tcb_info": {"tdxModuleIdentities": _module("Revoked")}}, AFTER, "Revoked"),
    "what the TD runs on is revoked": (
        _levels(
            V.level(tdx=[5, 0, 3, *[0] * 13]), V.level("Revoked", sgx=[0] * 16, tdx=[5, 0, 2, *[0] * 13]), **OLD_MODULE
        ),
        bytes([6, 1, 3]) + bytes(13),
        "Revoked",
    ),
    "nothing is old": ({}, AFTER, "UpToDate"),
}


@pytest.mark.parametrize("case", RELAUNCH)
def test_t34_relaunch(case: str) -> None:
    changes, svn2, status = RELAUNCH[case]
    assert verdict(V.collateral(**changes), report="1.5", tee_tcb_svn2=svn2).status.name == status


def test_t34_only_for_reports_of_tdx_1_5() -> None:
    assert verdict(V.collateral(tcb_info=OLD_MODULE)).status is S.OutOfDate


def test_t34_a_module_that_nobody_knows_is_no_reason_to_relaunch() -> None:
    with refused("TDX_MODULE_MISMATCH"):
        verdict(V.collateral(tcb_info=OLD_MODULE), report="1.5", tee_tcb_svn2=bytes([6, 9, 2]) + bytes(13))


def test_t23_an_enclave_under_debug_whatever_the_mask() -> None:
    hidden = V.collateral(qe_identity={"attributesMask": "F9" + "FF" * 7 + "00" * 8})
    with refused("QE_DEBUG"):
        verdict(hidden, form=Form(qe_fields={"attributes": 0x13}))


def test_t28_attributes_of_the_module() -> None:
    with refused("TDX_MODULE_MISMATCH"):
        verdict(V.collateral(), seam_attributes=1)
    with refused("TDX_MODULE_MISMATCH"):
        verdict(V.collateral(), mrsigner_seam=b"\1" + bytes(47))


@pytest.mark.parametrize("first", S)
def test_merging_is_the_worst_whatever_the_order(first: TcbStatus) -> None:
    for second in S:
        both = merge([first, second])
        assert both is merge([second, first])
        assert both >= max(first, second)
        assert merge([first, first]) is first
        assert (S.Revoked in (first, second)) == (both is S.Revoked)
    for three in itertools.product(S, repeat=3):
        assert merge(three) is merge([merge(three[:2]), three[2]]), three


def test_what_the_dates_say() -> None:
    found = verdict(V.collateral(tcb_info={"tcbEvaluationDataNumber": 17}))
    assert (found.tcb_info_evaluation, found.qe_identity_evaluation) == (17, 20)
    assert found.tcb_date.isoformat() == "2025-05-14T00:00:00+00:00"
