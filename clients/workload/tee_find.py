"""Which TEE this machine shows: configfs-tsm first, for it serves all of them, then /dev/sev-guest."""

from __future__ import annotations

from attest.evidence import CpuEvidence
from clients.errors import Unavailable
from clients.workload.tee import Tee
from clients.workload.tee_configfs import ROOT, ConfigfsTsm, NoProvider
from clients.workload.tee_files import Files, KernelFiles
from clients.workload.tee_sev_guest import DEVICE, Ioctl, SevGuest, kernel_ioctl

__all__ = ["find_tee"]

_CONFIGFS = "/sys/kernel/config"
_TDX_DEVICE = "/dev/tdx_guest"


def find_tee(files: Files | None = None, ioctl: Ioctl = kernel_ioctl) -> Tee:
    """The door to what is there; raises Unavailable with a sentence that says what was looked for."""
    files = files or KernelFiles()
    device = SevGuest(ioctl) if files.exists(DEVICE) else None
    if files.exists(ROOT):
        return _First(ConfigfsTsm(files), device)
    if device is not None:
        return device
    raise Unavailable(_nothing(files))


class _First:
    """configfs-tsm, and the device where nothing has registered there."""

    simulated = False

    def __init__(self, first: ConfigfsTsm, second: SevGuest | None) -> None:
        self._first = first
        self._second = second

    def collect(self, report_data: bytes) -> CpuEvidence:
        """As the protocol says."""
        try:
            return self._first.collect(report_data)
        except NoProvider:
            if self._second is None:
                raise
            return self._second.collect(report_data)


def _nothing(files: Files) -> str:
    looked = f"this machine shows no TEE: there is neither {ROOT} (configfs-tsm) nor {DEVICE}"
    if files.exists(_TDX_DEVICE):
        looked += (
            f". {_TDX_DEVICE} is there, so this is a TDX guest: its quotes come through configfs-tsm, Linux 6.7 on"
        )
    if not files.exists(_CONFIGFS):
        return f"{looked}. The kernel has no configfs: modprobe configfs"
    if not files.exists(f"{_CONFIGFS}/tsm"):
        return f"{looked}. Perhaps: mount -t configfs none {_CONFIGFS}; modprobe sev-guest, or tdx-guest"
    return looked
