"""Reading firmware: every way in which a table can be wrong has its check; whatever the bytes, only AttestError."""

from __future__ import annotations

import contextlib
import random
import struct
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sevsnpmeasure.ovmf import OVMF  # type: ignore[import-untyped]  # has no stubs

from attest.errors import AttestError
from attest.snp.measure import KernelHashes, launch_digests, place_svsm, svsm_launch_digests
from attest.snp.ovmf import FOUR_GIB, MAX_FIRMWARE, PAGE, HashTable, Kind, Section, guid, read_firmware
from attest.snp.vmsa import Machine
from tests.attest.refusal import refused
from tests.vectors import VECTORS, needs_vectors

FOOTER = "96b582de-1fb2-45f7-baea-a366c55a082d"
HASH_TABLE = "7255371f-3a3b-4b04-927b-1da6efa8d454"
RESET_BLOCK = "00f771de-1a7e-4fcb-890e-68c77e2fb44e"
METADATA = "dc886566-984a-4798-a75e-5585a7bf67cc"
SVSM_INFO = "a789a612-0597-4c4b-a49f-cbb1fe9d1ddd"
OTHER = "e47a6535-984a-4798-865e-4685a7bf8ec2"
HASHES = (0x81_0C00, 0x400)
SECTIONS: tuple[tuple[int, int, int], ...] = (
    (0x80_0000, 0x9000, 1),
    (0x80_A000, 0x3000, 1),
    (0x80_D000, 0x1000, 2),
    (0x80_E000, 0x1000, 3),
    (0x80_F000, 0x1000, 4),
    (0x81_0000, 0x1000, 0x10),
    (0x81_1000, 0x2000, 1),
)


def entry(name: str, data: bytes, size: int | None = None) -> bytes:
    """One entry of the table: data, size, GUID."""
    return data + struct.pack("<H", len(data) + 18 if size is None else size) + uuid.UUID(name).bytes_le


@dataclass(frozen=True, kw_only=True)
class Ovmf:
    """A maker of tiny firmware. Each part can be left out or be wrong; the rest then still fits around it."""

    pages: int = 1
    sections: tuple[tuple[int, int, int], ...] = SECTIONS
    reset: int | None = 0x80_B004
    hashes: tuple[int, int] | None = HASHES
    svsm: int | None = None
    signature: bytes = b"ASEV"
    version: int = 1
    count: int | None = None
    metadata_size: int | None = None
    offset: int | None = None
    metadata: bool = True
    extra: bytes = b""
    footer: str = FOOTER
    table_size: int | None = None

    def image(self) -> bytes:
        sections = b"".join(struct.pack("<III", *section) for section in self.sections)
        size = 16 + len(sections) if self.metadata_size is None else self.metadata_size
        count = len(self.sections) if self.count is None else self.count
        metadata = struct.pack("<4sIII", self.signature, size, self.version, count) + sections
        entries = entry(OTHER, b"whatever") + self.extra
        if self.svsm is not None:
            entries += entry(SVSM_INFO, struct.pack("<I", self.svsm))
        if self.hashes is not None:
            entries += entry(HASH_TABLE, struct.pack("<II", *self.hashes))
        if self.reset is not None:
            entries += entry(RESET_BLOCK, struct.pack("<I", self.reset))
        behind = len(entries) + (22 if self.metadata else 0) + 18 + 32  # what lies between the metadata and the end
        offset = behind + len(metadata) if self.offset is None else self.offset
        if self.metadata:
            entries += entry(METADATA, struct.pack("<I", offset))
        table_size = len(entries) + 18 if self.table_size is None else self.table_size
        end = metadata + entries + entry(self.footer, b"", table_size) + b"\x90" * 32
        return random.Random(self.pages).randbytes(self.pages * PAGE - len(end)) + end


def sections(*them: tuple[int, int, int]) -> bytes:
    return Ovmf(sections=them).image()


def footer_at(image: bytes, size: int) -> bytes:
    return image[:-50] + struct.pack("<H", size) + image[-48:]


