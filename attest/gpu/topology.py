"""How the 8 GPUs and 4 NVSwitches of a PPCIE system are wired: each names the others, and certificates agree.

Source: NVIDIA nvtrust, `ppcie-verifier`; which compares what the reports say with each other. Here the names (PDIs) are
also compared with the identity certificates of the devices whose evidence is presented, so that a name is a device.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attest.finding import Finding, Outcome
from attest.gpu.claims import DeviceClaims
from attest.gpu.profile import Topology

__all__ = ["GPUS", "SWITCHES", "check_topology"]

GPUS, SWITCHES = 8, 4


def check_topology(devices: Sequence[DeviceClaims], topology: Topology) -> Iterator[Finding]:
    """Every finding about the wiring; paths name devices by their place in the request."""
    gpus = [(number, device) for number, device in enumerate(devices) if not device.is_switch]
    switches = [(number, device) for number, device in enumerate(devices) if device.is_switch]
    named = [(number, frozenset(gpu.switch_pdis)) for number, gpu in gpus]
    if topology is Topology.GPUS_ONLY:
        yield from _gpus_only(named, switches)
        return
    if not switches:
        got = "none: no NVSwitch presented evidence"
        yield _finding("SWITCH_EVIDENCE_MISSING", "devices", False, f"{SWITCHES} NVSwitches", got)
        return
    yield _finding("TOPOLOGY_COUNT", "devices", len(switches) == SWITCHES, f"{SWITCHES} NVSwitches", str(len(switches)))
    present = frozenset(switch.pdi for _, switch in switches)
    for number, pdis in named:
        yield _same("TOPOLOGY_SWITCHES", f"devices[{number}].switch_pdis", present, pdis)
    attached = frozenset(gpu.pdi for _, gpu in gpus)
    for number, switch in switches:
        yield _same("TOPOLOGY_GPUS", f"devices[{number}].gpu_pdis", attached, frozenset(switch.gpu_pdis))
        got = {True: "locked", False: "unlocked", None: "not said"}[switch.locked]
        yield _finding("SWITCH_UNLOCKED", f"devices[{number}].locked", switch.locked is True, "locked", got)


def _gpus_only(
    named: Sequence[tuple[int, frozenset[bytes]]], switches: Sequence[tuple[int, DeviceClaims]]
) -> Iterator[Finding]:
    """The GPUs name the same 4 NVSwitches. What those are, nobody has shown, and a finding says so."""
    first = named[0][1] if named else frozenset()
    for number, pdis in named:
        fine = len(pdis) == SWITCHES and pdis == first
        expected = f"the same {SWITCHES} NVSwitches as every other GPU"
        yield _finding("TOPOLOGY_SWITCHES", f"devices[{number}].switch_pdis", fine, expected, _shown(pdis))
    yield Finding(
        check="SWITCH_EVIDENCE_MISSING",
        path="devices",
        outcome=Outcome.SKIPPED,
        expected=f"{SWITCHES} NVSwitches",
        got=f"{len(switches)}: the profile takes the GPUs' word ({Topology.GPUS_ONLY.value})",
    )


def _same(check: str, path: str, expected: frozenset[bytes], got: frozenset[bytes]) -> Finding:
    return _finding(check, path, bool(expected) and got == expected, _shown(expected), _shown(got))


def _shown(pdis: frozenset[bytes]) -> str:
    return ", ".join(pdi.hex() for pdi in sorted(pdis)) or "none"


def _finding(check: str, path: str, fine: bool, expected: str, got: str) -> Finding:
    outcome = Outcome.PASSED if fine else Outcome.FAILED
    return Finding(check=check, path=path, outcome=outcome, expected=expected, got=got)
