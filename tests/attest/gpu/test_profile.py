"""Profiles of GPUs: read strictly, and what no evidence could meet is a contradiction."""

from __future__ import annotations

import pytest

from attest.gpu.opaque import Mode
from attest.gpu.profile import ARCHITECTURES, GpuProfile, Topology, version_of
from tests.attest.refusal import refused


def test_what_is_not_said_has_the_safe_meaning() -> None:
    profile = GpuProfile.parse({"count": 2})
    assert (profile.count, profile.architectures, profile.topology) == (2, ARCHITECTURES, Topology.NONE)
    assert profile.modes == {Mode.SPT, Mode.MPT}
    assert not any(getattr(profile, name) for name in dir(profile) if name.startswith("allow_"))


def test_a_topology_is_ppcie_on_hopper() -> None:
    for topology in ("ppcie", "gpus-only-switches-unverified"):
        profile = GpuProfile.parse({"count": 8, "topology": topology})
        assert profile.modes == frozenset({Mode.PPCIE})
        assert profile.architectures == frozenset({"hopper"})


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"count": 0},
        {"count": 17},
        {"count": True},
        {"count": "8"},
        {"count": 1, "cuont": 1},
        {"count": 1, "architectures": []},
        {"count": 1, "architectures": ["ls10"]},
        {"count": 1, "architectures": ["hopper", "hopper"]},
        {"count": 1, "modes": ["unstated"]},
        {"count": 1, "topology": "gpus-only"},
        {"count": 1, "minimum_driver": "570.x"},
        {"count": 1, "minimum_driver": 570},
        {"count": 1, "minimum_driver": "570."},
        {"count": 1, "minimum_driver": "1.2.3.4.5.6.7"},
        {"count": 1, "minimum_vbios": "96.00.G5"},
        {"count": 1, "pdis": ["00"]},
        {"count": 1, "allow_missing_rim": "yes"},
    ],
    ids=str,
)
def test_malformed(document: object) -> None:
    with refused("PROFILE_MALFORMED"):
        GpuProfile.parse(document)


@pytest.mark.parametrize(
    "document",
    [
        {"count": 8, "modes": ["ppcie"]},
        {"count": 8, "modes": ["spt", "ppcie"]},
        {"count": 8, "topology": "ppcie", "modes": ["spt"]},
        {"count": 8, "topology": "ppcie", "modes": ["spt", "ppcie"]},
        {"count": 4, "topology": "ppcie"},
        {"count": 8, "topology": "ppcie", "architectures": ["blackwell"]},
        {"count": 2, "pdis": ["00" * 8]},
    ],
    ids=str,
)
def test_contradictions(document: object) -> None:
    with refused("PROFILE_CONTRADICTION"):
        GpuProfile.parse(document)


@pytest.mark.parametrize(
    ("text", "base", "expected"),
    [
        ("550.90.07", 10, (550, 90, 7)),
        ("96.00.9F.00.01", 16, (0x96, 0, 0x9F, 0, 1)),
        ("96.00.9F", 10, None),
        ("", 10, None),
        ("1..2", 10, None),
        ("-1", 10, None),
        ("1_0", 10, None),
        ("1" * 7, 10, None),
    ],
)
def test_versions(text: str, base: int, expected: tuple[int, ...] | None) -> None:
    assert version_of(text, base) == expected