GOOD = Ovmf().image()
TABLE_SIZE = struct.unpack_from("<H", GOOD, PAGE - 50)[0]
BAD: dict[str, dict[str, bytes]] = {
    "OVMF_SIZE": {
        "nothing": b"",
        "a byte": b"\0",
        "cut by a byte": GOOD[1:],
        "a byte too many": b"\0" + GOOD,
        "half a page more": bytes(2_048) + GOOD,
    },
    "OVMF_FOOTER": {
        "zeros": bytes(PAGE),
        "another GUID": Ovmf(footer=OTHER).image(),
        "one bit of the GUID": GOOD[:-40] + bytes([GOOD[-40] ^ 1]) + GOOD[-39:],
        "the GUID of RFC 4122 order": GOOD[:-48] + uuid.UUID(FOOTER).bytes + GOOD[-32:],
        "one byte off": GOOD[1:] + b"\0",
        "cut at the end": GOOD[:-PAGE] + bytes(32) + GOOD[:-32],
        "size 0": footer_at(GOOD, 0),
        "size 17": footer_at(GOOD, 17),
        "size beyond the start": footer_at(GOOD, PAGE - 31),
        "size 65535": footer_at(GOOD, 0xFFFF),
    },
    "OVMF_TABLE": {
        "an entry of size 0": Ovmf(extra=entry(SVSM_INFO, b"", 0)).image(),
        "an entry of size 17": Ovmf(extra=entry(SVSM_INFO, b"", 17)).image(),
        "an entry longer than the table": Ovmf(extra=entry(SVSM_INFO, bytes(4), 200)).image(),
        "an entry of size 65535": Ovmf(extra=entry(SVSM_INFO, bytes(4), 0xFFFF)).image(),
        "17 bytes left over": footer_at(GOOD, TABLE_SIZE + 17),
        "cut inside an entry": footer_at(GOOD, TABLE_SIZE - 1),
        "a GUID twice": Ovmf(extra=entry(RESET_BLOCK, bytes(4))).image(),
        "an unknown GUID twice": Ovmf(extra=entry(OTHER, b"")).image(),
        "the footer's GUID again": Ovmf(extra=entry(FOOTER, b"")).image(),
    },
    "OVMF_METADATA": {
        "none": Ovmf(metadata=False).image(),
        "an entry of 3 bytes": Ovmf(metadata=False, extra=entry(METADATA, bytes(3))).image(),
        "an entry of 8 bytes": Ovmf(metadata=False, extra=entry(METADATA, bytes(8))).image(),
        "offset 0": Ovmf(offset=0).image(),
        "offset 15, at the end": Ovmf(offset=15).image(),
        "offset in the table": Ovmf(offset=60).image(),
        "offset before the image": Ovmf(offset=PAGE + 1).image(),
        "offset of 32 bits": Ovmf(offset=0xFFFF_FFFF).image(),
        "another signature": Ovmf(signature=b"ASEW").image(),
        "version 0": Ovmf(version=0).image(),
        "version 2": Ovmf(version=2).image(),
        "no section": sections(),
        "fewer sections than its size": Ovmf(count=6).image(),
        "more sections than its size": Ovmf(count=8).image(),
        "a huge count": Ovmf(count=0xFFFF_FFFF).image(),
        "a huge count with a size that wraps": Ovmf(count=0x1555_5556, metadata_size=16 + 8).image(),
        "sections into the table": Ovmf(count=9, metadata_size=16 + 9 * 12).image(),
        "more sections than anybody has": sections(*((n * PAGE, PAGE, 1) for n in range(65))),
        "size 0": Ovmf(metadata_size=0).image(),
        "size without the header": Ovmf(metadata_size=7 * 12).image(),
        "type 0": sections((0x80_0000, PAGE, 0)),
        "type 5": sections((0x80_0000, PAGE, 5)),
        "type of 32 bits": sections((0x80_0000, PAGE, 0x8000_0001)),
        "a section of no size": sections((0x80_0000, 0, 1)),
        "half a page": sections((0x80_0000, 0x800, 1)),
        "between pages": sections((0x80_0800, PAGE, 1)),
        "two pages of secrets": sections((0x80_0000, 2 * PAGE, 2)),
        "two pages of CPUID": sections((0x80_0000, 2 * PAGE, 3)),
        "two pages of hashes": sections((0x80_0000, 2 * PAGE, 0x10)),
        "secrets twice": sections((0x80_0000, PAGE, 2), (0x80_1000, PAGE, 2)),
        "CPUID twice": sections((0x80_0000, PAGE, 3), (0x90_0000, PAGE, 3)),
        "hashes twice": sections((0x81_0000, PAGE, 0x10), (0x82_0000, PAGE, 0x10)),
        "the same page twice": sections((0x80_0000, PAGE, 1), (0x80_0000, PAGE, 1)),
        "an overlap": sections((0x80_0000, 3 * PAGE, 1), (0x80_2000, PAGE, 2)),
        "an overlap, out of order": sections((0x80_2000, PAGE, 2), (0x80_0000, 3 * PAGE, 1)),
        "into the firmware": sections((FOUR_GIB - 2 * PAGE, 2 * PAGE, 1)),
        "beyond 4 GiB": sections((0xFFFF_F000, 2 * PAGE, 1)),
        "nearly 4 GiB": sections((0, 0xFFFF_E000, 1)),
        "one page more than is hashed": sections((0, (1 << 28) + PAGE, 1)),
        "too much in many": sections(*((n << 26, 1 << 26, 1) for n in range(5))),
    },
    "OVMF_HASH_TABLE": {
        "4 bytes": Ovmf(hashes=None, extra=entry(HASH_TABLE, bytes(4))).image(),
        "12 bytes": Ovmf(hashes=None, extra=entry(HASH_TABLE, bytes(12))).image(),
        "no bytes": Ovmf(hashes=None, extra=entry(HASH_TABLE, b"")).image(),
        "size 0": Ovmf(hashes=(HASHES[0], 0)).image(),
        "a byte too small": Ovmf(hashes=(HASHES[0], 175)).image(),
        "across a page": Ovmf(hashes=(0x81_0F51, 0x400)).image(),
    },
    "OVMF_RESET_BLOCK": {
        "address 0": Ovmf(reset=0).image(),
        "8 bytes": Ovmf(reset=None, extra=entry(RESET_BLOCK, b"\1" * 8)).image(),
        "no bytes": Ovmf(reset=None, extra=entry(RESET_BLOCK, b"")).image(),
    },
    "OVMF_SVSM_INFO": {
        "behind the image": Ovmf(svsm=PAGE).image(),
        "of 32 bits": Ovmf(svsm=0xFFFF_FFFF).image(),
        "no bytes": Ovmf(extra=entry(SVSM_INFO, b"")).image(),
    },
}


