"""Which TEE this machine shows: configfs-tsm first, for it serves most of them, /dev/sev-guest, or a paravisor.

Each door is loaded where it is: a boot has little memory, and goes through one of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from attest.evidence import CpuEvidence
from clients.errors import Unavailable
from clients.workload.tee import CONFIGFS_TSM, SEV_GUEST, TPM, Tee
from clients.workload.tee_files import Files, KernelFiles

if TYPE_CHECKING:
    from clients.workload.tee_sev_guest import Ioctl
    from clients.workload.tpm_wire import Transmit

__all__ = ["find_tee"]

_CONFIGFS = "/sys/kernel/config"
_TDX_DEVICE = "/dev/tdx_guest"


def find_tee(
    files: Files | None = None,
    ioctl: Ioctl | None = None,
    *,
    door: str = "auto",
    transmit: Transmit | None = None,
) -> Tee:
    """The door to what is there; raises Unavailable with a sentence that says what was looked for.

    `door` may name one: `configfs-tsm`, `sev-guest`, `azure`. `ioctl` and `transmit` reach the device and the TPM, the
    kernel's if they are not given.
    """
    files = files or KernelFiles()
    if door != "auto":
        return _named(door, files, ioctl, transmit)
    if files.exists(CONFIGFS_TSM):
        return _First(_configfs(files), lambda: _second(files, ioctl, transmit))
    found = _second(files, ioctl, transmit)
    if found is None:
        raise Unavailable(_nothing(files))
    return found


class _First:
    """configfs-tsm, and what else there is where nothing has registered there."""

    simulated = False

    def __init__(self, first: Tee, second: Callable[[], Tee | None]) -> None:
        self._first = first
        self._second = second

    def collect(self, report_data: bytes) -> CpuEvidence:
        """As the protocol says."""
        from clients.workload.tee_configfs import NoProvider  # noqa: PLC0415

        try:
            return self._first.collect(report_data)
        except NoProvider:
            second = self._second()
            if second is None:
                raise
            return second.collect(report_data)


def _second(files: Files, ioctl: Ioctl | None, transmit: Transmit | None) -> Tee | None:
    if files.exists(SEV_GUEST):
        return _sev_guest(ioctl)
    return _paravisor(transmit) if files.exists(TPM) else None


def _configfs(files: Files) -> Tee:
    from clients.workload.tee_configfs import ConfigfsTsm  # noqa: PLC0415

    return ConfigfsTsm(files)


def _sev_guest(ioctl: Ioctl | None) -> Tee:
    from clients.workload.tee_sev_guest import SevGuest, kernel_ioctl  # noqa: PLC0415

    return SevGuest(ioctl or kernel_ioctl)


def _paravisor(transmit: Transmit | None) -> Tee | None:
    """The door to the guest of a paravisor; None where there is a TPM and no paravisor behind it."""
    from clients.workload.imds import Imds  # noqa: PLC0415
    from clients.workload.link_local import LinkLocal  # noqa: PLC0415
    from clients.workload.tee_azure import AzureGuest  # noqa: PLC0415
    from clients.workload.tpm import Tpm  # noqa: PLC0415
    from clients.workload.tpm_device import KernelTpm  # noqa: PLC0415
    from clients.workload.tpm_wire import TpmWire  # noqa: PLC0415

    found = AzureGuest(Tpm(TpmWire(transmit or KernelTpm())), Imds(LinkLocal()))
    return found if found.is_there() else None


def _named(door: str, files: Files, ioctl: Ioctl | None, transmit: Transmit | None) -> Tee:
    where = {"configfs-tsm": CONFIGFS_TSM, "sev-guest": SEV_GUEST, "azure": TPM}[door]
    if not files.exists(where):
        raise Unavailable(f"there is no {where} on this machine, and the TEE was to be asked through {door}")
    if door == "configfs-tsm":
        return _configfs(files)
    if door == "sev-guest":
        return _sev_guest(ioctl)
    found = _paravisor(transmit)
    if found is None:
        raise Unavailable(f"the TPM behind {TPM} has no report of a paravisor: this is no confidential VM of Azure's")
    return found


def _nothing(files: Files) -> str:
    looked = f"this machine shows no TEE: there is neither {CONFIGFS_TSM} (configfs-tsm) nor {SEV_GUEST}"
    if files.exists(TPM):
        looked += f", and the TPM behind {TPM} has no report of Azure's paravisor"
    if files.exists(_TDX_DEVICE):
        looked += (
            f". {_TDX_DEVICE} is there, so this is a TDX guest: its quotes come through configfs-tsm, Linux 6.7 on"
        )
    if not files.exists(_CONFIGFS):
        return f"{looked}. The kernel has no configfs: modprobe configfs"
    if not files.exists(f"{_CONFIGFS}/tsm"):
        return f"{looked}. Perhaps: mount -t configfs none {_CONFIGFS}; modprobe sev-guest, or tdx-guest"
    return looked
