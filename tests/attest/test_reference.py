"""Reference values are read strictly, and a value for a TD says what follows the firmware."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attest.errors import AttestError, Malformed
from attest.reference import ReferenceSet
from tests.attest.refusal import refused

VALUE = {"name": "a", "measurement": "11" * 48, "covers": ["firmware"]}
TD = VALUE | {"platform": "tdx"} | {f"rtmr{number}": f"{number}{number}" * 48 for number in range(3)}


def _without(key: str) -> dict[str, Any]:
    return {name: value for name, value in TD.items() if name != key}


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
    "RTMRs of an SNP guest": ({"name": "n", "values": [VALUE | {"rtmr0": "11" * 48}]}, "references.values[0]"),
    "a register of no components": (
        {"name": "n", "values": [TD | {"rtmr1": []}]},
        "references.values[0].rtmr1",
    ),
    "a component without digests": (
        {"name": "n", "values": [TD | {"rtmr2": [{"name": "kernel", "digests": []}]}]},
        "references.values[0].rtmr2",
    ),
    "a TD without RTMRs": ({"name": "n", "values": [VALUE | {"platform": "tdx"}]}, "references.values[0]"),
    "a TD without RTMR2": ({"name": "n", "values": [_without("rtmr2")]}, "references.values[0]"),
    "a TD with HOST_DATA": ({"name": "n", "values": [TD | {"host_data": "22" * 32}]}, "references.values[0]"),
    "an RTMR of 32 bytes": ({"name": "n", "values": [TD | {"rtmr1": "11" * 32}]}, "references.values[0].rtmr1"),
    "MRCONFIGID of 32 bytes": (
        {"name": "n", "values": [TD | {"mr_config_id": "11" * 32}]},
        "references.values[0].mr_config_id",
    ),
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


def test_references_of_a_td() -> None:
    more = {"name": "b", "rtmr3": "33" * 48, "mr_config_id": "44" * 48}
    first, second = ReferenceSet.parse({"name": "n", "values": [TD, TD | more]}).values
    assert (first.platform, first.rtmr2, first.rtmr3, first.second_fact) == ("tdx", b"\x22" * 48, None, "")
    assert (second.rtmr3, second.host_data, second.second_fact) == (b"\x33" * 48, b"\x44" * 48, "MRCONFIGID")
    assert [name for name, _ in second.asked()] == ["mr_config_id", "rtmr0", "rtmr1", "rtmr2", "rtmr3"]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(_JSON, _JSON)
def test_any_document_is_read_or_malformed(part: object, whole: object) -> None:
    for document in (whole, {"name": "n", "values": [part, whole]}, {"name": "n", "values": [TD | {"rtmr0": part}]}):
        try:
            assert ReferenceSet.parse(document) is not None
        except AttestError:
            continue  # any other exception fails the test
