"""The TPM's wire, device and commands: what is asked, and each answer that is none, in a sentence."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clients.errors import Unavailable
from clients.workload.tee_azure import AK, HCL_REPORT
from clients.workload.tpm import FIXED_TPM, RESTRICTED, SIGN, Tpm
from clients.workload.tpm_codes import name_of
from clients.workload.tpm_device import KernelTpm
from clients.workload.tpm_wire import TpmRefused, TpmWire, Transmit
from tests.makers import azure
from tests.makers.vtpm import COMMANDS, FakeVtpm, answer

REPORT = bytes(range(256)) * 10
NONCE = bytes(range(32))


class Clock:
    """Time that passes while one sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept.append(seconds)


def tpm(transmit: Transmit, clock: Clock | None = None) -> Tpm:
    clock = clock or Clock()
    return Tpm(TpmWire(transmit, clock=lambda: clock.now, sleep=clock.sleep))


# name: a call, by the command that is spoiled first
CALLS: dict[str, Callable[[Tpm], Any]] = {
    "NV_ReadPublic": lambda made: made.has_index(HCL_REPORT),
    "GetCapability": lambda made: made.nv_read(HCL_REPORT),
    "NV_Read": lambda made: made.nv_read(HCL_REPORT),
    "ReadPublic": lambda made: made.public(AK),
    "PCR_Read": lambda made: made.pcrs(),
    "Quote": lambda made: made.quote(AK, NONCE),
}


def test_what_is_read_is_what_is_there() -> None:
    fake = FakeVtpm(REPORT)
    found = tpm(fake)
    assert found.has_index(HCL_REPORT)
    assert not found.has_index(HCL_REPORT + 1)
    assert found.nv_read(HCL_REPORT) == REPORT
    assert fake.asked.count("NV_Read") == 3
    assert found.pcrs() == azure.PCR_VALUES
    modulus, attributes = found.public(AK)
    numbers = fake.key.public_key().public_numbers()
    assert (modulus, numbers.e) == (numbers.n, 65_537)
    assert attributes & FIXED_TPM
    assert attributes & RESTRICTED
    assert attributes & SIGN
    made = azure.quote(NONCE)
    assert found.quote(AK, NONCE) == (made.message, made.signature)


