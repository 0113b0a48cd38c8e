"""Event logs as firmware writes them (CCEL) and as dstack does (JSON), right, or wrong in one chosen way."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Sequence

__all__ = ["SHA384", "TERMINATOR", "boot", "ccel", "dstack", "event", "header", "replayed", "variable"]

SHA384 = 0x000C
TERMINATOR = b"\xff\xff\xff\xff"
EV_SEPARATOR, EV_NO_ACTION, EV_IPL, EV_IMAGE, EV_VARIABLE_BOOT = 0x4, 0x3, 0xD, 0x80000003, 0x80000002


def header(algorithms: Sequence[tuple[int, int]] = ((SHA384, 48),), *, index: int = 1, vendor: bytes = b"") -> bytes:
    listed = b"".join(struct.pack("<HH", *each) for each in algorithms)
    data = b"Spec ID Event03\0" + struct.pack("<IBBBBI", 0, 0, 2, 0, 2, len(algorithms)) + listed
    data += bytes([len(vendor)]) + vendor
    return struct.pack("<II20sI", index, EV_NO_ACTION, bytes(20), len(data)) + data


def event(
    register: int, kind: int, data: bytes, *, measured: bytes | None = None, digest: bytes | None = None
) -> bytes:
    """One TCG_PCR_EVENT2 that extends RTMR[`register`] by the digest of `measured`, or of its data."""
    extended = hashlib.sha384(data if measured is None else measured).digest() if digest is None else digest
    return struct.pack("<IIIH48sI", register + 1, kind, 1, SHA384, extended, len(data)) + data


def variable(name: str, data: bytes) -> bytes:
    """UEFI_VARIABLE_DATA."""
    return bytes(range(16)) + struct.pack("<QQ", len(name), len(data)) + name.encode("utf-16-le") + data


def ccel(*events: bytes, head: bytes | None = None, padding: bytes = b"\xff" * 64) -> bytes:
    return (header() if head is None else head) + b"".join(events) + TERMINATOR + padding


def boot(*, kernel: bytes = b"kernel", initrd: bytes = b"initrd", cmdline: bytes = b"root=/dev/vda1") -> bytes:
    """A small boot: firmware into RTMR[0], images into RTMR[1], what they load into RTMR[2]."""
    order = variable("BootOrder", b"\x01\x00")
    return ccel(
        event(0, EV_VARIABLE_BOOT, order, measured=b"\x01\x00"),
        event(0, EV_SEPARATOR, bytes(4)),
        event(1, EV_IMAGE, b"device path", measured=kernel),
        event(2, EV_IPL, b"kernel_cmdline: " + cmdline + b"\0", measured=cmdline),
        event(2, 0x6, b"Linux initrd\0", measured=initrd),
    )


def dstack(*events: dict[str, object]) -> bytes:
    return json.dumps(events).encode()


def replayed(extended: Sequence[tuple[int, bytes]]) -> tuple[bytes, bytes, bytes, bytes]:
    """RTMR[0] to RTMR[3], by the definition and apart from the code under test."""
    values = [b"\0" * 48 for _ in range(4)]
    for register, measured in extended:
        values[register] = hashlib.sha384(values[register] + hashlib.sha384(measured).digest()).digest()
    return values[0], values[1], values[2], values[3]
