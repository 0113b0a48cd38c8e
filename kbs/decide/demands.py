"""What a tier demands of the profile of an asset that is in it. A profile below that is refused when an asset names it.

Each line is a rule of its own: from which tier on, its name, what it asks for, and a function that says what is there
instead, or nothing where it is met. docs/catalogue.md is held to this table by a test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from attest.profile import Profile
from attest.snp.profile import FLOORS
from attest.tdx.claims import TcbStatus

__all__ = ["DEMANDS", "Demand", "unmet"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """One rule. `check` returns what is there instead, empty where the profile meets it."""

    tier: int
    name: str
    asks: str
    check: Callable[[Profile], str]


def _floor(profile: Profile) -> str:
    if profile.snp is None:
        return ""
    below = [
        f"{product} {component} {profile.snp.minimum_tcb.get(product, {}).get(component, 0)}, the least is {least}"
        for product, floor in FLOORS.items()
        if product in profile.snp.products
        for component, least in floor.items()
        if profile.snp.minimum_tcb.get(product, {}).get(component, 0) < least
    ]
    return "; ".join(below)


def _vmpl(profile: Profile) -> str:
    return f"VMPL {profile.snp.vmpl}" if profile.snp is not None and profile.snp.vmpl else ""


def _tcb_stated(profile: Profile) -> str:
    if profile.snp is None:
        return ""
    silent = sorted(p for p in profile.snp.products if not profile.snp.minimum_tcb.get(p))
    return f"none for {', '.join(silent)}" if silent else ""


def _up_to_date(profile: Profile) -> str:
    if profile.tdx is None:
        return ""
    others = sorted(status.name for status in profile.tdx.accepted_tcb - {TcbStatus.UpToDate})
    return ", ".join(others)


def _known_platform(profile: Profile) -> str:
    if profile.snp is None:
        return ""
    names = ("allow_cxl", "allow_unknown_platform_bits")
    return ", ".join(name for name in names if getattr(profile.snp, name))


def _final_firmware(profile: Profile) -> str:
    return "allow_provisional_firmware" if profile.snp is not None and profile.snp.allow_provisional_firmware else ""


def _job(profile: Profile) -> str:
    if profile.init_data:
        return ""
    named = {"snp": profile.snp, "tdx": profile.tdx}
    open_to_any = [tee for tee, wanted in named.items() if wanted is not None and not profile.second_fact(tee)]
    return f"nothing for {', '.join(open_to_any)}" if open_to_any else ""


def _machines(profile: Profile) -> str:
    snp, tdx = profile.snp, profile.tdx
    open_to_any = ["snp"] if snp is not None and not snp.chip_ids else []
    if tdx is not None and not (tdx.ppids or tdx.platform_instance_ids):
        open_to_any.append("tdx")
    return f"any machine for {', '.join(open_to_any)}" if open_to_any else ""


DEMANDS: tuple[Demand, ...] = (
    Demand(tier=1, name="TCB_FLOOR", asks="an SNP minimum_tcb not below AMD-SB-3019", check=_floor),
    Demand(tier=1, name="VMPL", asks="SNP VMPL 0", check=_vmpl),
    Demand(tier=2, name="TCB_STATED", asks="an SNP minimum_tcb for each product", check=_tcb_stated),
    Demand(tier=2, name="TCB_UP_TO_DATE", asks="TDX accepted_tcb UpToDate alone, or a dated grace", check=_up_to_date),
    Demand(tier=2, name="PLATFORM_KNOWN", asks="neither CXL memory nor unknown platform bits", check=_known_platform),
    Demand(tier=3, name="FIRMWARE_FINAL", asks="no provisional SNP firmware", check=_final_firmware),
    Demand(tier=3, name="JOB", asks="the job: init_data, host_data, mr_config_id or rtmr3", check=_job),
    Demand(tier=4, name="MACHINES", asks="the machines: chip_ids, ppids or platform_instance_ids", check=_machines),
)


def unmet(profile: Profile, tier: int) -> Iterator[tuple[Demand, str]]:
    """The demands of this tier that the profile does not meet, each with what is there instead."""
    for demand in DEMANDS:
        if demand.tier <= tier and (got := demand.check(profile)):
            yield demand, got