@pytest.mark.parametrize("size", [64, 65, 1_000, 60_000])
def test_an_index_is_read_in_pieces_of_what_the_tpm_gives(size: int) -> None:
    fake = FakeVtpm(REPORT, nv_buffer=size)
    assert tpm(fake).nv_read(HCL_REPORT) == REPORT
    assert fake.asked.count("NV_Read") == -(-len(REPORT) // min(size, 2_048))


@pytest.mark.parametrize("at_once", [1, 5, 8, 24])
def test_pcrs_come_as_many_at_once_as_the_tpm_likes(at_once: int) -> None:
    assert tpm(FakeVtpm(REPORT, at_once=at_once)).pcrs() == azure.PCR_VALUES


def test_pcrs_that_are_extended_meanwhile_are_read_again() -> None:
    fake, left = FakeVtpm(REPORT), [2]

    def extend(name: str) -> None:
        if name == "PCR_Read" and len(fake.asked) % 3 == 2 and left[0]:
            left[0] -= 1
            fake.extend(11, bytes([left[0]]) * 32)

    fake.before = extend
    assert tpm(fake).pcrs()[11] == bytes(32)
    fake.before = lambda name: fake.extend(11, os.urandom(32))
    with pytest.raises(Unavailable, match="PCRs changed 5 times") as caught:
        tpm(fake).pcrs()
    assert caught.value.retry_after is not None


def test_where_ownership_was_taken_the_index_is_read_with_its_own_password() -> None:
    assert tpm(FakeVtpm(REPORT, owner_taken=True)).nv_read(HCL_REPORT) == REPORT
    with pytest.raises(TpmRefused, match="TPM_RC_BAD_AUTH for session 1"):
        tpm(FakeVtpm(REPORT, owner_taken=True, nv_attributes=0x2002_0002)).nv_read(HCL_REPORT)
    only_users = FakeVtpm(REPORT, owner_taken=True, nv_attributes=0x2004_0004)
    assert tpm(only_users).nv_read(HCL_REPORT) == REPORT


INDEXES: dict[str, tuple[dict[str, Any], str]] = {
    "never written": ({"nv_attributes": 0x0006_0006}, "never written"),
    "for nobody": ({"nv_attributes": 0x2001_0001}, "neither its owner nor a user"),
    "empty": ({"report": b""}, "holds 0 bytes"),
    "too large": ({"report": bytes(16_385)}, "holds 16385 bytes"),
    "in crumbs": ({"nv_buffer": 63}, "how much of an NV index"),
}


@pytest.mark.parametrize("case", INDEXES)
def test_indexes_that_are_not_read(case: str) -> None:
    changed, sentence = INDEXES[case]
    with pytest.raises(Unavailable, match=sentence):
        tpm(FakeVtpm(**{"report": REPORT, **changed})).nv_read(HCL_REPORT)


# --- hostile answers ---


def _resized(data: bytes, size: int) -> bytes:
    return data[:2] + struct.pack(">I", size) + data[6:]


# Every one of these answers to every command is refused, in a sentence that names the command.
HOSTILE: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda _: b"",
    "nine bytes": lambda data: data[:9],
    "a header alone": lambda data: _resized(data[:10], 10),
    "a byte less": lambda data: _resized(data[:-1], len(data) - 1),
    "a byte more": lambda data: _resized(data + b"\0", len(data) + 1),
    "a byte behind the size": lambda data: data + b"\0",
    "a size that is more": lambda data: _resized(data, len(data) + 1),
    "a size that is less": lambda data: _resized(data, len(data) - 1),
    "more than a buffer": lambda data: _resized(data + bytes(4_096), len(data) + 4_096),
    "the tag of a command without sessions": lambda data: bytes.fromhex("8001" if data[1] == 2 else "8002") + data[2:],
    "the tag of a TPM 1.2": lambda data: bytes.fromhex("00c4") + data[2:],
    "an error with more behind it": lambda data: data[:6] + struct.pack(">I", 0x18B) + data[10:],
    "an error with sessions": lambda _: struct.pack(">HII", 0x8002, 10, 0x101),
    "another structure": lambda data: _resized(data[:10] + b"\xff" * 6, 16),
}


@pytest.mark.parametrize("command", CALLS)
@pytest.mark.parametrize("case", HOSTILE)
def test_answers_that_are_none(case: str, command: str) -> None:
    fake = FakeVtpm(REPORT)
    fake.spoil = lambda name, data: HOSTILE[case](data) if name == command else data
    with pytest.raises(Unavailable, match=f"TPM2_{command}"):
        CALLS[command](tpm(fake))