@pytest.mark.parametrize(
    ("check", "image"),
    [pytest.param(check, image, id=f"{check}-{name}") for check, group in BAD.items() for name, image in group.items()],
)
def test_malformed(check: str, image: bytes) -> None:
    with refused(check):
        read_firmware(image)


def test_too_large() -> None:
    with refused("OVMF_SIZE"):
        read_firmware(bytes(MAX_FIRMWARE) + GOOD)


@pytest.mark.parametrize("end", [0, PAGE - 1, FOUR_GIB - 1, FOUR_GIB + 2 * PAGE, -PAGE])
def test_a_place_that_is_none(end: int) -> None:
    with refused("OVMF_SIZE"):
        read_firmware(GOOD, end=end)


def test_what_is_read() -> None:
    found = read_firmware(GOOD)
    assert (found.gpa, found.data) == (FOUR_GIB - PAGE, GOOD)
    assert found.sections == tuple(Section(gpa=gpa, size=size, kind=Kind(kind)) for gpa, size, kind in SECTIONS)
    assert (found.reset_eip, found.hash_table) == (0x80_B004, HashTable(base=HASHES[0], size=HASHES[1]))
    assert (found.svsm_entry, found.hash_table_offset()) == (None, 0xC00)
    assert "90" * 20 not in repr(found)
    assert read_firmware(Ovmf(svsm=0).image(), end=0x90_0000 + PAGE).svsm_entry == 0


