"""The opaque data of a measurement report: fields of type, length and value, each known one typed.

Source: NVIDIA nvtrust, `guest_tools/gpu_verifiers/local_gpu_verifier`, OpaqueDataField; NVIDIA attestation-sdk,
`opaque_data_parser`. A field is type (u16), length (u16) and value, little-endian, in no order that anybody promises.
Unknown types are kept as bytes; a known type occurs once and has one of its sizes.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from attest.errors import Malformed

__all__ = ["Mode", "Opaque", "parse_gpu", "parse_switch"]

_ON, _OFF = b"\xaa", b"\x55"
_PDI = 8
_HEADER = struct.Struct("<HH").unpack_from


class Mode(enum.Enum):
    """How confidential computing is set up: FEATURE_FLAG. `UNSTATED` is firmware that does not say."""

    SPT = "spt"
    MPT = "mpt"
    PPCIE = "ppcie"
    UNSTATED = "unstated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opaque:
    """What a report says about its device besides measurements. Empty or None where the report has no such field.

    PDIs are 8 bytes each, all in the order of the certificates' serials. `nvdec0` and `protected_pcie` are the status
    bytes 0xAA and 0x55 as True and False; `data` is what was read, `raw` every
    field of it as it came, by type.
    """

    data: bytes
    raw: Mapping[int, bytes]
    vbios_version: str
    driver_version: str = ""
    project: str = ""
    project_sku: str = ""
    chip_sku: str = ""
    chip_info: str = ""
    nvdec0: bool | None = None
    fwid: bytes | None = None
    protected_pcie: bool | None = None
    feature_flag: Mode | None = None
    version: int = 0
    switch_pdis: tuple[bytes, ...] = ()
    device_pdi: bytes | None = None
    gpu_pdis: tuple[bytes, ...] = ()
    locked: bool | None = None

    @property
    def mode(self) -> Mode:
        """FEATURE_FLAG; where firmware has none, PROTECTED_PCIE_STATUS, which can say PPCIE and nothing else."""
        if self.feature_flag is not None:
            return self.feature_flag
        return Mode.PPCIE if self.protected_pcie else Mode.UNSTATED


def _ended(value: bytes) -> str:
    """ASCII, ended by at least one NUL and padded with more."""
    text = value.rstrip(b"\0")
    if len(text) == len(value):
        raise ValueError("text that a NUL ends")
    return _plain(text)


def _plain(value: bytes) -> str:
    if not value.isascii() or not (text := value.decode("ascii")).isprintable():
        raise ValueError("printable ASCII")
    return text


def _status(value: bytes) -> bool:
    if value not in (_ON, _OFF):
        raise ValueError("aa (on) or 55 (off)")
    return value == _ON


def _gpu_vbios(value: bytes) -> str:
    """Two halves of 4 bytes, each little-endian: `009f0096 01000000` is 96.00.9F.00.01."""
    if any(value[5:]):
        raise ValueError("zeros in the last 3 bytes")
    return f"{value[3]:02X}.{value[2]:02X}.{value[1]:02X}.{value[0]:02X}.{value[4]:02X}"


def _flag(value: bytes) -> Mode:
    number = _number(value)
    if number > 2:
        raise ValueError("0 (SPT), 1 (MPT) or 2 (PPCIE)")
    return (Mode.SPT, Mode.MPT, Mode.PPCIE)[number]


def _number(value: bytes) -> int:
    return int.from_bytes(value, "little")


def _locked(value: bytes) -> bool:
    number = _number(value)
    if number > 1:
        raise ValueError("0 (unlocked) or 1 (locked)")
    return number == 1


def _far_ends(value: bytes) -> tuple[bytes, ...]:
    """The switch at the far end of each of 18 NVLinks, bytes reversed, zero where there is none."""
    links = (value[at : at + _PDI] for at in range(0, len(value), _PDI))
    return tuple(pdi[::-1] for pdi in links if any(pdi))


def _attached(value: bytes) -> tuple[bytes, ...]:
    """Eight GPUs, then a byte for each of 64 ports."""
    gpus = (value[at : at + _PDI] for at in range(0, 8 * _PDI, _PDI))
    return tuple(pdi for pdi in gpus if any(pdi))


# type: (name, least and most bytes, how it is read if not as bytes). Without a name it is kept in `raw` alone.
_Table = Mapping[int, tuple[str, int, int, Callable[[bytes], Any] | None]]
_GPU: _Table = {
    3: ("driver_version", 2, 32, _ended),
    4: ("", 8, 8, None),  # GPU_INFO
    6: ("vbios_version", 8, 8, _gpu_vbios),
    11: ("nvdec0", 1, 1, _status),
    12: ("", 256, 256, None),  # MSRSCNT, one u32 for each block
    13: ("", 4, 4, None),  # CPRINFO
    14: ("", 4, 4, None),  # BOARD_ID
    15: ("chip_sku", 2, 16, _ended),
    16: ("", 2, 16, _ended),  # CHIP_SKU_MOD
    17: ("project", 2, 16, _ended),
    18: ("project_sku", 2, 16, _ended),
    19: ("", 1, 16, _ended),  # PROJECT_SKU_MOD
    20: ("fwid", 48, 48, None),
    21: ("protected_pcie", 1, 1, _status),
    22: ("switch_pdis", 18 * _PDI, 18 * _PDI, _far_ends),
    33: ("", 2, 2, None),  # SYS_ENABLE_STATUS
    34: ("version", 2, 2, _number),
    35: ("chip_info", 2, 16, _ended),
    36: ("feature_flag", 2, 2, _flag),
}
_SWITCH: _Table = {
    4: ("gpu_pdis", 8 * _PDI + 64, 8 * _PDI + 64, _attached),  # where firmware before 96.10.55 has it
    6: ("vbios_version", 14, 14, _plain),
    12: ("", 104, 108, None),  # MSRSCNT, not one for each block
    20: ("fwid", 48, 48, None),
    22: ("device_pdi", _PDI, _PDI, None),
    23: ("", 2, 2, None),  # DISABLED_PORTS
    24: ("", 2, 2, None),  # POSITION_ID
    25: ("locked", 2, 2, _locked),
    26: ("gpu_pdis", 8 * _PDI + 64, 8 * _PDI + 64, _attached),
}


def parse_gpu(data: bytes) -> Opaque:
    """The opaque data of a GPU's report; raises Malformed GPU_OPAQUE."""
    return _parse(data, _GPU)