def _parameters(change: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    return lambda data: answer(change(data[14:-5]), sessions=True)


LIES: dict[str, tuple[str, Callable[[bytes], bytes], str]] = {
    "another index": ("NV_ReadPublic", lambda d: d.replace(b"\x01\x40\x00\x01", b"\x01\x40\x00\x02"), "answered about"),
    "a short piece": ("NV_Read", _parameters(lambda d: struct.pack(">H", 9) + d[2:11]), "gave 9 bytes of 0x01400001"),
    "a long piece": (
        "NV_Read", _parameters(lambda d: struct.pack(">H", len(d) - 1) + d[2:] + b"\0"), "where 1024 were asked for",
    ),
    "an authorisation of its own": ("NV_Read", lambda d: d[:-5] + b"\0\1\0\0\0", "5 behind them"),
    "parameters beyond the end": ("NV_Read", lambda d: d[:10] + b"\0\1\0\0" + d[14:], "parameters of 65536 bytes"),
    "another property": ("GetCapability", lambda d: d[:-8] + b"\0\0\1\x2d" + d[-4:], "how much of an NV index"),
    "no property": ("GetCapability", lambda _: answer(struct.pack(">BIIII", 0, 6, 0, 0, 0)), "how much of an NV index"),
    "a key of another kind": ("ReadPublic", lambda d: d[:12] + b"\0\x23" + d[14:], "of type 0x23, not RSA"),
    "a key of another exponent": (
        "ReadPublic", lambda d: d.replace(b"\x08\0\0\0\0\0", b"\x08\0\0\0\0\3"), "exponent 3,",
    ),
    "another bank": ("PCR_Read", lambda d: d[:18] + b"\0\4" + d[20:], "PCRs of 1 banks, the first 0x4"),
    "no bank": ("PCR_Read", lambda d: answer(d[10:14] + bytes(8)), "no PCRs of 32 bytes"),
    "an empty choice": (
        "PCR_Read", lambda d: answer(d[10:21] + bytes(3) + bytes(4)), "no PCRs of 32 bytes",
    ),
    "other PCRs": ("PCR_Read", lambda d: d[:21] + b"\xff\1\0" + d[24:], "other PCRs than it was asked for"),
    "a thousand PCRs": ("PCR_Read", lambda d: d[:24] + struct.pack(">I", 1_000) + d[28:], "1000 PCRs at once"),
    "PCRs of 20 bytes": (
        "PCR_Read", lambda d: answer(d[10:21] + b"\1\0\0" + struct.pack(">IH", 1, 20) + bytes(20)), "other PCRs",
    ),
    "a signature by another scheme": ("Quote", lambda d: d.replace(b"\0\x14\0\x0b", b"\0\x16\0\x0b"), "not RSASSA"),
    "a signature over SHA-1": ("Quote", lambda d: d.replace(b"\0\x14\0\x0b", b"\0\x14\0\4"), "not RSASSA"),
}  # fmt: skip


@pytest.mark.parametrize("case", LIES)
def test_answers_about_something_else(case: str) -> None:
    command, change, sentence = LIES[case]
    fake = FakeVtpm(REPORT)
    fake.spoil = lambda name, data: change(data) if name == command else data
    with pytest.raises(Unavailable, match=sentence):
        CALLS[command](tpm(fake))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(CALLS)), st.data())
def test_no_answer_raises_anything_else(command: str, data: st.DataObject) -> None:
    """One byte of an answer is another, or all of it: an error of ours, or a value of the right shape."""
    fake, at, value = FakeVtpm(REPORT), data.draw(st.integers(0, 400)), data.draw(st.integers(0, 255))

    def change(name: str, given: bytes) -> bytes:
        if name != command or at >= len(given):
            return given
        return given[:at] + bytes([value]) + given[at + 1 :]

    fake.spoil = change
    with contextlib.suppress(Unavailable):
        assert _shape(CALLS[command](tpm(fake))) == _shape(CALLS[command](tpm(FakeVtpm(REPORT))))


def _shape(value: Any) -> Any:
    """What a value is, without what it says."""
    return tuple(map(_shape, value)) if isinstance(value, tuple) else type(value)


# --- response codes ---

REFUSED: dict[int, str] = {
    0x100: r"refused TPM2_Quote with TPM_RC_INITIALIZE \(0x100\)",
    0x101: "TPM_RC_FAILURE",
    0x18B: r"TPM_RC_HANDLE for handle 1 \(0x18b\)",
    0x98E: "TPM_RC_AUTH_FAIL for session 1",
    0x2D5: "TPM_RC_SIZE for parameter 2",
    0x921: "TPM_RC_LOCKOUT.*too many were wrong",
    0x923: "TPM_RC_NV_UNAVAILABLE",
    0x000B0143: r"TPM_RC_COMMAND_CODE \(0xb0143\)",
    0x7FF: "response code 0x7ff",
}


