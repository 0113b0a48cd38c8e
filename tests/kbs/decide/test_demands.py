"""What each tier demands of a profile: one thing that is missing at a time, and what would do."""

from __future__ import annotations

from typing import Any

import pytest

from attest.profile import Profile
from kbs.decide.demands import DEMANDS, unmet
from kbs.model.tier import TIERS

SNP: dict[str, Any] = {
    "products": ["milan"], "minimum_tcb": {"milan": {"snp": 24}}, "allow_provisional_firmware": False,
    "host_data": ["ab" * 32], "signing_keys": ["vcek"], "chip_ids": ["cd" * 64],
}  # fmt: skip
TDX: dict[str, Any] = {"mr_config_id": ["ab" * 48], "ppids": ["cd" * 16]}
GPU: dict[str, Any] = {"count": 8}
BEST: dict[str, Any] = {"snp": SNP, "tdx": TDX, "gpu": GPU}
JOB_LESS = {name: value for name, value in SNP.items() if name != "host_data"}
# name: (the profile, from which tier on, and what of it is not met)
FALLS_SHORT: dict[str, tuple[dict[str, Any], int, str]] = {
    "a TCB below AMD-SB-3019": (BEST | {"snp": SNP | {"minimum_tcb": {"milan": {"snp": 23}}}}, 1, "TCB_FLOOR"),
    "a TCB without its floor": (BEST | {"snp": SNP | {"minimum_tcb": {"milan": {"bl": 9}}}}, 1, "TCB_FLOOR"),
    "VMPL 2": (BEST | {"snp": SNP | {"vmpl": 2}}, 1, "VMPL"),
    "Turin without a TCB": (
        BEST | {"snp": SNP | {"products": ["turin"], "minimum_tcb": {"turin": {}}}}, 2, "TCB_STATED",
    ),
    "a TCB that is out of date": (
        BEST | {"tdx": TDX | {"accepted_tcb": ["UpToDate", "OutOfDate"]}}, 2, "TCB_UP_TO_DATE",
    ),
    "CXL": (BEST | {"snp": SNP | {"allow_cxl": True}}, 2, "PLATFORM_KNOWN"),
    "unknown bits": (BEST | {"snp": SNP | {"allow_unknown_platform_bits": True}}, 2, "PLATFORM_KNOWN"),
    "provisional firmware": (BEST | {"snp": SNP | {"allow_provisional_firmware": True}}, 3, "FIRMWARE_FINAL"),
    "any job on SNP": (BEST | {"snp": JOB_LESS}, 3, "JOB"),
    "any job on TDX": (BEST | {"tdx": {"ppids": TDX["ppids"]}}, 3, "JOB"),
    "no devices": ({"snp": SNP, "tdx": TDX}, 3, "DEVICES"),
    "any chip": (
        BEST | {"snp": {name: value for name, value in SNP.items() if name not in {"chip_ids", "signing_keys"}}},
        4, "MACHINES",
    ),
    "any platform": (BEST | {"tdx": {"mr_config_id": TDX["mr_config_id"]}}, 4, "MACHINES"),
    "any chip under a paravisor": (
        {"azure_snp": {"cpu": {n: v for n, v in SNP.items() if n not in {"chip_ids", "signing_keys"}}, "pcrs": [4, 7]},
         "gpu": GPU},
        4, "MACHINES",
    ),
    "CXL under a paravisor": (
        {"azure_snp": {"cpu": SNP | {"allow_cxl": True}, "pcrs": [4, 7]}, "gpu": GPU}, 2, "PLATFORM_KNOWN",
    ),
    "out of date under a paravisor": (
        {"azure_tdx": {"cpu": TDX | {"accepted_tcb": ["OutOfDate"]}, "pcrs": [4, 7]}, "gpu": GPU}, 2, "TCB_UP_TO_DATE",
    ),
}  # fmt: skip


def _names(profile: dict[str, Any], tier: int) -> list[str]:
    return [demand.name for demand, _ in unmet(Profile.parse(profile), tier)]


@pytest.mark.parametrize("name", FALLS_SHORT)
def test_a_profile_that_falls_short_of_one_demand(name: str) -> None:
    profile, first, demand = FALLS_SHORT[name]
    for tier in range(len(TIERS)):
        assert _names(profile, tier) == ([demand] if tier >= first else []), tier


def test_what_meets_everything() -> None:
    assert _names(BEST, 4) == []
    assert _names({"snp": JOB_LESS, "gpu": GPU, "init_data": {"job": ["a"]}}, 4) == []
    assert _names({"snp": {}}, 0) == []


def test_every_demand_falls_short_somewhere() -> None:
    assert {demand for _, _, demand in FALLS_SHORT.values()} == {demand.name for demand in DEMANDS}
    assert [demand.tier for demand in DEMANDS] == sorted(demand.tier for demand in DEMANDS)
