"""The door to this machine's devices: one method, so that a fake of all GPUs and NVSwitches is a fake of one method."""

from __future__ import annotations

from typing import Protocol

from attest.evidence import DeviceEvidence

__all__ = ["NONCE", "NO_DEVICES", "Devices", "NoDevices"]

NONCE = 32  # bytes: all that a report has room for


class Devices(Protocol):
    """Collects evidence from the devices that this guest's own drivers reach."""

    def collect(self, nonce: bytes) -> tuple[DeviceEvidence, ...]:
        """Evidence of each over exactly these 32 bytes, always in the same order; raises clients.errors.Unavailable."""


class NoDevices:
    """A machine without devices, or one that is to say nothing of them."""

    def collect(self, nonce: bytes) -> tuple[DeviceEvidence, ...]:
        """None."""
        del nonce
        return ()


NO_DEVICES = NoDevices()
