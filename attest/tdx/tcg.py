"""Event types of the TCG: what an event's data says, and whether its digest can be computed again from it.

Source: TCG "PC Client Platform Firmware Profile", sections 10.2 (tagged events), 10.4 (event types and what each
measures). What a type measures is not always its data: of an image or a table the digest alone is in the log.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Mapping

from attest.errors import Malformed

__all__ = ["EV_NO_ACTION", "describe"]

EV_NO_ACTION = 0x3
_EV_SEPARATOR = 0x4
_EV_EVENT_TAG = 0x6
_EV_IPL = 0xD
_SHOWN = 200

# What a boot loader measures as text carries it behind a word that is not measured (GRUB: grub_cmd, kernel_cmdline).
_IPL_PREFIXES = (b"grub_cmd: ", b"kernel_cmdline: ", b"module_cmdline: ")


def _whole(data: bytes) -> bytes:
    return data


def _variable_data(data: bytes) -> bytes:
    """VariableData of a UEFI_VARIABLE_DATA: GUID, two lengths of 8 bytes, the name in UTF-16, the data."""
    if len(data) < 32:
        return b""
    name, size = struct.unpack_from("<QQ", data, 16)
    return data[32 + 2 * name :] if 32 + 2 * name + size == len(data) else b""


def _variable(data: bytes) -> str:
    if len(data) < 32:
        return "variable"
    (name,) = struct.unpack_from("<Q", data, 16)
    return "variable " + data[32 : 32 + 2 * min(name, 64)].decode("utf-16-le", "replace")


def _string(data: bytes) -> str:
    return data.rstrip(b"\0").decode("utf-8", "replace")


# Types whose digest is that of their data, or of a part of it: name, the part, and how it is told to people. Of a boot
# variable the value is measured and not its name, so that what is told of it is not proven.
_MEASURES_DATA: Mapping[int, tuple[str, Callable[[bytes], bytes], Callable[[bytes], str]]] = {
    _EV_SEPARATOR: ("EV_SEPARATOR", _whole, lambda data: "separator " + data.hex()),
    0x80000001: ("EV_EFI_VARIABLE_DRIVER_CONFIG", _whole, _variable),
    0x80000002: ("EV_EFI_VARIABLE_BOOT", _variable_data, _variable),
    0x80000006: ("EV_EFI_GPT_EVENT", _whole, lambda _: "GUID partition table"),
    0x80000007: ("EV_EFI_ACTION", _whole, _string),
    0x8000000C: ("EV_EFI_VARIABLE_BOOT2", _whole, _variable),
    0x800000E0: ("EV_EFI_VARIABLE_AUTHORITY", _whole, _variable),
}

# Types of which the log holds no more than the digest.
_OPAQUE: Mapping[int, str] = {
    0x1: "EV_POST_CODE",
    _EV_EVENT_TAG: "EV_EVENT_TAG",
    0xA: "EV_PLATFORM_CONFIG_FLAGS",
    _EV_IPL: "EV_IPL",
    0x80000003: "EV_EFI_BOOT_SERVICES_APPLICATION",
    0x80000004: "EV_EFI_BOOT_SERVICES_DRIVER",
    0x80000008: "EV_EFI_PLATFORM_FIRMWARE_BLOB",
    0x8000000A: "EV_EFI_PLATFORM_FIRMWARE_BLOB2",
    0x8000000B: "EV_EFI_HANDOFF_TABLES2",
}


def describe(kind: int, data: bytes, digest: bytes, path: str) -> tuple[str, bool]:
    """What the event was, and whether that is proven by its digest.

    Raises Malformed EVENTLOG_EVENT_DIGEST where the type says what is measured and the digest is of something else.
    """
    if kind in _MEASURES_DATA:
        name, measured, told = _MEASURES_DATA[kind]
        _require(measured(data), digest, f"{path}.{name}")
        return told(data)[:_SHOWN], measured is _whole
    if kind == _EV_IPL:
        return _ipl(data, digest, path)
    proven = hashlib.sha384(data).digest() == digest
    return f"{_OPAQUE.get(kind, f'type {kind:#x}')} {_string(data[:_SHOWN])!r}", proven


def _ipl(data: bytes, digest: bytes, path: str) -> tuple[str, bool]:
    """A boot loader's event: text that is measured, or the name of a file of which the contents are."""
    for prefix in _IPL_PREFIXES:
        if data.startswith(prefix):
            _require(data[len(prefix) :].removesuffix(b"\0"), digest, f"{path}.EV_IPL")
            return _string(data)[:_SHOWN], True
    return f"EV_IPL {_string(data[:_SHOWN])!r}", hashlib.sha384(data).digest() == digest


def _require(measured: bytes, digest: bytes, path: str) -> None:
    computed = hashlib.sha384(measured).digest()
    if computed != digest:
        raise Malformed("EVENTLOG_EVENT_DIGEST", path, expected=computed, got=digest)
