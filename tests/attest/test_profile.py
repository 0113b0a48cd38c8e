"""Profiles and reference sets are read strictly: each mistake is refused with the path where it is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attest.errors import AttestError, Malformed
from attest.profile import Profile, ReferenceSet
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


@pytest.mark.parametrize("document", [{}, {"snp": {}, "tdx": {}}, [], None, {"sev": {}}, "snp"])
def test_a_profile_is_for_snp_alone(document: object) -> None:
    with refused("PROFILE_MALFORMED"):
        Profile.parse(document)


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


VALUE = {"name": "a", "measurement": "11" * 48, "covers": ["firmware"]}

# name: (the document, the path that is named)
BAD_REFERENCES: dict[str, tuple[Any, str]] = {
    "no object": ([], "references"),
    "unknown key": ({"name": "n", "values": [VALUE], "state": "x"}, "references"),
    "no name": ({"values": [VALUE]}, "references"),
    "an empty name": ({"name": "", "values": [VALUE]}, "references.name"),
    "values that are no list": ({"name": "n", "values": {}}, "references.values"),
    "too many values": ({"name": "n", "values": [VALUE] * 1_025}, "references.values"),
    "a name twice": ({"name": "n", "values": [VALUE, VALUE]}, "references.values"),
    "a value that is no object": ({"name": "n", "values": [1]}, "references.values[0]"),
    "a value with an unknown key": ({"name": "n", "values": [VALUE | {"x": 1}]}, "references.values[0]"),
    "a value without covers": (
        {"name": "n", "values": [{"name": "a", "measurement": "11" * 48}]},
        "references.values[0]",
    ),
    "a measurement of 32 bytes": (
        {"name": "n", "values": [VALUE | {"measurement": "11" * 32}]},
        "references.values[0].measurement",
    ),
    "an empty measurement": (
        {"name": "n", "values": [VALUE | {"measurement": ""}]},
        "references.values[0].measurement",
    ),
    "covers nothing": ({"name": "n", "values": [VALUE | {"covers": []}]}, "references.values[0].covers"),
    "covers the disk": ({"name": "n", "values": [VALUE | {"covers": ["disk"]}]}, "references.values[0].covers"),
    "covers twice": (
        {"name": "n", "values": [VALUE | {"covers": ["kernel", "kernel"]}]},
        "references.values[0].covers",
    ),
    "covers that are no texts": ({"name": "n", "values": [VALUE | {"covers": [[]]}]}, "references.values[0].covers"),
    "host data too long": (
        {"name": "n", "values": [VALUE | {"host_data": "11" * 33}]},
        "references.values[0].host_data",
    ),
    "no processors": ({"name": "n", "values": [VALUE | {"vcpus": 0}]}, "references.values[0].vcpus"),
    "another platform": ({"name": "n", "values": [VALUE | {"platform": "sgx"}]}, "references.values[0].platform"),
}


@pytest.mark.parametrize("case", BAD_REFERENCES)
def test_bad_references(case: str) -> None:
    document, path = BAD_REFERENCES[case]
    with pytest.raises(Malformed) as caught:
        ReferenceSet.parse(document)
    assert (caught.value.check, caught.value.path) == ("REFERENCE_MALFORMED", path)


def test_p7_a_set_without_values_is_a_mistake() -> None:
    with refused("POLICY_UNSPECIFIED"):
        ReferenceSet.parse({"name": "n", "values": []})


def test_references() -> None:
    document = {"name": "n", "values": [VALUE, VALUE | {"name": "b", "host_data": "22" * 32, "vcpus": 16}]}
    first, second = ReferenceSet.parse(document).values
    assert (first.measurement, first.covers, first.host_data, first.platform) == (
        b"\x11" * 48, frozenset({"firmware"}), None, "snp"
    )  # fmt: skip
    assert (second.host_data, second.vcpus) == (b"\x22" * 32, 16)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
_KEYS = st.sampled_from(["vmpl", "minimum_tcb", "products", "host_data", "minimum_abi", "mitigations", "require"])


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(_KEYS, _JSON, max_size=3), _JSON)
def test_any_document_is_read_or_malformed(part: object, whole: object) -> None:
    for read, document in (
        (Profile.parse, {"snp": part}),
        (Profile.parse, whole),
        (ReferenceSet.parse, whole),
        (ReferenceSet.parse, {"name": "n", "values": [part, whole]}),
    ):
        try:
            assert read(document) is not None
        except AttestError:
            continue  # any other exception fails the test
