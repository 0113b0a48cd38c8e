"""What a guest collects of its GPUs and NVSwitches, and every way in which it cannot: the call that failed is named."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pynvml
import pytest

from clients.errors import Unavailable
from clients.workload.devices import NO_DEVICES
from clients.workload.devices_find import CONTROL, find_devices, load_nvml, open_switches
from clients.workload.devices_nscq import LIBRARIES, NscqSwitches, SwitchesUnread
from clients.workload.devices_nvml import NvmlGpus, make_ready
from tests.makers.nscq import FakeNscq
from tests.makers.nvidia import Device, hgx, mint
from tests.makers.nvml import FakeNvml

NONCE = bytes(range(32))


@pytest.fixture(scope="module")
def system() -> tuple[Device, ...]:
    return hgx(mint(now=datetime.now(UTC)))


def gpus(nvml: FakeNvml, told: list[str], *, switches: Any = None, insist: bool = False) -> NvmlGpus:
    return NvmlGpus(nvml, lambda: NscqSwitches(switches or FakeNscq([])), insist=insist, told=told.append)


def test_eight_gpus_at_once_in_their_order(system: tuple[Device, ...]) -> None:
    nvml, told = FakeNvml(system[:8], together=8), list[str]()
    found = gpus(nvml, told).collect(NONCE)
    assert [(d.kind, d.chain) for d in found] == [("nvidia-gpu", device.pem) for device in system[:8]]
    assert all(d.report[4:36] == NONCE for d in found)
    assert (told, nvml.open) == ([], 0)


def test_in_protected_pcie_mode_the_switches_too(system: tuple[Device, ...]) -> None:
    told, library = list[str](), FakeNscq(system[8:])
    found = gpus(FakeNvml(system[:8], ppcie=True), told, switches=library).collect(NONCE)
    assert [d.kind for d in found] == ["nvidia-gpu"] * 8 + ["nvidia-switch"] * 4
    assert {d.chain for d in found[8:]} == {device.pem for device in system[8:]}
    assert all(d.report[4:36] == NONCE for d in found)
    again = NscqSwitches(FakeNscq(system[:7:-1])).collect(NONCE)
    assert [d.chain for d in found[8:]] == [d.chain for d in again]
    assert (told, library.sessions) == ([], [])


def test_a_driver_of_one_mode(system: tuple[Device, ...]) -> None:
    nvml = FakeNvml(system[:1], old=True)
    assert len(gpus(nvml, []).collect(NONCE)) == 1
    assert "nvmlSystemGetConfComputeState" in nvml.calls


def test_a_zero_byte_behind_the_certificates_is_no_part_of_them(system: tuple[Device, ...]) -> None:
    found = gpus(FakeNvml(system[:1], behind_chain=b"\0"), []).collect(NONCE)
    assert found[0].chain == system[0].pem


_UNPROTECTED: Mapping[str, tuple[dict[str, Any], str]] = {
    "off": ({"enabled": False}, "confidential computing is off"),
    "off, old driver": ({"enabled": False, "old": True}, "confidential computing is off"),
    "not known to the GPUs": ({"fails": {"nvmlSystemGetConfComputeSettings": 3}}, "confidential computing is off"),
    "developer tools": ({"developer": True}, "developer tools mode"),
    "developer tools, PPCIE": ({"developer": True, "ppcie": True}, "developer tools mode"),
    "no GPU": ({"none": True}, "shows no GPU"),
}


@pytest.mark.parametrize("name", _UNPROTECTED)
def test_gpus_that_protect_nothing_have_no_evidence(name: str, system: tuple[Device, ...]) -> None:
    changed, sentence = _UNPROTECTED[name]
    devices = () if "none" in changed else system[:2]
    nvml, told = FakeNvml(devices, **{k: v for k, v in changed.items() if k != "none"}), list[str]()
    assert gpus(nvml, told).collect(NONCE) == ()
    assert len(told) == 1
    assert sentence in told[0]
    assert "no evidence of devices is sent" in told[0]
    with pytest.raises(Unavailable, match=sentence) as insisted:
        gpus(nvml, told, insist=True).collect(NONCE)
    assert insisted.value.retry_after is not None
    assert "nvmlDeviceGetConfComputeGpuAttestationReport" not in nvml.calls
    assert nvml.open == 0


@pytest.mark.parametrize(
    ("call", "code", "sentence"),
    [
        ("nvmlInit", 12, "^nvmlInit failed: NVML Shared Library Not Found$"),
        ("nvmlInit", 9, "Driver Not Loaded"),
        ("nvmlSystemGetConfComputeSettings", 18, "nvmlSystemGetConfComputeSettings failed: RM has detected"),
        ("nvmlDeviceGetCount", 999, "nvmlDeviceGetCount failed: Unknown Error"),
        ("nvmlDeviceGetHandleByIndex", 15, "GPU 0: nvmlDeviceGetHandleByIndex failed: GPU is lost"),
        ("nvmlDeviceGetConfComputeGpuAttestationReport", 10, "GPU 0: .*AttestationReport failed: Timeout"),
        ("nvmlDeviceGetConfComputeGpuCertificate", 4, "Insufficient Permissions; run as root"),
    ],
)
def test_the_call_that_failed_is_named(call: str, code: int, sentence: str, system: tuple[Device, ...]) -> None:
    nvml = FakeNvml(system[:2], fails={call: code})
    with pytest.raises(Unavailable, match=sentence) as failed:
        gpus(nvml, []).collect(NONCE)
    assert failed.value.retry_after is not None
    assert nvml.open == 0


@pytest.mark.parametrize("size", [0, 0x2001])
def test_a_size_that_cannot_be(size: int, system: tuple[Device, ...]) -> None:
    with pytest.raises(Unavailable, match=f"GPU 0: its report has {size} bytes"):
        gpus(FakeNvml(system[:1], report_size=size), []).collect(NONCE)


_UNREAD: Mapping[str, tuple[dict[str, Any], str]] = {
    "no session": ({"fails": {"nscq_session_create": -7}}, r"nscq_session_create failed: driver error \(-7\)"),
    "no list": ({"fails": {"nscq_session_path_observe": -8}}, r"observe /drv/nvswitch/\{device\}/uuid failed: timeout"),
    "no UUID": ({"fails": {"uuid": -2}}, r"uuid failed: invalid UUID \(-2\)"),
    "no label": ({"fails": {"nscq_uuid_to_label": -5}}, "nscq_uuid_to_label failed: unexpected value"),
    "no nonce": ({"fails": {"nscq_session_set_input": -1}}, "nscq_session_set_input failed: not implemented"),
    "no report": ({"fails": {"attestation_report": -128}}, "config/attestation_report failed: unspecified error"),
    "no certificates": ({"fails": {"certificate": -77}}, r"config/certificate failed: unknown error \(-77\)"),
    "no answer": ({"answers": 0}, "config/attestation_report gave 0 answers"),
    "two answers": ({"answers": 2}, "config/attestation_report gave 2 answers"),
    "an empty report": ({"report_size": 0}, "an answer of no or too many bytes"),
    "a report without end": ({"report_size": 0x2001}, "an answer of no or too many bytes"),
    "an old library": ({"lacks": "session_set_input"}, "libnvidia-nscq has no nscq_session_set_input"),
}


@pytest.mark.parametrize("name", _UNREAD)
def test_switches_that_cannot_be_read_are_told_of_and_left_out(name: str, system: tuple[Device, ...]) -> None:
    changed, sentence = _UNREAD[name]
    library, told = FakeNscq(system[8:], **changed), list[str]()
    with pytest.raises(SwitchesUnread, match=sentence):
        NscqSwitches(library).collect(NONCE)
    found = gpus(FakeNvml(system[:8], ppcie=True), told, switches=library).collect(NONCE)
    assert [d.kind for d in found] == ["nvidia-gpu"] * 8
    assert len(told) == 1
    assert "SWITCH_EVIDENCE_MISSING" in told[0]
    assert library.sessions == []


def test_a_warning_is_no_failure(system: tuple[Device, ...]) -> None:
    library = FakeNscq(system[8:], fails={"nscq_session_create": 1, "attestation_report": 1})
    assert len(NscqSwitches(library).collect(NONCE)) == 4


def test_a_machine_without_switches() -> None:
    with pytest.raises(SwitchesUnread, match="found no NVSwitch"):
        NscqSwitches(FakeNscq([])).collect(NONCE)


def test_a_library_that_is_not_there(system: tuple[Device, ...]) -> None:
    asked = list[str]()

    def load(name: str) -> Any:
        asked.append(name)
        raise OSError(f"{name}: cannot open shared object file")

    with pytest.raises(SwitchesUnread, match=f"could not be opened: {LIBRARIES[0]}: cannot open"):
        open_switches(load)
    assert asked == list(LIBRARIES)
    told = list[str]()
    door = NvmlGpus(FakeNvml(system[:8], ppcie=True), lambda: open_switches(load), insist=False, told=told.append)
    assert len(door.collect(NONCE)) == 8
    assert "could not be opened" in told[0]


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_nonce_of_another_length_is_a_mistake_of_the_caller(length: int, system: tuple[Device, ...]) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        gpus(FakeNvml(system[:1]), []).collect(bytes(length))
    with pytest.raises(ValueError, match="32 bytes"):
        NscqSwitches(FakeNscq(system[8:])).collect(bytes(length))


class Machine:
    """Files of a guest with a driver, or without."""

    def __init__(self, *present: str) -> None:
        self._present = present

    def exists(self, path: str) -> bool:
        return path in self._present


def test_a_machine_without_a_driver_loads_nothing() -> None:
    never: Any = lambda: pytest.fail("it was loaded")  # noqa: E731
    files: Any = Machine()
    assert find_devices(insist=False, told=never, files=files, load=never) is NO_DEVICES
    assert NO_DEVICES.collect(NONCE) == ()
    with pytest.raises(Unavailable, match=f"there is no {CONTROL}") as insisted:
        find_devices(insist=True, told=never, files=files, load=never)
    assert insisted.value.retry_after is not None


def test_a_machine_with_a_driver(system: tuple[Device, ...]) -> None:
    files: Any = Machine(CONTROL)
    nvml, switches = FakeNvml(system[:8], ppcie=True), NscqSwitches(FakeNscq(system[8:]))
    door = find_devices(insist=True, told=pytest.fail, files=files, load=lambda: nvml, switches=lambda: switches)
    assert len(door.collect(NONCE)) == 12


def test_the_module_that_speaks_to_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_nvml() is pynvml
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(Unavailable, match=r"sealgate\[gpu\]"):
        load_nvml()


def test_the_ready_state_is_set_and_asked_back(system: tuple[Device, ...]) -> None:
    nvml = FakeNvml(system[:8])
    make_ready(nvml)
    assert (nvml.ready, nvml.open) == (1, 0)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"stays_unready": True}, "took the ready state, and then said 0 instead of 1"),
        ({"fails": {"nvmlSystemSetConfComputeGpusReadyState": 4}}, "ReadyState failed: Insufficient Permissions; run"),
        ({"fails": {"nvmlSystemGetConfComputeGpusReadyState": 3}}, "ReadyState failed: Not Supported"),
        ({"fails": {"nvmlInit": 9}}, "nvmlInit failed: Driver Not Loaded"),
    ],
)
def test_a_ready_state_that_could_not_be_set(
    changed: dict[str, Any], sentence: str, system: tuple[Device, ...]
) -> None:
    nvml = FakeNvml(system[:1], **changed)
    with pytest.raises(Unavailable, match=sentence):
        make_ready(nvml)
    assert nvml.open == 0


# --- a driver that hangs ---


_HANGING: Mapping[str, tuple[dict[str, int], str]] = {
    "at its start": ({"nvmlInit": 1}, "nvmlInit did not return"),
    "asked for its mode": ({"nvmlSystemGetConfComputeSettings": 1}, "nvmlSystemGetConfComputeSettings did not return"),
    "asked how many": ({"nvmlDeviceGetCount": 1}, "nvmlDeviceGetCount did not return"),
    "one GPU of two": (
        {"nvmlDeviceGetConfComputeGpuCertificate": 2}, "GPU [01]: nvmlDeviceGetConfComputeGpuCertificate did not",
    ),
    "both GPUs": (
        {"nvmlDeviceGetConfComputeGpuAttestationReport": 1},
        "GPU 0: nvmlDeviceGetConfComputeGpuAttestationReport, GPU 1: nvmlDeviceGetConfComputeGpuAttestationReport did",
    ),
    "at its end": ({"nvmlShutdown": 1}, "nvmlShutdown did not return"),
}  # fmt: skip


@pytest.mark.parametrize("name", _HANGING)
def test_a_call_that_never_returns_is_left_behind_and_named(name: str, system: tuple[Device, ...]) -> None:
    hangs, sentence = _HANGING[name]
    nvml = FakeNvml(system[:2], hangs=hangs)
    door = NvmlGpus(nvml, lambda: NscqSwitches(FakeNscq([])), insist=True, told=pytest.fail, seconds=0.3)
    with pytest.raises(Unavailable, match=f"driver hangs: {sentence}.* within 0.3 s") as caught:
        door.collect(NONCE)
    assert caught.value.retry_after is None
    nvml.released.set()


def test_switches_that_never_answer_are_named(system: tuple[Device, ...]) -> None:
    released = threading.Event()

    def hangs() -> Any:
        released.wait(20)
        raise SwitchesUnread("late")

    door = NvmlGpus(FakeNvml(system[:8], ppcie=True), hangs, insist=True, told=lambda _: None, seconds=0.3)
    with pytest.raises(Unavailable, match="the NVSwitches' library did not return"):
        door.collect(NONCE)
    released.set()


def test_a_ready_state_that_is_never_taken(system: tuple[Device, ...]) -> None:
    nvml = FakeNvml(system[:2], hangs={"nvmlSystemSetConfComputeGpusReadyState": 1})
    with pytest.raises(Unavailable, match="nvmlSystemSetConfComputeGpusReadyState did not return within"):
        make_ready(nvml, seconds=0.3)
    nvml.released.set()


def test_a_process_ends_though_a_call_of_its_hangs() -> None:
    code = """
import time
from clients.errors import Unavailable
from clients.workload.devices_deadline import Watch, all_at_once, within
watch = Watch()
def hang():
    with watch.over("nvmlInit"):
        time.sleep(600)
try:
    within(0.1, watch, lambda: all_at_once([hang, hang]))
except Unavailable as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout == "the GPUs' driver hangs: nvmlInit did not return within 0.1 s\n"
