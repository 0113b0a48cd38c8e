"""Evidence of NVIDIA GPUs through NVML, the driver's own library, and whether the driver lets anybody use them.

Sources: NVIDIA, "NVML API Reference", Confidential Computing; nvidia-ml-py, whose module is handed in. Every call is
named when it fails. What the driver says of itself (that confidential computing is on) is this guest's word: it is
worth something since the guest is measured, and it is asked for before any evidence is made.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from attest.evidence import DeviceEvidence
from clients.errors import Unavailable
from clients.workload.devices import NONCE, Devices
from clients.workload.devices_deadline import DEADLINE_S, Watch, all_at_once, within
from clients.workload.devices_nscq import SwitchesUnread

__all__ = ["NvmlGpus", "make_ready"]

_KIND = "nvidia-gpu"
_AGAIN_S = 2.0  # a driver may still be starting
_MAX_REPORT, _MAX_CHAIN = 0x2000, 0x1400  # bytes: NVML's own buffers
_OFF = "confidential computing is off in the GPUs' driver"
_DEBUGGED = "the GPUs are in developer tools mode, in which they protect nothing"


class NvmlGpus:
    """The door to the GPUs, and through `switches` to the NVSwitches where the driver is in protected PCIe mode.

    `nvml` is the module of nvidia-ml-py. GPUs that protect nothing have no evidence: if `insist`, that is an error,
    else it is `told`, as is an NVSwitch that cannot be read, whose evidence the broker then misses.
    """

    def __init__(
        self,
        nvml: Any,
        switches: Callable[[], Devices],
        *,
        insist: bool,
        told: Callable[[str], object],
        seconds: float = DEADLINE_S,
    ) -> None:
        self._nvml = nvml
        self._switches = switches
        self._insist = insist
        self._told = told
        self._seconds = seconds

    def collect(self, nonce: bytes) -> tuple[DeviceEvidence, ...]:
        """Evidence over these 32 bytes.

        1. the driver says that confidential computing is on, developer tools off
        2. report and certificates of every GPU, all at once, in the order of their numbers
        3. in protected PCIe mode those of the NVSwitches

        Raises Unavailable: one GPU that fails leaves a set that no profile with a count accepts. What is not over in
        time is left behind; the error names the call.
        """
        if len(nonce) != NONCE:
            raise ValueError(f"a device's nonce is {NONCE} bytes")
        watch = Watch()
        return within(self._seconds, watch, partial(self._collect, nonce, watch))

    def _collect(self, nonce: bytes, watch: Watch) -> tuple[DeviceEvidence, ...]:
        with _session(self._nvml, watch) as call:
            wired, unprotected = _mode(self._nvml, call, watch)  # 1
            count = 0 if unprotected else call("nvmlDeviceGetCount")
            if not count:
                return self._none(unprotected or "the GPUs' driver shows no GPU")
            gpus = all_at_once([partial(_evidence, call, index, nonce) for index in range(count)])  # 2
        with watch.over("the NVSwitches' library"):
            return (*gpus, *(self._wired(nonce) if wired else ()))

    def _none(self, why: str) -> tuple[DeviceEvidence, ...]:
        if self._insist:
            raise Unavailable(f"{why}; evidence of devices was insisted on", retry_after=_AGAIN_S)
        self._told(f"{why}: no evidence of devices is sent")
        return ()

    def _wired(self, nonce: bytes) -> tuple[DeviceEvidence, ...]:
        """Step 3: all NVSwitches or none, so that no release depends on which of them answered."""
        try:
            return self._switches().collect(nonce)
        except SwitchesUnread as error:
            self._told(f"{error}: no evidence of NVSwitches is sent, and the broker will say SWITCH_EVIDENCE_MISSING")
            return ()


def make_ready(nvml: Any, *, seconds: float = DEADLINE_S) -> None:
    """Lets programs use the GPUs: the driver runs nothing on them before. Raises Unavailable.

    For the whole machine. It is asked back, since a driver without confidential computing takes it and does nothing.
    """
    watch = Watch()
    within(seconds, watch, lambda: _make_ready(nvml, watch))


def _make_ready(nvml: Any, watch: Watch) -> None:
    with _session(nvml, watch) as call:
        ready = nvml.NVML_CC_ACCEPTING_CLIENT_REQUESTS_TRUE
        call("nvmlSystemSetConfComputeGpusReadyState", ready)
        state = call("nvmlSystemGetConfComputeGpusReadyState")
    if state != ready:
        raise Unavailable(f"the GPUs' driver took the ready state, and then said {state} instead of {ready}")


Call = Callable[..., Any]


@contextmanager
def _session(nvml: Any, watch: Watch) -> Iterator[Call]:
    """NVML in use; the value calls one of its functions by name."""

    def call(name: str, *arguments: Any, of: str = "") -> Any:
        try:
            with watch.over(f"{of}{name}"):
                return getattr(nvml, name)(*arguments)
        except nvml.NVMLError as error:
            hint = "; run as root" if error.value == nvml.NVML_ERROR_NO_PERMISSION else ""
            raise Unavailable(f"{of}{name} failed: {error}{hint}", retry_after=_AGAIN_S) from error

    call("nvmlInit")
    try:
        yield call
    finally:
        call("nvmlShutdown")


def _mode(nvml: Any, call: Call, watch: Watch) -> tuple[bool, str]:
    """Whether the driver is in protected PCIe mode, and why the GPUs protect nothing, or nothing.

    Drivers before R550 know one mode and one call. In protected PCIe mode the feature of single GPUs may be off.
    """
    settings = nvml.c_nvmlSystemConfComputeSettings_v1_t()
    try:
        with watch.over("nvmlSystemGetConfComputeSettings"):
            code = nvml.nvmlSystemGetConfComputeSettings(ctypes.byref(settings))
    except nvml.NVMLError as error:
        code = error.value
    if code == nvml.NVML_ERROR_FUNCTION_NOT_FOUND:
        state, several = call("nvmlSystemGetConfComputeState"), nvml.NVML_CC_SYSTEM_MULTIGPU_NONE
    elif code == nvml.NVML_ERROR_NOT_SUPPORTED:
        return False, _OFF
    elif code != nvml.NVML_SUCCESS:
        reason = nvml.NVMLError(code)
        raise Unavailable(f"nvmlSystemGetConfComputeSettings failed: {reason}", retry_after=_AGAIN_S)
    else:
        state, several = settings, settings.multiGpuMode
    if state.ccFeature != nvml.NVML_CC_SYSTEM_FEATURE_ENABLED and several == nvml.NVML_CC_SYSTEM_MULTIGPU_NONE:
        return False, _OFF
    debugged = state.devToolsMode != nvml.NVML_CC_SYSTEM_DEVTOOLS_MODE_OFF
    return several == nvml.NVML_CC_SYSTEM_MULTIGPU_PROTECTED_PCIE, _DEBUGGED if debugged else ""


def _evidence(call: Call, index: int, nonce: bytes) -> DeviceEvidence:
    """Step 2 for one GPU. The report stays as it came; the chain ends where its text ends."""
    of = f"GPU {index}: "
    handle = call("nvmlDeviceGetHandleByIndex", index, of=of)
    made = call("nvmlDeviceGetConfComputeGpuAttestationReport", handle, nonce, of=of)
    given = call("nvmlDeviceGetConfComputeGpuCertificate", handle, of=of)
    report = _cut(made.attestationReport, made.attestationReportSize, _MAX_REPORT, f"{of}its report")
    chain = _cut(given.attestationCertChain, given.attestationCertChainSize, _MAX_CHAIN, f"{of}its certificate chain")
    return DeviceEvidence(kind=_KIND, report=report, chain=chain.rstrip(b"\0"))


def _cut(buffer: Any, size: int, most: int, what: str) -> bytes:
    if not 0 < size <= most:
        raise Unavailable(f"{what} has {size} bytes, it should have 1 to {most}")
    return bytes(buffer)[:size]
