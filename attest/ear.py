"""Attestation results: an appraisal's findings as an AR4SI trustworthiness vector. Claims alone; the broker signs.

Sources: draft-ietf-rats-ar4si (trustworthiness claims and tiers), draft-ietf-rats-ear (`ear.status`). A tier is a range
of values: 0 none, 2 to 31 affirming, 32 to 95 warning, 96 to 127 contraindicated. Only what was compared counts: a
claim all of whose checks were skipped has the value 0, and the worst claim decides the status.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from attest.finding import Finding, Outcome

__all__ = ["CLAIMS", "Status", "Submodules", "Vector", "submodules_of", "vector_of"]

CLAIMS = (
    "instance-identity",
    "configuration",
    "executables",
    "file-system",
    "hardware",
    "runtime-opaque",
    "storage-opaque",
    "sourced-data",
)

_AFFIRMING, _UNSAFE_HARDWARE, _CONTRAINDICATED = 2, 32, 96
_APPROVED_BOOT = 3  # executables: what was loaded at boot is recognised

# By the longest prefix of a check's name. Unknown checks are configuration: what fails there counts, too.
_CLAIM_OF: Mapping[str, str] = {
    "POLICY_MEASUREMENT": "executables",
    "POLICY_UNSPECIFIED": "executables",
    "POLICY_PCR": "executables",
    "POLICY_SECURE_BOOT": "executables",
    "POLICY_CHIP_ID": "instance-identity",
    "POLICY_CSP_ID": "instance-identity",
    "POLICY_SIGNING_KEY": "instance-identity",
    "POLICY_PRODUCT": "hardware",
    "PLATFORM_": "hardware",
    "TCB_": "hardware",
    "FW_": "hardware",
    "MITIGATION_": "hardware",
    "POLICY_PLATFORM": "hardware",
    "POLICY_PLATFORM_INSTANCE": "instance-identity",
    "POLICY_PPID": "instance-identity",
    "POLICY_FMSPC": "hardware",
    "POLICY_MR_TD": "executables",
    "POLICY_MR_SEAM": "executables",
    "POLICY_RTMR": "executables",
    "SGX_DEBUG": "runtime-opaque",
    "TD_DEBUG": "runtime-opaque",
    "TD_MIGRATABLE": "runtime-opaque",
    "TD_SERVICE_TD": "runtime-opaque",
    "TD_SEPT_VE": "runtime-opaque",
    "POLICY_DEBUG": "runtime-opaque",
    "POLICY_MIGRATE_MA": "runtime-opaque",
    "RIM_": "executables",
    "DEVICE_ARCHITECTURE": "hardware",
    "DEVICE_DUPLICATE": "instance-identity",
    "DEVICE_FWID": "executables",
    "DEVICE_PDI": "instance-identity",
    "DEVICE_REVOCATION": "instance-identity",
    "SWITCH_EVIDENCE_MISSING": "instance-identity",
    "TOPOLOGY_": "instance-identity",
}
_PASSED: Mapping[str, int] = {"executables": _APPROVED_BOOT}
# An old TCB is genuine hardware with known weaknesses, which AR4SI tells apart from hardware that is not genuine.
_FAILED: Mapping[str, int] = {"hardware": _UNSAFE_HARDWARE}
# What passes by a dated exception of the site stays a known weakness for everybody else who relies on the result.
_EXCUSED: Mapping[str, int] = {"TCB_GRACE": _UNSAFE_HARDWARE}
# A TCB that its vendor revoked, and a platform that nobody asked about, are more than a known weakness.
_WORSE = frozenset({"TCB_REVOKED", "POLICY_PLATFORM"})


class Status(enum.IntEnum):
    """`ear.status`, ordered: the worst claim decides."""

    NONE = 0
    AFFIRMING = 2
    WARNING = 32
    CONTRAINDICATED = 96


@dataclass(frozen=True, slots=True, kw_only=True)
class Vector:
    """The eight claims of AR4SI by name, and the status that follows from them."""

    claims: tuple[tuple[str, int], ...]

    @property
    def status(self) -> Status:
        """The tier of the worst claim; NONE if nothing was compared at all."""
        worst = max(value for _, value in self.claims)
        return max(status for status in Status if status <= worst)

    def document(self) -> dict[str, int]:
        """`ear.trustworthiness-vector`."""
        return dict(self.claims)


@dataclass(frozen=True, slots=True, kw_only=True)
class Submodules:
    """One vector for the node and one for each device, in request order."""

    node: Vector
    devices: tuple[Vector, ...]

    @property
    def status(self) -> Status:
        """The worst decides; and where nothing was compared of one, nothing is affirmed of the whole."""
        found = [self.node.status, *(device.status for device in self.devices)]
        worst = max(found)
        return Status.NONE if worst is Status.AFFIRMING and Status.NONE in found else worst


def submodules_of(findings: Sequence[Finding], devices: int) -> Submodules:
    """The findings whose path begins with `devices[n].` are the n-th device's, all others the node's."""
    parts: dict[int, list[Finding]] = {number: [] for number in range(devices)}
    node: list[Finding] = []
    for finding in findings:
        head, behind, _ = finding.path.partition("].")
        number = head.removeprefix("devices[")
        own = behind and head != number and number.isdecimal() and int(number) in parts
        (parts[int(number)] if own else node).append(finding)
    return Submodules(node=vector_of(node), devices=tuple(vector_of(each) for each in parts.values()))


def vector_of(findings: Sequence[Finding]) -> Vector:
    """The vector of one appraisal."""
    values = dict.fromkeys(CLAIMS, 0)
    for finding in findings:
        claim = _claim_of(finding.check)
        if finding.outcome is Outcome.SKIPPED:
            continue
        failed = finding.outcome is Outcome.FAILED
        if failed:
            value = _CONTRAINDICATED if finding.check in _WORSE else _FAILED.get(claim, _CONTRAINDICATED)
        else:
            value = _EXCUSED.get(finding.check, _PASSED.get(claim, _AFFIRMING))
        values[claim] = max(values[claim], value)
    return Vector(claims=tuple(values.items()))


def _claim_of(check: str) -> str:
    prefix = max((p for p in _CLAIM_OF if check.startswith(p)), key=len, default=None)
    return "configuration" if prefix is None else _CLAIM_OF[prefix]
