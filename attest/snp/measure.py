"""The measurement to expect: MEASUREMENT of a report, computed from what is to be launched.

    firmware = read_firmware(ovmf)
    machine = Machine(signature=vcpu_signature("EPYC-Milan"))
    digests = dict(launch_digests(firmware, machine, [4, 8], kernel=KernelHashes.of(kernel, initrd, b"console=ttyS0")))

The order is the monitor's: the pages of the firmware, the sections that its metadata declares, then one VMSA for each
processor. Sources: AMD publication 56860, SNP_LAUNCH_UPDATE; EDK2 OvmfSevMetadata.asm; QEMU target/i386/sev.c for the
table of hashes. MEASUREMENT holds neither REPORT_DATA, HOST_DATA, POLICY nor any ID: those are appraised beside it.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from attest.errors import Malformed
from attest.snp.launch import EMPTY, PageType, check_counts, normal_pages, processors, unseen_pages
from attest.snp.ovmf import PAGE, Firmware, Kind, Section, guid, read_firmware
from attest.snp.vmsa import BSP_EIP, Machine, Vmm, check_signature, svsm_page, vmsa_page

__all__ = [
    "KernelHashes",
    "firmware_digest",
    "hash_cmdline",
    "launch_digests",
    "measured_parts",
    "place_svsm",
    "svsm_launch_digests",
]

_DIGEST: Final = 48
_SHA256: Final = 32
_ENTRY = struct.Struct("<16sH32s")
_TABLE_HEADER = struct.Struct("<16sH")
_TABLE_GUID = guid("9438d606-4f22-4cc9-b479-a793d411fd21")
_CMDLINE_GUID = guid("97d02dd8-bd20-4c94-aa78-e7714d36ab2a")
_INITRD_GUID = guid("44baf731-3a2f-4bd7-9af1-41e29169781d")
_KERNEL_GUID = guid("4de79437-abd2-427f-b835-d5b172d2045b")

_PAGE_TYPES: Mapping[Kind, PageType] = {
    Kind.SNP_SEC_MEM: PageType.ZERO,
    Kind.SNP_SECRETS: PageType.SECRETS,
    Kind.CPUID: PageType.CPUID,
    Kind.SVSM_CAA: PageType.ZERO,
    Kind.SNP_KERNEL_HASHES: PageType.ZERO,  # without a kernel
}


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelHashes:
    """SHA-256 of what is booted directly, as the monitor puts them into the firmware's page of hashes.

    `cmdline` is that of the command line with its closing NUL, `initrd` that of nothing if there is none. QEMU does
    this with `kernel-hashes=on` alone. Raises Malformed KERNEL_HASHES for another length.
    """

    kernel: bytes
    initrd: bytes
    cmdline: bytes

    def __post_init__(self) -> None:
        for name in ("kernel", "initrd", "cmdline"):
            size = len(getattr(self, name))
            if size != _SHA256:
                raise Malformed("KERNEL_HASHES", name, expected=f"{_SHA256} bytes of SHA-256", got=f"{size} bytes")

    @classmethod
    def of(cls, kernel: bytes, initrd: bytes = b"", cmdline: bytes = b"") -> KernelHashes:
        """Hashes what is booted; raises Malformed CMDLINE for a command line with a NUL, which would end there."""
        return cls(
            kernel=hashlib.sha256(kernel).digest(),
            initrd=hashlib.sha256(initrd).digest(),
            cmdline=hash_cmdline(cmdline),
        )

    def page(self, offset: int) -> bytes:
        """The page of hashes, with the table at `offset`."""
        size = _TABLE_HEADER.size + 3 * _ENTRY.size
        table = (
            _TABLE_HEADER.pack(_TABLE_GUID, size)
            + _ENTRY.pack(_CMDLINE_GUID, _ENTRY.size, self.cmdline)
            + _ENTRY.pack(_INITRD_GUID, _ENTRY.size, self.initrd)
            + _ENTRY.pack(_KERNEL_GUID, _ENTRY.size, self.kernel)
        )
        return bytes(offset) + table + bytes(PAGE - offset - size)


def hash_cmdline(cmdline: bytes) -> bytes:
    """SHA-256 of a command line as the monitor hands it over; raises Malformed CMDLINE for a NUL in it."""
    if b"\0" in cmdline:
        raise Malformed("CMDLINE", "cmdline", expected="text without NUL", got=f"a NUL at {cmdline.index(0)}")
    return hashlib.sha256(cmdline + b"\0").digest()


def measured_parts(kernel: KernelHashes | None) -> tuple[str, ...]:
    """What a measurement covers besides the initial memory, in the words of `attest.profile.COVERS`.

    The table has always three hashes, so that a kernel without initrd is measured as just that.
    """
    return ("firmware",) if kernel is None else ("firmware", "kernel", "initrd", "cmdline")


def firmware_digest(firmware: Firmware) -> bytes:
    """The digest after the firmware's own pages, which is all that can be computed ahead."""
    return normal_pages(EMPTY, firmware.gpa, firmware.data)


