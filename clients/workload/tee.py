"""The door to the TEE this process runs in: one method, so that a fake of the hardware is a fake of one method."""

from __future__ import annotations

from typing import Protocol

from attest.evidence import CpuEvidence

__all__ = ["CONFIGFS_TSM", "REPORT_DATA", "SEV_GUEST", "TPM", "Tee"]

REPORT_DATA = 64  # bytes, for SNP and TDX alike
# The doors of a kernel.
CONFIGFS_TSM, SEV_GUEST, TPM = "/sys/kernel/config/tsm/report", "/dev/sev-guest", "/dev/tpmrm0"


class Tee(Protocol):
    """Collects evidence from the guest's own hardware."""

    simulated: bool

    def collect(self, report_data: bytes) -> CpuEvidence:
        """Evidence over exactly these 64 bytes; raises clients.errors.Unavailable."""
