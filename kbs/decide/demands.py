"""What a tier demands of the profile of an asset that is in it. A profile below that is refused when an asset names it,
and releases nothing.

Each line is a rule of its own: from which tier on, its name, what it asks for, and a function that says what is there
instead, or nothing where it is met. A guest under a paravisor is asked for the same of its hardware. docs/catalogue.md
is held to this table by a test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from attest.profile import Profile
from attest.snp.profile import FLOORS, SnpProfile
from attest.tdx.claims import TcbStatus
from attest.tdx.profile import TdxProfile

__all__ = ["DEMANDS", "Demand", "unmet"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """One rule. `check` returns what is there instead, empty where the profile meets it."""

    tier: int
    name: str
    asks: str
    check: Callable[[Profile], str]


def _snp(profile: Profile) -> Iterator[SnpProfile]:
    if profile.snp is not None:
        yield profile.snp
    if profile.azure_snp is not None:
        yield profile.azure_snp.cpu


def _tdx(profile: Profile) -> Iterator[TdxProfile]:
    if profile.tdx is not None:
        yield profile.tdx
    if profile.azure_tdx is not None:
        yield profile.azure_tdx.cpu


def _floor(profile: Profile) -> str:
    below = [
        f"{product} {component} {asked.minimum_tcb.get(product, {}).get(component, 0)}, the least is {least}"
        for asked in _snp(profile)
        for product, floor in FLOORS.items()
        if product in asked.products
        for component, least in floor.items()
        if asked.minimum_tcb.get(product, {}).get(component, 0) < least
    ]
    below += [
        f"{grace.product} {component} {value} by grace, the least is {FLOORS[grace.product][component]}"
        for asked in _snp(profile)
        for grace in asked.grace
        for component, value in grace.level.items()
        if value < FLOORS[grace.product].get(component, 0)
    ]
    return "; ".join(below)


def _vmpl(profile: Profile) -> str:
    return "; ".join(f"VMPL {asked.vmpl}" for asked in _snp(profile) if asked.vmpl)


def _tcb_stated(profile: Profile) -> str:
    silent = sorted({p for asked in _snp(profile) for p in asked.products if not asked.minimum_tcb.get(p)})
    return f"none for {', '.join(silent)}" if silent else ""


def _up_to_date(profile: Profile) -> str:
    return ", ".join(sorted({s.name for asked in _tdx(profile) for s in asked.accepted_tcb - {TcbStatus.UpToDate}}))


def _known_platform(profile: Profile) -> str:
    names = ("allow_cxl", "allow_unknown_platform_bits")
    return ", ".join(name for name in names if any(getattr(asked, name) for asked in _snp(profile)))


def _final_firmware(profile: Profile) -> str:
    return "allow_provisional_firmware" if any(asked.allow_provisional_firmware for asked in _snp(profile)) else ""


def _job(profile: Profile) -> str:
    open_to_any = [] if profile.init_data else [tee for tee in profile.names() if not profile.second_fact(tee)]
    return f"nothing for {', '.join(open_to_any)}" if open_to_any else ""


def _machines(profile: Profile) -> str:
    open_to_any = ["snp"] if any(not asked.chip_ids for asked in _snp(profile)) else []
    if any(not (asked.ppids or asked.platform_instance_ids) for asked in _tdx(profile)):
        open_to_any.append("tdx")
    return f"any machine for {', '.join(open_to_any)}" if open_to_any else ""


def _devices(profile: Profile) -> str:
    return "" if profile.gpu is not None else "none"


DEMANDS: tuple[Demand, ...] = (
    Demand(tier=1, name="TCB_FLOOR", asks="neither an SNP minimum_tcb nor a grace below AMD-SB-3019", check=_floor),
    Demand(tier=1, name="VMPL", asks="SNP VMPL 0", check=_vmpl),
    Demand(tier=2, name="TCB_STATED", asks="an SNP minimum_tcb for each product", check=_tcb_stated),
    Demand(tier=2, name="TCB_UP_TO_DATE", asks="TDX accepted_tcb UpToDate alone, or a dated grace", check=_up_to_date),
    Demand(tier=2, name="PLATFORM_KNOWN", asks="neither CXL memory nor unknown platform bits", check=_known_platform),
    Demand(tier=3, name="FIRMWARE_FINAL", asks="no provisional SNP firmware", check=_final_firmware),
    Demand(tier=3, name="JOB", asks="the job: init_data, host_data, mr_config_id or rtmr3", check=_job),
    Demand(tier=3, name="DEVICES", asks="the devices: gpu, with how many of which", check=_devices),
    Demand(tier=4, name="MACHINES", asks="the machines: chip_ids, ppids or platform_instance_ids", check=_machines),
)


def unmet(profile: Profile, tier: int) -> Iterator[tuple[Demand, str]]:
    """The demands of this tier that the profile does not meet, each with what is there instead."""
    for demand in DEMANDS:
        if demand.tier <= tier and (got := demand.check(profile)):
            yield demand, got