def parse_switch(data: bytes) -> Opaque:
    """The opaque data of an NVSwitch's report; raises Malformed GPU_OPAQUE."""
    return _parse(data, _SWITCH)


def _parse(data: bytes, table: _Table) -> Opaque:
    raw: dict[int, bytes] = {}
    values: dict[str, Any] = {}
    at, size = 0, len(data)
    while at < size:
        if at + 4 > size:
            raise _bad("", "a type and a length", data[at:])
        kind, length = _HEADER(data, at)
        at += 4 + length
        value = data[at - length : at]
        if at > size:
            raise _bad(kind, f"{length} bytes", f"{len(value)} left")
        if kind in raw:
            raise _bad(kind, "each type once", "it occurs twice")
        raw[kind] = value
        if kind in table:
            name, least, most, read = table[kind]
            if not least <= length <= most:
                expected = f"{least} bytes" if least == most else f"{least} to {most} bytes"
                raise _bad(kind, expected, f"{length} bytes")
            if name in values:
                raise _bad(kind, f"one field for {name}", "two")
            found = _read(kind, value, read)
            if name:
                values[name] = found
    if "vbios_version" not in values:
        raise _bad(6, "a VBIOS version", "none")
    return Opaque(data=data, raw=raw, **values)


def _read(kind: int, value: bytes, read: Callable[[bytes], Any] | None) -> Any:
    try:
        return read(value) if read else value
    except ValueError as error:
        raise _bad(kind, str(error), value) from error


def _bad(kind: int | str, expected: object, got: object) -> Malformed:
    return Malformed("GPU_OPAQUE", f"report.opaque[{kind}]", expected=expected, got=got)
