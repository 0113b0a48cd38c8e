"""Firmware as a virtual machine monitor reads it before launch: its table of GUIDs and its SEV metadata.

Sources: EDK2 `OvmfPkg/ResetVector/Ia16/ResetVectorVtf0.asm` (the table), `OvmfPkg/ResetVector/X64/OvmfSevMetadata.asm`
(the sections); Coconut-SVSM uses the same forms. The table ends 32 bytes before the end of the image and is read
backwards: each entry's {size u16, GUID} follows its data, and the first entry found is the footer, whose size is that
of the whole table. GUIDs are in the byte order of UEFI.

This reader is stricter than the monitors are: what is ambiguous (a GUID twice, memory claimed twice) has no digest.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from attest.errors import Malformed

__all__ = ["FOUR_GIB", "MAX_FIRMWARE", "PAGE", "Firmware", "HashTable", "Kind", "Section", "guid", "read_firmware"]

PAGE = 4_096
FOUR_GIB = 1 << 32
MAX_FIRMWARE = 64 << 20
HASH_TABLE_SIZE = 176
_BEHIND_TABLE = 32
_ENTRY = struct.Struct("<H16s")
_METADATA = struct.Struct("<4sIII")
_SECTION = struct.Struct("<III")
_MAX_SECTIONS = 64
_MAX_SECTION_PAGES = 1 << 16  # 256 MiB of sections; firmware declares some 30 pages, Coconut-SVSM 160


def guid(text: str) -> bytes:
    """The bytes of a GUID as UEFI stores it: the first three groups are little-endian."""
    groups = [bytes.fromhex(group) for group in text.split("-")]
    return b"".join(group[::-1] for group in groups[:3]) + b"".join(groups[3:])


_FOOTER = guid("96b582de-1fb2-45f7-baea-a366c55a082d")
_HASH_TABLE = guid("7255371f-3a3b-4b04-927b-1da6efa8d454")
_RESET_BLOCK = guid("00f771de-1a7e-4fcb-890e-68c77e2fb44e")
_SEV_METADATA = guid("dc886566-984a-4798-a75e-5585a7bf67cc")
_SVSM_INFO = guid("a789a612-0597-4c4b-a49f-cbb1fe9d1ddd")


class Kind(IntEnum):
    """What the monitor must do with a section of memory before launch."""

    SNP_SEC_MEM = 1
    SNP_SECRETS = 2
    CPUID = 3
    SVSM_CAA = 4
    SNP_KERNEL_HASHES = 0x10


_SINGLE = frozenset({Kind.SNP_SECRETS, Kind.CPUID, Kind.SNP_KERNEL_HASHES})


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Whole pages of guest memory: `size` bytes from the guest physical address `gpa`."""

    kind: Kind
    gpa: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HashTable:
    """Where the firmware looks for the hashes of kernel, initrd and command line."""

    base: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Firmware:
    """An image that lies at `gpa`. `reset_eip` is where further processors start; an SVSM has `svsm_entry` instead."""

    data: bytes = field(repr=False)
    gpa: int
    sections: tuple[Section, ...]
    reset_eip: int | None
    hash_table: HashTable | None
    svsm_entry: int | None

    def hash_table_offset(self) -> int:
        """Where in its page the hash table lies; raises Malformed OVMF_HASH_TABLE if a kernel cannot be measured."""
        table = self.hash_table
        if table is None:
            raise _bad_hash_table("firmware that takes hashes of a kernel", "no place for them")
        page = next((section for section in self.sections if section.kind is Kind.SNP_KERNEL_HASHES), None)
        if page is None:
            raise _bad_hash_table("a section SNP_KERNEL_HASHES for the hashes of a kernel", "none")
        if table.base - table.base % PAGE != page.gpa:
            raise _bad_hash_table(f"a table in the page at {page.gpa:#x}", f"{table.base:#x}")
        return table.base % PAGE


