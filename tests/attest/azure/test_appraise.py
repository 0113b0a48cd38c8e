"""Which guest under a paravisor is accepted: the one whose PCRs a reference value pins, on hardware that is fine."""

from __future__ import annotations

from typing import Any

import pytest

from attest.appraise import appraise
from attest.errors import Malformed
from attest.finding import Outcome, acceptable
from attest.profile import Profile
from attest.reference import ReferenceSet
from tests.attest.azure.made import NONCE, claims
from tests.attest.snp.made import claims as bare_claims
from tests.makers import azure

MEASUREMENT = claims().measurement.hex()
PROFILE: dict[str, Any] = {"azure_snp": {"cpu": {}, "pcrs": [4, 7, 11]}}
VALUE: dict[str, Any] = {
    "name": "image",
    "platform": "azure-snp",
    "measurement": MEASUREMENT,
    "covers": ["firmware", "kernel", "initrd", "cmdline"],
    "pcrs": {str(number): azure.PCR_VALUES[number].hex() for number in (4, 7, 11)},
}


def _failed(profile: dict[str, Any], value: dict[str, Any], **changed: Any) -> list[str]:
    references = [ReferenceSet.parse({"name": "set", "values": [value]})]
    given = changed.pop("given", None) or claims(**changed)
    found = appraise(given, Profile.parse(profile), references)
    assert acceptable(found.findings) == (not [f for f in found.findings if f.outcome is Outcome.FAILED])
    return [finding.check for finding in found.findings if finding.outcome is Outcome.FAILED]


def test_accepted() -> None:
    assert not _failed(PROFILE, VALUE)


SECURE_BOOT_OFF = azure.variable_data(**{"vm-configuration": {"secure-boot": False}})
UNSAID = azure.variable_data(**{"vm-configuration": {}})

