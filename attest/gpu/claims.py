"""What a device's evidence says, once it is authentic."""

from __future__ import annotations

from dataclasses import dataclass

from attest.gpu.opaque import Mode
from attest.gpu.report import SWITCH
from attest.gpu.rim import VerifiedRim
from attest.gpu.rim_id import driver_rim_id, vbios_rim_id
from attest.gpu.status import Standing

__all__ = ["DeviceClaims", "Manifest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A manifest that speaks of this device and was valid when the device was verified, and how its signers stand."""

    rim: VerifiedRim
    standing: Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceClaims:
    """One GPU or NVSwitch. `kind` is `nvidia-gpu` or `nvidia-switch`, `architecture` hopper, blackwell or ls10.

    `pdi`, 8 bytes, is the device's own for life. `ueid`, 20 bytes, is the serial of the leaf certificate, which is made
    anew with other firmware: one device has several in its life, two devices never have one. `fwid` is None where
    firmware does not report it; where it does it is that of the certificate. `measurements[n]` are those a manifest
    calls n. `driver_manifests` and `vbios_manifests` are every manifest of exactly this product and version, newest
    first; `offered` are all that were at hand. `trailing` counts unsigned zero bytes after the report.
    """

    kind: str
    architecture: str
    product: str
    model: str
    simulated: bool
    ueid: bytes
    pdi: bytes
    nonce: bytes
    driver_version: str
    vbios_version: str
    board: str
    mode: Mode
    fwid: bytes | None
    nvdec0: bool | None
    locked: bool | None
    switch_pdis: tuple[bytes, ...]
    gpu_pdis: tuple[bytes, ...]
    measurements: tuple[bytes, ...]
    standing: Standing
    driver_manifests: tuple[Manifest, ...]
    vbios_manifests: tuple[Manifest, ...]
    offered: tuple[VerifiedRim, ...]
    trailing: int

    @property
    def is_switch(self) -> bool:
        """Whether it is an NVSwitch."""
        return self.kind == SWITCH

    @property
    def rim_ids(self) -> tuple[str, ...]:
        """What NVIDIA's service calls the manifests of driver and VBIOS; empty where firmware does not say enough."""
        driver = () if self.is_switch else (driver_rim_id(self.product, self.driver_version),)
        return (*driver, vbios_rim_id(self.kind, self.board, self.vbios_version))