def read_firmware(data: bytes, *, end: int = FOUR_GIB) -> Firmware:
    """Reads an image whose last byte lies right below the guest physical address `end`.

    Raises Malformed: OVMF_SIZE, OVMF_FOOTER, OVMF_TABLE, OVMF_METADATA, OVMF_HASH_TABLE, OVMF_RESET_BLOCK,
    OVMF_SVSM_INFO.
    """
    if not data or len(data) % PAGE or len(data) > MAX_FIRMWARE:
        raise _bad("SIZE", "firmware", f"whole pages of {PAGE} bytes, up to {MAX_FIRMWARE}", f"{len(data)} bytes")
    gpa = end - len(data)
    if not 0 <= gpa <= FOUR_GIB or end % PAGE:
        raise _bad("SIZE", "firmware", f"{len(data)} bytes below a page boundary up to 4 GiB", f"an end at {end:#x}")
    start, table = _table(data)
    return Firmware(
        data=data,
        gpa=gpa,
        sections=tuple(_sections(data, _u32(table, _SEV_METADATA, "METADATA"), start, gpa)),
        reset_eip=_reset_eip(table),
        hash_table=_hash_table(table),
        svsm_entry=_svsm_entry(table, len(data)),
    )


def _bad(check: str, path: str, expected: str, got: object) -> Malformed:
    return Malformed(f"OVMF_{check}", path, expected=expected, got=got)


def _bad_hash_table(expected: str, got: str) -> Malformed:
    return _bad("HASH_TABLE", "firmware.hash_table", expected, got)


def _table(data: bytes) -> tuple[int, Mapping[bytes, bytes]]:
    """Where the table starts, and its entries by GUID."""
    position = len(data) - _BEHIND_TABLE - _ENTRY.size
    size, guid = _ENTRY.unpack_from(data, position)
    if guid != _FOOTER:
        raise _bad("FOOTER", "firmware.footer.guid", _FOOTER.hex(), guid.hex())
    start = position + _ENTRY.size - size
    if size < _ENTRY.size or start < 0:
        raise _bad("FOOTER", "firmware.footer.size", f"{_ENTRY.size} to {position + _ENTRY.size}", size)
    entries: dict[bytes, bytes] = {}
    while position > start:
        path = f"firmware.table[{position - start:#x}]"
        if position - start < _ENTRY.size:
            raise _bad("TABLE", path, f"an entry of at least {_ENTRY.size} bytes", f"{position - start} bytes left")
        size, guid = _ENTRY.unpack_from(data, position - _ENTRY.size)
        if not _ENTRY.size <= size <= position - start:
            raise _bad("TABLE", f"{path}.size", f"{_ENTRY.size} to {position - start}", size)
        if guid in entries or guid == _FOOTER:
            raise _bad("TABLE", f"{path}.guid", "each GUID once", f"{guid.hex()} twice")
        entries[guid] = data[position - size : position - _ENTRY.size]
        position -= size
    return start, entries


def _u32(table: Mapping[bytes, bytes], guid: bytes, check: str) -> int | None:
    """The number that is the whole entry, or None without one."""
    value = table.get(guid)
    if value is None:
        return None
    if len(value) != 4:
        raise _bad(check, f"firmware.table.{check.lower()}", "4 bytes", f"{len(value)} bytes")
    return int.from_bytes(value, "little")


def _reset_eip(table: Mapping[bytes, bytes]) -> int | None:
    eip = _u32(table, _RESET_BLOCK, "RESET_BLOCK")
    if eip == 0:
        raise _bad("RESET_BLOCK", "firmware.reset_block", "an address above zero", eip)
    return eip


