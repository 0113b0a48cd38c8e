"""Measurements against manifests: every active index has one of its values, or a finding says which it has instead.

Source: NVIDIA nvtrust, `verifier/attestation` (Verifier.verify); what is done more strictly here: a manifest is needed
for driver and VBIOS both, zero is a value like any other, and measurements that no manifest speaks of are reported.
Indices are those of the manifests: SPDM's index less one.

NVDEC0: with the decoder disabled NVIDIA leaves measurement 35 out of the comparison. Here it is compared first, since
current manifests list its values; only if that fails on such a device is it a skipped finding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attest.finding import Finding, Outcome
from attest.gpu.claims import DeviceClaims, Manifest

__all__ = ["NVDEC0_INDEX", "compare"]

NVDEC0_INDEX = 35
_ZERO = bytes(48)


def compare(
    claims: DeviceClaims, at: str, *, allow_missing: bool, allow_on_hold: bool, allow_uncovered: bool
) -> Iterator[Finding]:
    """Every finding about the measurements of one device; `at` is its path."""
    parts = [("driver", claims.driver_version, claims.driver_manifests)] if not claims.is_switch else []
    parts.append(("vbios", claims.vbios_version, claims.vbios_manifests))
    chosen: list[Manifest] = []
    for number, (name, version, manifests) in enumerate(parts):
        if not manifests:
            yield _missing(claims, f"{at}.measurements.{name}", version, claims.rim_ids[number], allow_missing)
            continue
        manifest = _best(manifests, claims)
        chosen.append(manifest)
        yield from _standing(manifest, f"{at}.manifest.{name}", allow_on_hold)
        yield from _measurements(manifest, f"{at}.measurements.{name}", claims)
    if len(chosen) == 2:
        yield _conflicts(chosen, f"{at}.measurements")
    if len(chosen) == len(parts):
        yield _uncovered(chosen, claims, f"{at}.measurements", allow_uncovered)


def _best(manifests: Sequence[Manifest], claims: DeviceClaims) -> Manifest:
    """The newest that is met whole; else the newest. Values of two issues are never mixed."""
    return next((each for each in manifests if _is_met(each, claims.measurements)), manifests[0])


def _is_met(manifest: Manifest, measurements: Sequence[bytes]) -> bool:
    count = len(measurements)
    return all(index < count and measurements[index] in values for index, values in manifest.rim.golden)


def _measurements(manifest: Manifest, path: str, claims: DeviceClaims) -> Iterator[Finding]:
    rim, measurements = manifest.rim, claims.measurements
    if _is_met(manifest, measurements):
        count = len(rim.golden)
        yield _finding(
            "RIM_MEASUREMENT", path, Outcome.PASSED, f"those of {rim.title}, issued {rim.issued}", f"all {count}"
        )
        return
    for index, values in rim.golden:
        got = measurements[index] if index < len(measurements) else None
        if got in values:
            continue
        left_out = index == NVDEC0_INDEX and claims.nvdec0 is False and got is not None
        expected = " or ".join(value.hex() for value in values)
        shown = "no such measurement" if got is None else got.hex()
        if left_out:
            shown = f"{shown} with NVDEC0 disabled"
        outcome = Outcome.SKIPPED if left_out else Outcome.FAILED
        yield _finding("RIM_MEASUREMENT", f"{path}[{index}]", outcome, f"{expected} ({rim.title})", shown)


def _missing(claims: DeviceClaims, path: str, version: str, rim_id: str, allowed: bool) -> Finding:
    outcome = Outcome.SKIPPED if allowed else Outcome.FAILED
    expected = f"a manifest of {claims.product} {version or '(no version reported)'}"
    expected += f" ({rim_id})" if version and rim_id else ""
    return _finding("RIM_MISSING", path, outcome, expected, ", ".join(rim.title for rim in claims.offered) or "none")


def _standing(manifest: Manifest, path: str, allow_on_hold: bool) -> Iterator[Finding]:
    on_hold = manifest.standing.on_hold
    got = f"{', '.join(on_hold)} on hold" if on_hold else "good"
    outcome = Outcome.PASSED if not on_hold else Outcome.SKIPPED if allow_on_hold else Outcome.FAILED
    yield _finding("RIM_ON_HOLD", path, outcome, "no signer on hold", got)


def _conflicts(chosen: Sequence[Manifest], path: str) -> Finding:
    """One index has one source of truth."""
    driver, vbios = ({index for index, _ in manifest.rim.golden} for manifest in chosen)
    both = driver & vbios
    outcome = Outcome.FAILED if both else Outcome.PASSED
    got = f"both speak of {', '.join(map(str, sorted(both)))}" if both else "none is"
    return _finding("RIM_INDEX_CONFLICT", path, outcome, "no index in both manifests", got)


def _uncovered(chosen: Sequence[Manifest], claims: DeviceClaims, path: str, allowed: bool) -> Finding:
    covered = {index for manifest in chosen for index, _ in manifest.rim.golden}
    found = [n for n, value in enumerate(claims.measurements) if value != _ZERO and n not in covered]
    outcome = Outcome.PASSED if not found else Outcome.SKIPPED if allowed else Outcome.FAILED
    got = ", ".join(f"{n}: {claims.measurements[n].hex()}" for n in found) or "none"
    return _finding("RIM_UNCOVERED", path, outcome, "zero where no manifest speaks", got)


def _finding(check: str, path: str, outcome: Outcome, expected: str, got: str) -> Finding:
    return Finding(check=check, path=path, outcome=outcome, expected=expected, got=got)