def launch_digests(
    firmware: Firmware,
    machine: Machine,
    counts: Iterable[int],
    *,
    kernel: KernelHashes | None = None,
    ahead: bytes | None = None,
) -> Iterator[tuple[int, bytes]]:
    """The launch digest for each number of processors in `counts`, rising; the firmware is hashed once.

    `ahead` is a `firmware_digest` known before, taken in place of the contents of `firmware`. Raises Malformed
    VCPU_COUNT, FIRMWARE_DIGEST, OVMF_RESET_BLOCK, OVMF_HASH_TABLE, before the first digest is asked for.
    """
    wanted = check_counts(counts)
    if ahead is not None and len(ahead) != _DIGEST:
        raise Malformed("FIRMWARE_DIGEST", "firmware_digest", expected=f"{_DIGEST} bytes", got=f"{len(ahead)} bytes")
    if firmware.reset_eip is None:
        raise Malformed("OVMF_RESET_BLOCK", "firmware.reset_block", expected="where processors start", got="none")
    page = None if kernel is None else kernel.page(firmware.hash_table_offset())
    digest = firmware_digest(firmware) if ahead is None else ahead
    digest = _sections(digest, firmware.sections, machine.vmm, page)
    return processors(digest, vmsa_page(machine, BSP_EIP), vmsa_page(machine, firmware.reset_eip), wanted)


def place_svsm(data: bytes, firmware: Firmware, *, vars_size: int) -> Firmware:
    """An SVSM where QEMU puts it: below the firmware and its image of variables, which has `vars_size` bytes.

    Raises Malformed VARS_SIZE and what `read_firmware` raises.
    """
    if not 0 <= vars_size < firmware.gpa - len(data) or vars_size % PAGE:
        expected = f"whole pages of {PAGE} bytes that leave room below {firmware.gpa:#x}"
        raise Malformed("VARS_SIZE", "vars_size", expected=expected, got=vars_size)
    return read_firmware(data, end=firmware.gpa - vars_size)


def svsm_launch_digests(
    firmware: Firmware, svsm: Firmware, counts: Iterable[int], *, signature: int
) -> Iterator[tuple[int, bytes]]:
    """The same for a guest of QEMU's whose processors all start in `svsm`, placed by `place_svsm`.

    The sections are those of the SVSM; those of the firmware play no part, and SEV_FEATURES is SNPActive alone. Raises
    Malformed VCPU_COUNT, VCPU_TYPE, OVMF_SVSM_INFO.
    """
    wanted = check_counts(counts)
    check_signature(signature)
    if svsm.svsm_entry is None:
        raise Malformed("OVMF_SVSM_INFO", "firmware.svsm_info", expected="where an SVSM starts", got="none")
    digest = normal_pages(firmware_digest(firmware), svsm.gpa, svsm.data)
    digest = _sections(digest, svsm.sections, Vmm.QEMU, None)
    page = svsm_page(signature, svsm.gpa + svsm.svsm_entry)
    return processors(digest, page, page, wanted)


def _sections(digest: bytes, sections: Iterable[Section], vmm: Vmm, hashes: bytes | None) -> bytes:
    """The digest after the sections, in their order; EC2 adds CPUID last, GCE leaves the working memory unmeasured."""
    if vmm is Vmm.EC2:
        sections = sorted(sections, key=lambda section: section.kind is Kind.CPUID)
    for section in sections:
        if section.kind is Kind.SNP_KERNEL_HASHES and hashes is not None:
            digest = normal_pages(digest, section.gpa, hashes)
            continue
        page_type = _PAGE_TYPES[section.kind]
        if section.kind is Kind.SNP_SEC_MEM and vmm is Vmm.GCE:
            page_type = PageType.UNMEASURED
        digest = unseen_pages(digest, page_type, section.gpa, section.size)
    return digest
