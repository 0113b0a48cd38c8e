"""Do we accept these devices? Every finding, in the order of the devices, and never an exception.

Each device is judged alone, then all together: their number, that no two are one, how they are wired. A node without
GPUs has none of the GPUs that a profile asks for: zero is a count like any other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime

from attest.age import Issued, age_findings
from attest.finding import Finding, Outcome
from attest.gpu.claims import DeviceClaims
from attest.gpu.compare import compare
from attest.gpu.opaque import Mode
from attest.gpu.profile import GpuProfile, Topology, version_of
from attest.gpu.report import GPU
from attest.gpu.topology import check_topology

__all__ = ["appraise_device", "appraise_devices", "appraise_set"]


def appraise_devices(
    devices: Sequence[DeviceClaims], profile: GpuProfile, *, now: datetime | None = None
) -> tuple[Finding, ...]:
    """Every finding of `profile` about `devices`; paths begin with `devices`, those of one device `devices[n].`.

    `now` is what the age of collateral is told by, where the profile limits it.
    """
    each = (finding for number, device in enumerate(devices) for finding in appraise_device(number, device, profile))
    return (*each, *appraise_set(devices, profile), *_ages(devices, profile, now))


def appraise_device(number: int, device: DeviceClaims, profile: GpuProfile) -> tuple[Finding, ...]:
    """Every finding about the device at this place of the request, alone."""
    at = f"devices[{number}]"
    return (
        *_what_it_is(device, profile, at),
        *_versions(device, profile, at),
        *compare(
            device,
            at,
            allow_missing=profile.allow_missing_rim,
            allow_on_hold=profile.allow_rim_on_hold,
            allow_uncovered=profile.allow_uncovered_measurements,
        ),
    )


def appraise_set(devices: Sequence[DeviceClaims], profile: GpuProfile) -> tuple[Finding, ...]:
    """Every finding about the devices together."""
    return (*_number(devices, profile), *_distinct(devices), *_wiring(devices, profile))


def _what_it_is(device: DeviceClaims, profile: GpuProfile, at: str) -> Iterator[Finding]:
    standing, fine = device.standing, not device.standing.unchecked
    got = "each was" if fine else f"not for {', '.join(standing.unchecked)}"
    yield _allowed(
        "DEVICE_REVOCATION", f"{at}.chain", fine, profile.allow_unchecked_revocation, "revocation checked for each", got
    )
    if device.is_switch:
        return
    yield _listed("DEVICE_ARCHITECTURE", f"{at}.architecture", profile.architectures, device.architecture)
    expected = " or ".join(sorted(mode.value for mode in profile.modes))
    lifted = profile.allow_unstated_mode and profile.topology is Topology.NONE
    if device.mode is Mode.UNSTATED:
        yield _allowed("DEVICE_MODE", f"{at}.mode", False, lifted, expected, "firmware does not say")
    else:
        yield _judged("DEVICE_MODE", f"{at}.mode", device.mode in profile.modes, expected, device.mode.value)
    reported = device.fwid is not None
    got = "reported, and that of the certificate" if reported else "not reported"
    yield _allowed(
        "DEVICE_FWID", f"{at}.fwid", reported, profile.allow_missing_fwid, "the FWID of the certificate", got
    )
    if profile.pdis:
        yield _listed("DEVICE_PDI", f"{at}.pdi", {pdi.hex() for pdi in profile.pdis}, device.pdi.hex())


def _versions(device: DeviceClaims, profile: GpuProfile, at: str) -> Iterator[Finding]:
    if device.is_switch:
        return
    for name, base, least, value in (
        ("driver", 10, profile.minimum_driver, device.driver_version),
        ("vbios", 16, profile.minimum_vbios, device.vbios_version),
    ):
        check = f"DEVICE_{name.upper()}_VERSION"
        if least is None:
            yield _finding(check, f"{at}.{name}_version", Outcome.SKIPPED, "nothing asked for", value or "none")
            continue
        found = version_of(value, base)
        shown = ".".join(str(part) if base == 10 else f"{part:02X}" for part in least)
        yield _judged(check, f"{at}.{name}_version", found is not None and found >= least, f"at least {shown}", value)


def _ages(devices: Sequence[DeviceClaims], profile: GpuProfile, now: datetime | None) -> Iterator[Finding]:
    """Of what speaks for certificates, those of devices and of their manifests' signers; a manifest itself has none."""
    hours = profile.maximum_collateral_age_hours
    if hours is None or not devices:
        yield from age_findings((), None, now, "devices.collateral")
        return
    for number, device in enumerate(devices):
        issued = [Issued(name="chain", since=device.standing.since)]
        for name, manifests in (("driver", device.driver_manifests), ("vbios", device.vbios_manifests)):
            issued += [Issued(name=f"manifest.{name}", since=each.standing.since) for each in manifests]
        yield from age_findings(issued, hours, now, f"devices[{number}]")


def _number(devices: Sequence[DeviceClaims], profile: GpuProfile) -> Iterator[Finding]:
    count = sum(device.kind == GPU for device in devices)
    yield _judged("DEVICE_COUNT", "devices", count == profile.count, f"{profile.count} GPUs", str(count))


def _distinct(devices: Sequence[DeviceClaims]) -> Iterator[Finding]:
    """Native: no profile lifts it. Firmware changes the UEID and never the PDI, so both are asked for."""
    for name, values in (
        ("ueid", [device.ueid.hex() for device in devices]),
        ("pdi", [device.pdi.hex() for device in devices]),
    ):
        twice = sorted(value for value, times in Counter(values).items() if times > 1)
        got = f"{', '.join(twice)} more than once" if twice else "each once"
        yield _judged("DEVICE_DUPLICATE", f"devices.{name}", not twice, "each device once", got)


def _wiring(devices: Sequence[DeviceClaims], profile: GpuProfile) -> Iterator[Finding]:
    if profile.topology is Topology.NONE:
        yield _finding("TOPOLOGY_COUNT", "devices", Outcome.SKIPPED, "nothing asked for", "not checked")
    else:
        yield from check_topology(devices, profile.topology)


def _allowed(check: str, path: str, fine: bool, lifted: bool, expected: str, got: str) -> Finding:
    """As `_judged`, but what a profile lifts is skipped, never passed."""
    outcome = Outcome.PASSED if fine else Outcome.SKIPPED if lifted else Outcome.FAILED
    return _finding(check, path, outcome, expected, got)


def _listed(check: str, path: str, allowed: Collection[str], got: str) -> Finding:
    return _judged(check, path, got in allowed, f"one of: {', '.join(sorted(allowed))}", got)


def _judged(check: str, path: str, fine: bool, expected: str, got: str) -> Finding:
    return _finding(check, path, Outcome.PASSED if fine else Outcome.FAILED, expected, got)


def _finding(check: str, path: str, outcome: Outcome, expected: str, got: str) -> Finding:
    return Finding(check=check, path=path, outcome=outcome, expected=expected, got=got)