def _hash_table(table: Mapping[bytes, bytes]) -> HashTable | None:
    """An address of zero says that this build takes no hashes; QEMU wants room for its 176 bytes, within one page."""
    value = table.get(_HASH_TABLE)
    if value is None:
        return None
    if len(value) != 8:
        raise _bad_hash_table("8 bytes", f"{len(value)} bytes")
    base, size = struct.unpack("<II", value)
    if not base:
        return None
    if size < HASH_TABLE_SIZE or base % PAGE + HASH_TABLE_SIZE > PAGE:
        raise _bad_hash_table(f"room for {HASH_TABLE_SIZE} bytes within one page", f"{size:#x} at {base:#x}")
    return HashTable(base=base, size=size)


def _svsm_entry(table: Mapping[bytes, bytes], size: int) -> int | None:
    entry = _u32(table, _SVSM_INFO, "SVSM_INFO")
    if entry is not None and entry >= size:
        raise _bad("SVSM_INFO", "firmware.svsm_info", f"an offset below {size:#x}", f"{entry:#x}")
    return entry


def _sections(data: bytes, offset: int | None, before: int, memory_end: int) -> Iterator[Section]:
    """The sections in their order. The metadata lies before the table; `offset` is counted from the image's end."""
    path = "firmware.metadata"
    if offset is None:
        raise _bad("METADATA", path, "an entry for SEV metadata, as SEV-SNP needs it", "none")
    start = len(data) - offset
    if start < 0 or start + _METADATA.size > before:
        raise _bad("METADATA", path, f"a header from 0 to {before:#x}", f"{start:#x}")
    signature, size, version, count = _METADATA.unpack_from(data, start)
    if signature != b"ASEV":
        raise _bad("METADATA", f"{path}.signature", b"ASEV".hex(), signature.hex())
    if version != 1:
        raise _bad("METADATA", f"{path}.version", "1", version)
    if not 0 < count <= _MAX_SECTIONS:
        raise _bad("METADATA", f"{path}.count", f"1 to {_MAX_SECTIONS} sections", count)
    expected = _METADATA.size + count * _SECTION.size
    if size != expected or start + size > before:
        raise _bad("METADATA", f"{path}.size", f"{expected} bytes that end up to {before:#x}", f"{size} at {start:#x}")
    found = [_section(data, start + _METADATA.size, number, memory_end) for number in range(count)]
    _check_sections(found)
    yield from found


def _section(data: bytes, start: int, number: int, memory_end: int) -> Section:
    path = f"firmware.metadata.sections[{number}]"
    gpa, size, value = _SECTION.unpack_from(data, start + number * _SECTION.size)
    try:
        kind = Kind(value)
    except ValueError:
        raise _bad("METADATA", f"{path}.type", f"one of {', '.join(f'{k:#x}' for k in Kind)}", f"{value:#x}") from None
    most = PAGE if kind in _SINGLE else memory_end
    if gpa % PAGE or size % PAGE or not 0 < size <= most:
        raise _bad("METADATA", path, "one page" if kind in _SINGLE else "whole pages", f"{size:#x} bytes at {gpa:#x}")
    if gpa + size > memory_end:
        raise _bad("METADATA", path, f"memory below {memory_end:#x}", f"{size:#x} bytes at {gpa:#x}")
    return Section(kind=kind, gpa=gpa, size=size)


def _check_sections(sections: list[Section]) -> None:
    """No page is claimed twice, for launch would fail; what there is one of is there once; all is hashed soon."""
    kinds = [section.kind for section in sections if section.kind in _SINGLE]
    if len(set(kinds)) != len(kinds):
        raise _bad("METADATA", "firmware.metadata", "one page each of secrets, CPUID and hashes", "one of them twice")
    pages = sum(section.size for section in sections) // PAGE
    if pages > _MAX_SECTION_PAGES:
        raise _bad("METADATA", "firmware.metadata", f"at most {_MAX_SECTION_PAGES} pages", pages)
    end = 0
    for section in sorted(sections, key=lambda each: each.gpa):
        if section.gpa < end:
            raise _bad("METADATA", "firmware.metadata", f"a section from {end:#x}", f"an overlap at {section.gpa:#x}")
        end = section.gpa + section.size
