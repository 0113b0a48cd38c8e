# ruff: noqa: N802, N815  # the names are NVML's
"""A GPU driver in memory: NVML's functions as nvidia-ml-py has them, over devices of the throwaway NVIDIA.

Structures, constants and errors are the real module's, so that what the client reads is laid out as the driver lays it
out. `fails` names the calls that fail, with NVML's code; `hangs` those that do not return
until `released`, from which time on that they are called.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import pynvml

from tests.makers.nvidia import Device

__all__ = ["FakeNvml"]


class FakeNvml:
    """`ppcie` is protected PCIe mode, in which the single GPUs' feature is off; `old` a driver of one mode and call."""

    NVMLError = pynvml.NVMLError
    c_nvmlSystemConfComputeSettings_v1_t = pynvml.c_nvmlSystemConfComputeSettings_v1_t

    def __init__(
        self,
        gpus: Sequence[Device],
        *,
        enabled: bool = True,
        ppcie: bool = False,
        developer: bool = False,
        old: bool = False,
        fails: Mapping[str, int] | None = None,
        report_size: int | None = None,
        behind_chain: bytes = b"",
        stays_unready: bool = False,
        together: int = 1,
        hangs: Mapping[str, int] | None = None,
    ) -> None:
        self._gpus = gpus
        self._enabled = enabled
        self._ppcie = ppcie
        self._developer = developer
        self._old = old
        self._fails = dict(fails or {})
        self._report_size = report_size
        self._behind_chain = behind_chain
        self._stays_unready = stays_unready
        self._meeting = threading.Barrier(together, timeout=10)
        self._hangs = dict(hangs or {})
        self.released = threading.Event()
        self.ready = 0
        self.open = 0
        self.calls: list[str] = []
        self._counting = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        """Constants are the real module's."""
        if name.startswith("NVML_"):
            return getattr(pynvml, name)
        raise AttributeError(name)

    def _called(self, name: str) -> None:
        with self._counting:  # of two at once, one is the second
            self.calls.append(name)
            nth = self.calls.count(name)
        if nth >= self._hangs.get(name, 1 << 30):
            self.released.wait(20)
        if name in self._fails:
            raise pynvml.NVMLError(self._fails[name])

    def nvmlInit(self) -> None:
        self._called("nvmlInit")
        self.open += 1

    def nvmlShutdown(self) -> None:
        self._called("nvmlShutdown")
        self.open -= 1

    def nvmlSystemGetConfComputeSettings(self, reference: Any) -> int:
        """As the real module: the code comes back, unless the driver does not have the function."""
        if "nvmlSystemGetConfComputeSettings" in self._hangs:
            self.released.wait(20)
        self.calls.append("nvmlSystemGetConfComputeSettings")
        if self._old:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND)
        settings = ctypes.cast(reference, ctypes.POINTER(self.c_nvmlSystemConfComputeSettings_v1_t)).contents
        settings.ccFeature = self._enabled and not self._ppcie
        settings.devToolsMode = self._developer
        settings.multiGpuMode = pynvml.NVML_CC_SYSTEM_MULTIGPU_PROTECTED_PCIE if self._ppcie else 0
        return self._fails.get("nvmlSystemGetConfComputeSettings", 0)

    def nvmlSystemGetConfComputeState(self) -> Any:
        self._called("nvmlSystemGetConfComputeState")
        state = pynvml.c_nvmlConfComputeSystemState_t()
        state.ccFeature, state.devToolsMode = self._enabled, self._developer
        return state

    def nvmlDeviceGetCount(self) -> int:
        self._called("nvmlDeviceGetCount")
        return len(self._gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        self._called("nvmlDeviceGetHandleByIndex")
        return index

    def nvmlDeviceGetConfComputeGpuAttestationReport(self, handle: int, nonce: bytes) -> Any:
        self._meeting.wait()  # GPUs that are asked one after another never meet here
        self._called("nvmlDeviceGetConfComputeGpuAttestationReport")
        report = self._gpus[handle].report(nonce)
        made = pynvml.c_nvmlConfComputeGpuAttestationReport_t()
        made.attestationReport[: len(report)] = report
        made.attestationReportSize = len(report) if self._report_size is None else self._report_size
        return made

    def nvmlDeviceGetConfComputeGpuCertificate(self, handle: int) -> Any:
        self._called("nvmlDeviceGetConfComputeGpuCertificate")
        chain = self._gpus[handle].pem + self._behind_chain
        given = pynvml.c_nvmlConfComputeGpuCertificate_t()
        given.attestationCertChain[: len(chain)] = chain
        given.attestationCertChainSize = len(chain)
        return given

    def nvmlSystemSetConfComputeGpusReadyState(self, state: int) -> int:
        self._called("nvmlSystemSetConfComputeGpusReadyState")
        self.ready = 0 if self._stays_unready else state
        return 0

    def nvmlSystemGetConfComputeGpusReadyState(self) -> int:
        self._called("nvmlSystemGetConfComputeGpusReadyState")
        return self.ready