@pytest.mark.parametrize(
    "good",
    [
        Ovmf(hashes=(0x81_0F50, 176)),  # to the page's last byte
        Ovmf(hashes=(0, 0)),
        Ovmf(sections=((0, 1 << 28, 1),)),
        Ovmf(sections=((FOUR_GIB - 2 * PAGE, PAGE, 1),)),
        Ovmf(sections=tuple((n * PAGE, PAGE, 1) for n in range(64))),
        Ovmf(sections=SECTIONS[::-1]),
        Ovmf(svsm=PAGE - 1),
        Ovmf(reset=None, hashes=None),
        Ovmf(pages=5),
    ],
)
def test_the_last_that_is_accepted(good: Ovmf, tmp_path: Path) -> None:
    """And the other reader sees the same sections."""
    image = good.image()
    (tmp_path / "image").write_bytes(image)
    theirs = OVMF(str(tmp_path / "image"))
    found = read_firmware(image)
    assert [(s.gpa, s.size, s.kind) for s in found.sections] == [
        (item.gpa, item.size, item.section_type_int) for item in theirs.metadata_items()
    ]
    assert found.gpa == theirs.gpa()


@needs_vectors(1)
@pytest.mark.parametrize(
    ("name", "count"),
    [("ovmf_AmdSev_suffix.bin", 7), ("ovmf_OvmfX64_suffix.bin", 6), ("svsm_ovmf.fd", 6), ("svsm.bin", 3)],
)
def test_real_firmware_is_read(name: str, count: int) -> None:
    data = ((VECTORS or Path()) / "snp" / "virtee-sev-snp-measure" / "fixtures" / name).read_bytes()
    found = read_firmware(data)
    assert len(found.sections) == count
    assert (found.svsm_entry is None) == (name != "svsm.bin")


@pytest.mark.parametrize("text", [FOOTER, HASH_TABLE, RESET_BLOCK, METADATA, SVSM_INFO, OTHER])
def test_byte_order_of_guids(text: str) -> None:
    assert guid(text) == uuid.UUID(text).bytes_le


MACHINE = Machine(signature=0x00A0_0F11)
KERNEL = KernelHashes.of(b"kernel")
SVSM = Ovmf(svsm=16, sections=((0, 0x3000, 1), (0x3000, 0x1000, 2))).image()


def judge(image: bytes) -> None:
    """All that can be done with an image; whatever leaves it but AttestError fails the test."""
    with contextlib.suppress(AttestError):
        firmware = read_firmware(image)
        digests = list(launch_digests(firmware, MACHINE, [1, 2]))
        assert [len(digest) for _, digest in digests] == [48, 48]
        list(launch_digests(firmware, MACHINE, [1], kernel=KERNEL))
    with contextlib.suppress(AttestError):
        firmware = read_firmware(GOOD)
        list(svsm_launch_digests(firmware, place_svsm(image, firmware, vars_size=0), [1], signature=1))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_before_the_footer(data: bytes) -> None:
    """The parser must get past the footer to be tried."""
    size = len(data) + 18
    judge(bytes(PAGE - len(data) - 50) + data + entry(FOOTER, b"", size) + bytes(32))
    judge(data)


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from([GOOD, SVSM]),
    st.lists(st.tuples(st.integers(PAGE - 320, PAGE - 1), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_good_firmware_with_a_few_bytes_changed(image: bytes, changes: list[tuple[int, int]]) -> None:
    changed = bytearray(image)
    for position, value in changes:
        changed[position] = value
    judge(bytes(changed))


U32 = st.one_of(st.integers(0, 0xFFFF_FFFF), st.sampled_from([0, 1, 16, PAGE, 1 << 28, 0xFFFF_F000, 0xFFFF_FFFF]))
SOME_SECTIONS = st.lists(st.tuples(U32, U32, st.sampled_from([*Kind, 0, 7])), max_size=8).map(tuple)
FIELDS: dict[str, Callable[[], st.SearchStrategy[object]]] = {
    "sections": lambda: SOME_SECTIONS,
    "reset": lambda: st.none() | U32,
    "hashes": lambda: st.none() | st.tuples(U32, U32),
    "svsm": lambda: st.none() | U32,
    "count": lambda: st.none() | U32,
    "metadata_size": lambda: st.none() | U32,
    "offset": lambda: st.none() | U32,
    "table_size": lambda: st.none() | st.integers(0, 0xFFFF),
}


@settings(max_examples=300, deadline=None)
@given(st.fixed_dictionaries({}, optional={name: strategy() for name, strategy in FIELDS.items()}))
def test_firmware_with_any_numbers_in_its_tables(fields: dict[str, object]) -> None:
    judge(replace(Ovmf(), **fields).image())  # type: ignore[arg-type]
