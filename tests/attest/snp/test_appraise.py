"""Appraisal: rows P1 to P19 of the pitfalls and S3, each with the check that must fail, on authentic claims."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from attest.appraise import Appraisal, appraise
from attest.finding import Outcome, acceptable
from attest.profile import Claims, Profile
from attest.reference import ReferenceSet, ReferenceValue
from tests.attest.snp.made import chip, claims
from tests.makers import amd

MEASUREMENT = bytes(range(48))
HOST_DATA = bytes(range(32))
REFERENCES = ReferenceSet(
    name="trainer",
    values=(
        ReferenceValue(name="other", measurement=b"\7" * 48, covers=frozenset({"firmware"})),
        ReferenceValue(name="good", measurement=MEASUREMENT, covers=frozenset({"firmware", "kernel"})),
    ),
)
TCB = {"bl": 4, "tee": 0, "snp": 24, "ucode": 219}
CSP = "CN=cc-us-east-2.example.com"


def _raw(**changed: int) -> bytes:
    parts = {**TCB, **changed}
    return bytes([parts["bl"], parts["tee"], 0, 0, 0, 0, parts["snp"], parts["ucode"]])


def _appraise(
    profile: Mapping[str, Any], fields: Mapping[str, Any], *, references: tuple[ReferenceSet, ...] = (REFERENCES,)
) -> Appraisal:
    given = {"measurement": MEASUREMENT, **fields}
    made = chip(given.pop("product", "Milan"), given.pop("kind", "VCEK"))
    return appraise(claims(made, **given), Profile.parse({"snp": dict(profile)}), references)


def _failed(appraisal: Appraisal) -> list[str]:
    return [finding.check for finding in appraisal.findings if finding.outcome is Outcome.FAILED]


MINIMUM: dict[str, Any] = {"products": ["milan"]}
V5 = {"version": 5, "launch_mit_vector": 0b0111, "current_mit_vector": 0b1011}

# name: (profile, fields of the report, the checks that fail; none means that it is accepted)
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], list[str]]] = {
    "a healthy guest": ({}, {}, []),
    "S3 version 2 where 3 is asked for": ({"minimum_report_version": 3}, {"version": 2}, ["POLICY_REPORT_VERSION"]),
    "S3 version 3 where 3 is asked for": ({"minimum_report_version": 3}, {}, []),
    "P1 debug": ({}, {"policy": 0xB0000}, ["POLICY_DEBUG"]),
    "P2 migration agent allowed": ({}, {"policy": 0x70000}, ["POLICY_MIGRATE_MA"]),
    "P2 migration agent there": ({}, {"report_id_ma": b"\xff" * 31 + b"\xfe"}, ["POLICY_MIGRATE_MA"]),
    "P2 no migration agent is all ones, not zeros": ({}, {"report_id_ma": bytes(32)}, ["POLICY_MIGRATE_MA"]),
    "P3 SMT allowed by the guest": ({"allow_smt": False}, {}, ["POLICY_SMT"]),
    "P3 SMT not allowed by the guest": ({"allow_smt": False}, {"policy": 0x20000}, []),
    "P3 SMT on the platform": ({"allow_platform_smt": False}, {"platform_info": 1}, ["PLATFORM_SMT"]),
    "P3 no SMT on the platform": ({"allow_platform_smt": False}, {"platform_info": 4}, []),
    "P4 CXL": ({}, {"policy": 0x230000}, ["POLICY_CXL"]),
    "P4 CXL allowed": ({"allow_cxl": True}, {"policy": 0x230000}, []),
    "P4 single socket": ({"require": ["single_socket"]}, {}, ["POLICY_SINGLE_SOCKET"]),
    "P4 XTS": ({"require": ["mem_aes_256_xts"]}, {}, ["POLICY_MEM_AES_256_XTS"]),
    "P4 RAPL": ({"require": ["rapl_dis"]}, {}, ["POLICY_RAPL_DIS"]),
    "P4 ciphertext hiding": ({"require": ["ciphertext_hiding_dram"]}, {}, ["POLICY_CIPHERTEXT_HIDING_DRAM"]),
    "P4 page swap": ({"require": ["page_swap_disable"]}, {}, ["POLICY_PAGE_SWAP_DISABLE"]),
    "P4 all of them": (
        {"require": ["single_socket", "mem_aes_256_xts", "rapl_dis", "ciphertext_hiding_dram", "page_swap_disable"]},
        {"policy": 0x3D30000},
        [],
    ),
    "P5 ABI minor below": ({"minimum_abi": "1.55"}, {"policy": 0x30136}, ["POLICY_ABI"]),
    "P5 ABI major above with a lower minor": ({"minimum_abi": "1.55"}, {"policy": 0x30200}, []),
    "P5 ABI equal": ({"minimum_abi": "1.55"}, {"policy": 0x30137}, []),
    "P6 VMPL 1": ({}, {"vmpl": 1}, ["POLICY_VMPL"]),
    "P6 VMPL 1 where 1 is asked for": ({"vmpl": 1}, {"vmpl": 1}, []),
    "P6 VMPL 0 where 1 is asked for": ({"vmpl": 1}, {}, ["POLICY_VMPL"]),
    "P6 asked for by the host": ({}, {"vmpl": 0xFFFF_FFFF}, ["POLICY_VMPL"]),
    "P7 another measurement": ({}, {"measurement": b"\1" * 48}, ["POLICY_MEASUREMENT"]),
    "P7 a measurement that begins alike": ({}, {"measurement": MEASUREMENT[:47] + b"\0"}, ["POLICY_MEASUREMENT"]),
    "P10 HOST_DATA": ({"host_data": [HOST_DATA.hex()]}, {}, ["POLICY_HOST_DATA"]),
    "P10 HOST_DATA listed": ({"host_data": [HOST_DATA.hex()]}, {"host_data": HOST_DATA}, []),
    "P10 FAMILY_ID": ({"family_ids": ["11" * 16]}, {}, ["POLICY_FAMILY_ID"]),
    "P10 FAMILY_ID listed": ({"family_ids": ["22" * 16, "11" * 16]}, {"family_id": b"\x11" * 16}, []),
    "P10 IMAGE_ID": ({"image_ids": ["11" * 16]}, {}, ["POLICY_IMAGE_ID"]),
    "P10 GUEST_SVN below": ({"minimum_guest_svn": 5}, {"guest_svn": 4}, ["POLICY_GUEST_SVN"]),
    "P10 GUEST_SVN equal": ({"minimum_guest_svn": 5}, {"guest_svn": 5}, []),
    "P10 GUEST_SVN of 17 bits": ({"minimum_guest_svn": 5}, {"guest_svn": 65_547}, []),
    "P10 ID key": ({"id_key_digests": ["11" * 48]}, {}, ["POLICY_ID_KEY"]),
    "P10 ID key listed": ({"id_key_digests": ["11" * 48]}, {"id_key_digest": b"\x11" * 48}, []),
    "P10 author key that is not enabled": (
        {"author_key_digests": ["11" * 48]},
        {"author_key_digest": b"\x11" * 48},
        ["POLICY_AUTHOR_KEY"],
    ),
    "P10 author key listed": (
        {"author_key_digests": ["11" * 48]},
        {"author_key_digest": b"\x11" * 48, "key_info": 1},
        [],
    ),
    "P11 below on both": (
        MINIMUM | {"minimum_tcb": {"milan": {"snp": 255}}},
        {},
        ["TCB_BELOW_MIN", "TCB_BELOW_MIN"],
    ),
    "P11 REPORTED fine, COMMITTED below": (
        MINIMUM | {"minimum_tcb": {"milan": {"snp": 24}}},
        {"committed_tcb": _raw(snp=23)},
        ["TCB_BELOW_MIN", "TCB_INCONSISTENT"],
    ),
    "P11 below the floor of AMD-SB-3019, unasked": (
        {},
        {"kind": "OLD"},
        ["TCB_BELOW_MIN", "TCB_BELOW_MIN"],
    ),
    "P12 ucode higher, SNP lower": (
        MINIMUM | {"minimum_tcb": {"milan": {"snp": 25, "ucode": 100}}},
        {},
        ["TCB_BELOW_MIN", "TCB_BELOW_MIN"],
    ),
    "P13 REPORTED above COMMITTED": (
        {},
        {"committed_tcb": _raw(ucode=218)},
        ["TCB_INCONSISTENT"],
    ),
    "P13 COMMITTED above CURRENT": ({}, {"current_tcb": _raw(bl=3)}, ["TCB_INCONSISTENT"]),
    "P13 CURRENT above in one, below in another": (
        {},
        {"current_tcb": _raw(snp=30, ucode=100)},
        ["TCB_INCONSISTENT"],
    ),
    "P14 provisional firmware": ({}, {"current_tcb": _raw(ucode=255)}, []),
    "P14 provisional firmware, not allowed": (
        {"allow_provisional_firmware": False},
        {"current_tcb": _raw(ucode=255)},
        ["TCB_PROVISIONAL"],
    ),
    "P14 provisional version, not allowed": (
        {"allow_provisional_firmware": False},
        {"current_version": bytes([30, 55, 1, 0])},
        ["TCB_PROVISIONAL"],
    ),
    "P15 launched before the update": (
        MINIMUM | {"minimum_launch_tcb": {"milan": {"snp": 24}}},
        {"launch_tcb": _raw(snp=8)},
        ["TCB_BELOW_MIN"],
    ),
    "P15 nothing asked of the launch": ({}, {"launch_tcb": _raw(snp=8)}, []),
    "P16 alias check": ({"require_platform": ["alias_check_complete"]}, {"platform_info": 1}, ["PLATFORM_ALIAS_CHECK"]),
    "P16 alias check done": ({"require_platform": ["alias_check_complete"]}, {"platform_info": 0x21}, []),
    "P16 other bits": (
        {
            "require_platform": [
                "tsme_en",
                "ecc_en",
                "rapl_dis",
                "ciphertext_hiding_dram_en",
                "iommu_write_safe",
                "sev_tio_en",
            ]
        },
        {"platform_info": 0},
        [
            "PLATFORM_TSME",
            "PLATFORM_ECC",
            "PLATFORM_RAPL_DIS",
            "PLATFORM_CIPHERTEXT_HIDING_DRAM",
            "PLATFORM_IOMMU_WRITE_SAFE",
            "PLATFORM_SEV_TIO",
        ],
    ),
    "S14 genuine 0x65": ({}, {"platform_info": 0x65}, []),
    "S14 an unknown platform bit": ({}, {"platform_info": 0x100}, ["PLATFORM_UNKNOWN"]),
    "S14 an unknown platform bit, allowed": ({"allow_unknown_platform_bits": True}, {"platform_info": 0x100}, []),
    "P17 mitigation missing": ({"mitigations": [0, 2]}, V5, ["MITIGATION_MISSING"]),
    "P17 mitigation there": ({"mitigations": [0, 3]}, V5, []),
    "P17 mitigation missing at launch": ({"launch_mitigations": [3]}, V5, ["MITIGATION_MISSING"]),
    "P17 mitigation there at launch": ({"launch_mitigations": [2]}, V5, []),
    "P17 no vectors before version 5": (
        {"mitigations": [0], "launch_mitigations": [0]},
        {},
        ["MITIGATION_MISSING", "MITIGATION_MISSING"],
    ),
    "P18 chip": ({"chip_ids": ["11" * 64], "signing_keys": ["vcek"]}, {}, ["POLICY_CHIP_ID"]),
    "P18 chip listed": ({"chip_ids": [chip().chip_id.hex()], "signing_keys": ["vcek"]}, {}, []),
    "P18 chip that the VLEK hides": (
        {"chip_ids": [bytes(64).hex()], "signing_keys": ["vcek"]},
        {"kind": "VLEK"},
        ["POLICY_SIGNING_KEY", "POLICY_CHIP_ID"],
    ),
    "P18 provider": ({"csp_ids": ["CN=x"], "signing_keys": ["vlek"]}, {"kind": "VLEK"}, ["POLICY_CSP_ID"]),
    "P18 provider listed": ({"csp_ids": [CSP], "signing_keys": ["vlek"]}, {"kind": "VLEK"}, []),
    "P18 provider of a VCEK": (
        {"csp_ids": [CSP], "signing_keys": ["vlek"]},
        {},
        ["POLICY_SIGNING_KEY", "POLICY_CSP_ID"],
    ),
    "P19 firmware below": ({"minimum_firmware": "1.55.30"}, {}, ["FW_BELOW_MIN", "FW_BELOW_MIN"]),
    "P19 firmware with a higher build and a lower minor": (
        {"minimum_firmware": "1.55.29"},
        {"current_version": bytes([200, 54, 1, 0])},
        ["FW_BELOW_MIN"],
    ),
    "P19 firmware 1.55.100 is above 1.55.29": (
        {"minimum_firmware": "1.55.29"},
        {"current_version": bytes([100, 55, 1, 0]), "committed_version": bytes([100, 55, 1, 0])},
        [],
    ),
    "another product": ({"products": ["genoa"]}, {}, ["POLICY_PRODUCT", "TCB_BELOW_MIN", "TCB_BELOW_MIN"]),
}


@pytest.mark.parametrize("case", CASES)
def test_findings(case: str) -> None:
    profile, fields, expected = CASES[case]
    if fields.get("kind") == "OLD":
        made = chip().amd.chip(tcb={**TCB, "snp": 23})
        appraisal = appraise(claims(made, measurement=MEASUREMENT), Profile.parse({"snp": profile}), (REFERENCES,))
    else:
        if case == "another product":
            profile = profile | {"minimum_tcb": {"genoa": {"snp": 23}}}
        appraisal = _appraise(profile, fields)
    assert _failed(appraisal) == expected
    assert acceptable(appraisal.findings) is (expected == [])


def test_every_finding_says_what_was_expected_and_what_was_found() -> None:
    appraisal = _appraise({"minimum_abi": "1.55", "minimum_firmware": "1.55.30"}, {"policy": 0xB0000})
    assert len(appraisal.findings) > 30
    for finding in appraisal.findings:
        assert finding.check
        assert finding.path
        assert finding.expected
        assert finding.got, finding
    debug = next(f for f in appraisal.findings if f.check == "POLICY_DEBUG")
    assert (debug.path, debug.expected, debug.got) == ("report.policy.debug", "0", "1")


def test_what_is_not_asked_for_is_skipped_and_never_passed() -> None:
    skipped = {f.check for f in _appraise({}, {}).findings if f.outcome is Outcome.SKIPPED}
    assert skipped >= {"POLICY_HOST_DATA", "POLICY_CHIP_ID", "MITIGATION_MISSING", "FW_BELOW_MIN", "POLICY_SMT"}


def test_no_profile_lifts_the_native_refusals() -> None:
    everything = {"allow_cxl": True, "allow_unknown_platform_bits": True, "vmpl": 0}
    appraisal = _appraise(everything, {"policy": 0xF0000, "report_id_ma": bytes(32)})
    assert _failed(appraisal) == ["POLICY_DEBUG", "POLICY_MIGRATE_MA", "POLICY_MIGRATE_MA"]


class TestReferences:
    """P7: an empty expectation is a mistake of the configuration, never met."""

    @pytest.mark.parametrize("references", [(), (ReferenceSet(name="empty", values=()),)], ids=["no set", "empty set"])
    def test_nothing_to_compare_with_fails(self, references: tuple[ReferenceSet, ...]) -> None:
        appraisal = _appraise({}, {}, references=references)
        assert _failed(appraisal) == ["POLICY_UNSPECIFIED"]
        assert {f.outcome for f in appraisal.findings if f.check == "POLICY_MEASUREMENT"} == {Outcome.SKIPPED}
        assert appraisal.matched is None
        assert appraisal.nearest is None

    def test_the_first_that_is_met(self) -> None:
        appraisal = _appraise({}, {})
        assert appraisal.matched is REFERENCES.values[1]
        assert appraisal.nearest is None

    def test_sets_are_looked_at_together(self) -> None:
        empty = ReferenceSet(name="empty", values=())
        assert _appraise({}, {}, references=(empty, REFERENCES)).matched is REFERENCES.values[1]

    def test_host_data_of_the_value(self) -> None:
        value = ReferenceValue(name="job", measurement=MEASUREMENT, covers=frozenset({"firmware"}), host_data=HOST_DATA)
        references = (ReferenceSet(name="jobs", values=(value,)),)
        met = _appraise({}, {"host_data": HOST_DATA}, references=references)
        assert met.matched is value
        assert ("POLICY_HOST_DATA", Outcome.PASSED) in {(f.check, f.outcome) for f in met.findings}
        other = _appraise({}, {}, references=references)
        assert _failed(other) == ["POLICY_HOST_DATA"]
        assert other.nearest is not None
        assert [d.field for d in other.nearest.differences] == ["host_data"]

    def test_the_nearest_differs_least(self) -> None:
        far = ReferenceValue(name="far", measurement=b"\1" * 48, covers=frozenset({"firmware"}), host_data=b"\1" * 32)
        near = ReferenceValue(name="near", measurement=b"\2" * 48, covers=frozenset({"firmware"}))
        appraisal = _appraise({}, {}, references=(ReferenceSet(name="set", values=(far, near)),))
        assert appraisal.nearest is not None
        assert (appraisal.nearest.set_name, appraisal.nearest.value) == ("set", near)
        difference = appraisal.nearest.differences[0]
        assert (difference.field, difference.expected, difference.got) == (
            "measurement", "02" * 48, MEASUREMENT.hex()
        )  # fmt: skip

    def test_a_value_of_another_platform_is_not_met(self) -> None:
        value = ReferenceValue(name="x", measurement=MEASUREMENT, covers=frozenset({"firmware"}), platform="tdx")
        appraisal = _appraise({}, {}, references=(ReferenceSet(name="set", values=(value,)),))
        assert _failed(appraisal) == ["POLICY_PLATFORM"]


def test_turin_minimum_with_its_own_components() -> None:
    profile = {"products": ["turin"], "minimum_tcb": {"turin": {"fmc": 2, "snp": 4}}}
    appraisal = _appraise(profile, {"product": "Turin", "version": 5})
    assert _failed(appraisal) == ["TCB_BELOW_MIN", "TCB_BELOW_MIN"]
    profile["minimum_tcb"] = {"turin": amd.TCB["Turin"]}
    assert acceptable(_appraise(profile, {"product": "Turin", "version": 5}).findings)


def test_claims_are_what_the_profile_sees() -> None:
    found: Claims = claims(measurement=MEASUREMENT)
    assert found.simulated
    assert found.measurement == MEASUREMENT
