"""Throwaway NVIDIA evidence of a fixed time, and how the tests of this room judge it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from functools import cache

from attest.evidence import Collateral, DeviceEvidence
from attest.finding import Finding, Outcome
from attest.gpu.appraise import appraise_devices
from attest.gpu.profile import GpuProfile
from attest.gpu.verify import AuthenticDevice, KeptDevices, keep, verify_device
from tests.makers.nvidia import Device, Nvidia, mint
from tests.makers.nvidia_rim import manifests

__all__ = ["NONCE", "NOW", "collateral", "failed", "judge", "kept_of", "rims", "vendor", "with_ocsp"]

NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
NONCE = bytes(range(32))


@cache
def vendor() -> Nvidia:
    return mint(now=NOW)


@cache
def rims() -> tuple[bytes, ...]:
    return manifests(vendor())


@cache
def _crls() -> tuple[bytes, ...]:
    return vendor().crls()


def collateral(
    *, rims_: Sequence[bytes] | None = None, crls: Sequence[bytes] | None = None, ocsp: Sequence[bytes] = ()
) -> Collateral:
    """Current lists and good manifests, unless others are given."""
    return Collateral(
        crls=_crls() if crls is None else tuple(crls),
        rims=rims() if rims_ is None else tuple(rims_),
        ocsp=tuple(ocsp),
    )


def judge(
    evidence: DeviceEvidence,
    offered: Collateral | None = None,
    *,
    nonce: bytes | None = NONCE,
    now: dt.datetime = NOW,
    required: bool = True,
    kept: KeptDevices | None = None,
) -> AuthenticDevice:
    """Verifies under the throwaway vendor's roots."""
    anchors = vendor().anchors
    offered = collateral() if offered is None else offered
    return verify_device(evidence, offered, anchors, nonce=nonce, now=now, revocation_required=required, kept=kept)


def kept_of(*authentic: AuthenticDevice) -> KeptDevices:
    """What is worth keeping of these."""
    return keep(authentic)


def failed(devices: Sequence[Device], profile: dict[str, object]) -> list[Finding]:
    """What a profile holds against these devices."""
    claims = [judge(device.evidence(NONCE), with_ocsp(device)).claims for device in devices]
    findings = appraise_devices(claims, GpuProfile.parse(profile))
    return [finding for finding in findings if finding.outcome is Outcome.FAILED]


def with_ocsp(device: Device) -> Collateral:
    """Good collateral, with a response for an identity key that asks for one (Blackwell)."""
    _, identity_key, provisioner, *_ = device.chain
    return collateral(ocsp=[vendor().ocsp(identity_key, provisioner)] if device.chip.startswith("GB") else ())
