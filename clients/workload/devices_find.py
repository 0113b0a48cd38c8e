"""Which devices this machine shows: NVIDIA GPUs whose driver is loaded. Nothing is loaded where there is no driver."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from clients.errors import Unavailable
from clients.workload.devices import NO_DEVICES, Devices
from clients.workload.tee_files import Files, KernelFiles

__all__ = ["CONTROL", "find_devices", "load_nvml", "open_switches"]

CONTROL = "/dev/nvidiactl"  # there once the driver is
_AGAIN_S = 2.0


def find_devices(
    *,
    insist: bool,
    told: Callable[[str], object],
    files: Files | None = None,
    load: Callable[[], Any] | None = None,
    switches: Callable[[], Devices] | None = None,
) -> Devices:
    """The door to what is there. Unless `insist`, a machine without a driver has no devices; raises Unavailable."""
    if not (files or KernelFiles()).exists(CONTROL):
        if insist:
            sentence = f"there is no {CONTROL}, so no driver of NVIDIA's is loaded; evidence of devices was insisted on"
            raise Unavailable(sentence, retry_after=_AGAIN_S)
        return NO_DEVICES
    from clients.workload.devices_nvml import NvmlGpus  # noqa: PLC0415  # machines without a driver boot without it

    return NvmlGpus((load or load_nvml)(), switches or open_switches, insist=insist, told=told)


def load_nvml() -> Any:
    """The module of nvidia-ml-py; raises Unavailable."""
    try:
        return importlib.import_module("pynvml")
    except ImportError as error:
        raise Unavailable(
            "nvidia-ml-py is not installed, so that the GPUs' driver cannot be asked. Install sealgate[gpu], or leave "
            "devices out with --devices none"
        ) from error


def open_switches(load: Callable[[str], Any] | None = None) -> Devices:
    """The door to the NVSwitches; raises SwitchesUnread."""
    import ctypes  # noqa: PLC0415

    from clients.workload.devices_nscq import LIBRARIES, NscqSwitches, SwitchesUnread  # noqa: PLC0415

    load = load or ctypes.CDLL
    reasons = []
    for name in LIBRARIES:
        try:
            return NscqSwitches(load(name))
        except OSError as error:
            reasons.append(str(error))
    raise SwitchesUnread(f"the NVSwitches' library could not be opened: {reasons[0]}")