# name: (profile, value, what is changed in the evidence, the checks that fail)
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any], list[str]]] = {
    "another PCR": (PROFILE, VALUE | {"pcrs": VALUE["pcrs"] | {"4": "00" * 32}}, {}, ["POLICY_PCR", "POLICY_PCR"]),
    "a PCR that was not quoted": (
        PROFILE, VALUE, {"quote": azure.quote(NONCE, selected=(4, 7))}, ["POLICY_PCR", "POLICY_PCR"],
    ),
    "a value that pins too few": (PROFILE, VALUE | {"pcrs": {"4": VALUE["pcrs"]["4"]}}, {}, ["POLICY_PCR"]),
    "another paravisor": (
        PROFILE, VALUE | {"measurement": "11" * 48}, {}, ["POLICY_MEASUREMENT", "POLICY_PCR"],
    ),
    "a value of bare SNP": (
        PROFILE,
        {key: value for key, value in VALUE.items() if key not in {"platform", "pcrs"}},
        {}, ["POLICY_PLATFORM", "POLICY_PCR"],
    ),
    "a profile of bare SNP": ({"snp": {}}, VALUE, {}, ["POLICY_PLATFORM"]),
    "a profile of TDX": ({"azure_tdx": {"cpu": {}, "pcrs": [4, 7]}}, VALUE, {}, ["POLICY_PLATFORM"]),
    "bare SNP for a profile of the paravisor's": (
        PROFILE, VALUE, {"given": bare_claims()},
        ["POLICY_PLATFORM", *["POLICY_PCR"] * 3, "POLICY_PLATFORM"],
    ),
    "no secure boot": (PROFILE, VALUE, {"variable": SECURE_BOOT_OFF}, ["POLICY_SECURE_BOOT"]),
    "secure boot unsaid": (PROFILE, VALUE, {"variable": UNSAID}, ["POLICY_SECURE_BOOT"]),
    "secure boot not asked for": (
        {"azure_snp": PROFILE["azure_snp"] | {"secure_boot": False}}, VALUE, {"variable": SECURE_BOOT_OFF}, [],
    ),
    "what the hardware's profile refuses": (
        {"azure_snp": {"cpu": {"vmpl": 1}, "pcrs": [4, 7, 11]}}, VALUE, {}, ["POLICY_VMPL"],
    ),
    "debug, whatever a profile says": (PROFILE, VALUE, {"policy": 0xB0000}, ["POLICY_DEBUG"]),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_findings(case: str) -> None:
    profile, value, changed, checks = CASES[case]
    assert _failed(profile, value, **changed) == checks


def test_the_nearest_value_is_one_of_the_same_platform() -> None:
    """Though one of bare SNP differs in fewer fields."""
    bare = {key: value for key, value in VALUE.items() if key not in {"platform", "pcrs"}} | {"name": "bare"}
    far = VALUE | {"pcrs": dict.fromkeys(VALUE["pcrs"], "00" * 32)}
    references = [ReferenceSet.parse({"name": "set", "values": [bare, far]})]
    nearest = appraise(claims(), Profile.parse(PROFILE), references).nearest
    assert nearest is not None
    assert [difference.field for difference in nearest.differences] == ["pcr[4]", "pcr[7]", "pcr[11]"]


@pytest.mark.parametrize("pcrs", [[4], [7], [4, 12]])
def test_without_secure_boot_either_will_do(pcrs: list[int]) -> None:
    found = Profile.parse({"azure_snp": {"cpu": {}, "pcrs": pcrs, "secure_boot": False}})
    assert found.azure_snp is not None
    assert found.azure_snp.pcrs == set(pcrs)


BAD_PROFILES: dict[str, object] = {
    "no PCR": {"cpu": {}, "pcrs": []},
    "PCRs not named": {"cpu": {}},
    "no hardware": {"pcrs": [4, 7]},
    "PCR 24": {"cpu": {}, "pcrs": [4, 7, 24]},
    "a PCR twice": {"cpu": {}, "pcrs": [4, 7, 7]},
    "a key more": {"cpu": {}, "pcrs": [4, 7], "pcr": {}},
    "a list": [],
    "neither boot loader nor keys": {"cpu": {}, "pcrs": [0, 11], "secure_boot": False},
    "secure boot by the paravisor's word alone": {"cpu": {}, "pcrs": [4, 11]},
    "PCR 16, which a guest resets": {"cpu": {}, "pcrs": [4, 7, 16]},
    "PCR 23, which a guest resets": {"cpu": {}, "pcrs": [23], "secure_boot": False},
    "secure boot as text": {"cpu": {}, "pcrs": [4, 7], "secure_boot": "yes"},
    "a hardware's key that is unknown": {"cpu": {"debug": True}, "pcrs": [4, 7]},
}


@pytest.mark.parametrize("platform", ["azure_snp", "azure_tdx"])
@pytest.mark.parametrize("case", BAD_PROFILES)
def test_profiles_are_read_strictly(case: str, platform: str) -> None:
    with pytest.raises(Malformed) as caught:
        Profile.parse({platform: BAD_PROFILES[case]})
    assert caught.value.check == "PROFILE_MALFORMED"
    assert caught.value.path.startswith(platform)


BAD_VALUES: dict[str, dict[str, Any]] = {
    "no PCRs": {key: value for key, value in VALUE.items() if key != "pcrs"},
    "an empty object": VALUE | {"pcrs": {}},
    "PCR 24": VALUE | {"pcrs": {"24": "00" * 32}},
    "PCR 04": VALUE | {"pcrs": {"04": "00" * 32}},
    "a PCR of 20 bytes": VALUE | {"pcrs": {"4": "00" * 20}},
    "RTMRs": VALUE | {"rtmr0": "00" * 48},
    "PCRs of bare SNP": VALUE | {"platform": "snp"},
}


@pytest.mark.parametrize("case", BAD_VALUES)
def test_values_are_read_strictly(case: str) -> None:
    with pytest.raises(Malformed) as caught:
        ReferenceSet.parse({"name": "set", "values": [BAD_VALUES[case]]})
    assert caught.value.check == "REFERENCE_MALFORMED"


def test_what_tells_parties_apart() -> None:
    profile = Profile.parse({"azure_snp": {"cpu": {"host_data": ["11" * 32]}, "pcrs": [4, 7]}, "snp": {}})
    assert (profile.second_fact("azure-snp"), profile.second_fact("snp")) == ("HOST_DATA", "")
    assert profile.names() == ("snp", "azure-snp")
