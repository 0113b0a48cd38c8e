"""Profiles are read strictly: each mistake is refused with the path where it is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attest.errors import AttestError, Malformed
from attest.profile import Profile
from attest.snp.claims import Firmware, SigningKey
from attest.snp.profile import FLOORS, SnpProfile
from tests.attest.refusal import refused

# name: (the SNP part of a profile, the path that is named)
MALFORMED: dict[str, tuple[Any, str]] = {
    "no object": ([], "snp"),
    "unknown key": ({"vmpI": 0}, "snp.vmpI"),
    "there is no key for debug": ({"allow_debug": True}, "snp.allow_debug"),
    "there is no key for migration": ({"allow_migration": True}, "snp.allow_migration"),
    "a key that is no text": ({1: 0}, "snp.1"),
    "VMPL 4": ({"vmpl": 4}, "snp.vmpl"),
    "VMPL as text": ({"vmpl": "0"}, "snp.vmpl"),
    "VMPL true": ({"vmpl": True}, "snp.vmpl"),
    "version 6": ({"minimum_report_version": 6}, "snp.minimum_report_version"),
    "a flag as a number": ({"allow_smt": 0}, "snp.allow_smt"),
    "a restriction that is none": ({"require": ["debug"]}, "snp.require[0]"),
    "a restriction twice": ({"require": ["rapl_dis", "rapl_dis"]}, "snp.require"),
    "an empty allow-list": ({"host_data": []}, "snp.host_data"),
    "an allow-list that is text": ({"host_data": "11" * 32}, "snp.host_data"),
    "host data too short": ({"host_data": ["11" * 31]}, "snp.host_data[0]"),
    "host data in upper case": ({"host_data": ["AA" * 32]}, "snp.host_data[0]"),
    "a chip id of 8 bytes": ({"chip_ids": ["11" * 8]}, "snp.chip_ids[0]"),
    "ABI of three numbers": ({"minimum_abi": "1.2.3"}, "snp.minimum_abi"),
    "ABI above 255": ({"minimum_abi": "1.256"}, "snp.minimum_abi"),
    "firmware with a sign": ({"minimum_firmware": "1.-5.3"}, "snp.minimum_firmware"),
    "firmware in other digits": ({"minimum_firmware": "1.٣.3"}, "snp.minimum_firmware"),
    "a minimum for a product that is none": ({"minimum_tcb": {"rome": {"snp": 1}}}, "snp.minimum_tcb"),
    "a component that Milan has not": ({"minimum_tcb": {"milan": {"fmc": 1}}}, "snp.minimum_tcb.milan"),
    "a component above 255": ({"minimum_tcb": {"milan": {"snp": 256}}}, "snp.minimum_tcb.milan.snp"),
    "an empty minimum": ({"minimum_tcb": {}}, "snp.minimum_tcb"),
    "bit 64": ({"mitigations": [64]}, "snp.mitigations[0]"),
    "an empty provider": ({"csp_ids": [""]}, "snp.csp_ids[0]"),
}
CONTRADICTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "a minimum for one of three products": ({"minimum_tcb": {"milan": {"snp": 24}}}, "snp.minimum_tcb"),
    "a minimum for a product that is not allowed": (
        {"products": ["genoa"], "minimum_tcb": {"milan": {"snp": 24}}},
        "snp.minimum_tcb",
    ),
    "chips, where VLEKs hide them": ({"chip_ids": ["11" * 64]}, "snp.chip_ids"),
    "providers, where VCEKs have none": ({"csp_ids": ["CN=x"], "signing_keys": ["vcek"]}, "snp.csp_ids"),
    "mitigations of a version without": (
        {"mitigations": [1], "minimum_report_version": 3},
        "snp.minimum_report_version",
    ),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed(case: str) -> None:
    document, path = MALFORMED[case]
    with pytest.raises(Malformed) as caught:
        Profile.parse({"snp": document})
    assert (caught.value.check, caught.value.path) == ("PROFILE_MALFORMED", path)


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_contradictions(case: str) -> None:
    document, path = CONTRADICTIONS[case]
    with pytest.raises(Malformed) as caught:
        Profile.parse({"snp": document})
    assert (caught.value.check, caught.value.path) == ("PROFILE_CONTRADICTION", path)


@pytest.mark.parametrize("document", [{}, {"snp": {}, "sgx": {}}, [], None, {"sev": {}}, "snp", {"init_data": {}}])
def test_a_profile_names_a_tee(document: object) -> None:
    with refused("PROFILE_MALFORMED"):
        Profile.parse(document)


@pytest.mark.parametrize("named", [{"snp"}, {"tdx"}, {"snp", "tdx"}])
def test_what_is_not_named_is_not_there(named: set[str]) -> None:
    profile = Profile.parse({name: {} for name in named})
    assert {name for name in ("snp", "tdx") if getattr(profile, name) is not None} == named


SECOND_FACTS: dict[str, tuple[dict[str, Any], str, str]] = {
    "host data": ({"snp": {"host_data": ["22" * 32]}}, "snp", "HOST_DATA"),
    "of the other TEE": ({"snp": {"host_data": ["22" * 32]}, "tdx": {}}, "tdx", ""),
    "MRCONFIGID": ({"tdx": {"mr_config_id": ["22" * 48]}}, "tdx", "MRCONFIGID"),
    "RTMR3": ({"tdx": {"rtmr3": ["22" * 48]}}, "tdx", "RTMR3"),
    "nothing": ({"snp": {}, "tdx": {"rtmr2": ["22" * 48]}}, "tdx", ""),
}


@pytest.mark.parametrize("case", SECOND_FACTS)
def test_second_facts(case: str) -> None:
    document, platform, fact = SECOND_FACTS[case]
    assert Profile.parse(document).second_fact(platform) == fact


def test_what_is_not_said_is_safe() -> None:
    profile = Profile.parse({"snp": {}}).snp
    assert profile == SnpProfile()
    assert (profile.vmpl, profile.allow_cxl, profile.allow_unknown_platform_bits) == (0, False, False)
    assert profile.minimum_tcb == FLOORS


def test_everything_is_read() -> None:
    profile = SnpProfile.parse(
        {
            "minimum_report_version": 5,
            "products": ["milan", "turin"],
            "signing_keys": ["vcek"],
            "vmpl": 1,
            "minimum_abi": "1.55",
            "allow_smt": False,
            "require": ["single_socket"],
            "require_platform": ["alias_check_complete"],
            "minimum_tcb": {"milan": {"snp": 24}, "turin": {"fmc": 1}},
            "minimum_firmware": "1.55.29",
            "mitigations": [0, 5],
            "chip_ids": ["11" * 64],
            "host_data": ["22" * 32],
        }
    )
    assert profile.products == {"Milan", "Turin"}
    assert profile.signing_keys == {SigningKey.VCEK}
    assert profile.minimum_abi == (1, 55)
    assert profile.minimum_tcb == {"Milan": {"snp": 24}, "Turin": {"fmc": 1}}
    assert profile.minimum_firmware == Firmware(major=1, minor=55, build=29)
    assert profile.mitigations == 0b100001
    assert profile.chip_ids == {b"\x11" * 64}


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
_KEYS = st.sampled_from(
    ["vmpl", "minimum_tcb", "products", "host_data", "minimum_abi", "mitigations", "require", "accepted_tcb", "grace"]
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(_KEYS, _JSON, max_size=3), _JSON)
def test_any_document_is_read_or_malformed(part: object, whole: object) -> None:
    for document in ({"snp": part}, {"tdx": part}, whole):
        try:
            assert Profile.parse(document) is not None
        except AttestError:
            continue  # any other exception fails the test