@pytest.mark.parametrize("code", REFUSED)
def test_a_refusal_is_named_and_not_asked_again(code: int) -> None:
    fake, clock = FakeVtpm(REPORT), Clock()
    fake.spoil = lambda _name, _data: answer(b"", code=code)
    with pytest.raises(TpmRefused, match=REFUSED[code]) as caught:
        tpm(fake, clock).quote(AK, NONCE)
    assert (fake.asked, clock.slept, caught.value.retry_after) == (["Quote"], [], None)


BUSY = {"RETRY": 0x922, "YIELDED": 0x908, "TESTING": 0x90A, "NV_RATE": 0x920}


@pytest.mark.parametrize("name", BUSY)
def test_a_busy_tpm_is_asked_again_for_a_while(name: str) -> None:
    fake, clock = FakeVtpm(REPORT), Clock()
    fake.spoil = lambda _, data: answer(b"", code=BUSY[name]) if len(fake.asked) < 5 else data
    assert tpm(fake, clock).quote(AK, NONCE)[0]
    assert clock.slept == sorted(clock.slept)
    assert len(fake.asked) == 5
    fake.spoil = lambda _name, _data: answer(b"", code=BUSY[name])
    with pytest.raises(TpmRefused, match=f"TPM_RC_{name}.*for 5 s") as caught:
        tpm(fake, clock).quote(AK, NONCE)
    assert caught.value.retry_after is not None
    assert clock.now < 10


def test_every_command_has_a_name() -> None:
    assert set(COMMANDS.values()) == {0x14E, 0x158, 0x169, 0x173, 0x17A, 0x17E}
    assert name_of(0) == "response code 0x0"


# --- the device ---


def _device(answers: Callable[[bytes], bytes | None], **given: Any) -> KernelTpm:
    """One end of a pair of sockets, whose other end is a TPM in a thread."""

    def open_device(_path: str) -> int:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

        def serve() -> None:
            with theirs:
                found = answers(theirs.recv(8_192))
                if found is None:
                    theirs.recv(1)
                else:
                    theirs.send(found)

        threading.Thread(target=serve, daemon=True).start()
        return ours.detach()

    return KernelTpm("/dev/tpmrm0", open_device=open_device, **given)


def test_a_command_goes_through_the_device() -> None:
    assert tpm(_device(FakeVtpm(REPORT))).nv_read(HCL_REPORT) == REPORT


def test_a_tpm_that_does_not_answer_is_not_waited_for() -> None:
    with pytest.raises(Unavailable, match=r"has not answered within 0\.05 s") as caught:
        tpm(_device(lambda _: None, seconds=0.05)).pcrs()
    assert caught.value.retry_after is not None


def test_a_tpm_that_goes_away() -> None:
    with pytest.raises(Unavailable, match="TPM2_PCR_Read is not as specified: 0 bytes"):
        tpm(_device(lambda _: b"")).pcrs()


OPENING: dict[int, tuple[str, bool]] = {
    errno.EACCES: ("may not be opened.*in the group that owns it", False),
    errno.EPERM: ("may not be opened.*run as root", False),
    errno.ENOENT: ("cannot be opened: No such file", False),
    errno.EBUSY: ("cannot be opened: Device or resource busy", True),
    errno.ENODEV: ("cannot be opened: No such device", True),
}


@pytest.mark.parametrize("number", OPENING)
def test_a_device_that_does_not_open(number: int) -> None:
    sentence, again = OPENING[number]

    def fails(path: str) -> int:
        raise OSError(number, os.strerror(number), path)

    with pytest.raises(Unavailable, match=sentence) as caught:
        tpm(KernelTpm(open_device=fails)).pcrs()
    assert (caught.value.retry_after is not None) is again


def test_a_device_that_takes_nothing(tmp_path: Path) -> None:
    (tmp_path / "tpm").touch(mode=0o400)
    reading = KernelTpm(open_device=lambda _: os.open(tmp_path / "tpm", os.O_RDONLY))
    with pytest.raises(Unavailable, match="did not carry a command"):
        tpm(reading).pcrs()
