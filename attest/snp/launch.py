"""The launch digest as the AMD secure processor computes it: one SHA-384 over each page's PAGE_INFO, chained.

Source: AMD publication 56860, "SEV Secure Nested Paging Firmware ABI Specification", section SNP_LAUNCH_UPDATE with
structure PAGE_INFO: {DIGEST_CUR[48], CONTENTS[48], LENGTH u16, PAGE_TYPE u8, IMI_PAGE u8, VMPL3_PERMS u8, VMPL2_PERMS
u8, VMPL1_PERMS u8, reserved u8, GPA u64}. CONTENTS is the page's SHA-384 for normal pages and VMSAs, else zeros.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator
from enum import IntEnum

from attest.errors import Malformed
from attest.snp.ovmf import PAGE

__all__ = ["EMPTY", "MAX_VCPUS", "PageType", "check_counts", "extend", "normal_pages", "processors", "unseen_pages"]

SIZE = 48
EMPTY = bytes(SIZE)
MAX_VCPUS = 4_096
VMSA_GPA = 0xFFFF_FFFF_F000  # all ones, cut to a page and to 48 bits
_REST = struct.Struct("<HB5xQ")
_LENGTH = 2 * SIZE + _REST.size


class PageType(IntEnum):
    """PAGE_TYPE of SNP_LAUNCH_UPDATE."""

    NORMAL = 1
    VMSA = 2
    ZERO = 3
    UNMEASURED = 4
    SECRETS = 5
    CPUID = 6


def extend(digest: bytes, kind: PageType, gpa: int, contents: bytes = EMPTY) -> bytes:
    """The digest after one more page; `contents` is the page's SHA-384, or zeros."""
    return hashlib.sha384(digest + contents + _REST.pack(_LENGTH, kind, gpa)).digest()


def normal_pages(digest: bytes, gpa: int, data: bytes) -> bytes:
    """The digest after pages whose contents are measured; `data` is whole pages."""
    for offset in range(0, len(data), PAGE):
        contents = hashlib.sha384(data[offset : offset + PAGE]).digest()
        digest = extend(digest, PageType.NORMAL, gpa + offset, contents)
    return digest


def unseen_pages(digest: bytes, kind: PageType, gpa: int, size: int) -> bytes:
    """The digest after `size` bytes of pages of which only place and kind are measured."""
    for offset in range(0, size, PAGE):
        digest = extend(digest, kind, gpa + offset)
    return digest


def check_counts(counts: Iterable[int]) -> frozenset[int]:
    """The numbers of processors that are asked for; raises Malformed VCPU_COUNT."""
    wanted = frozenset(counts)
    wrong = sorted(count for count in wanted if not 0 < count <= MAX_VCPUS)
    if wrong or not wanted:
        expected = f"whole numbers from 1 to {MAX_VCPUS}"
        raise Malformed("VCPU_COUNT", "vcpus", expected=expected, got=wrong[0] if wrong else "none")
    return wanted


def processors(digest: bytes, first: bytes, other: bytes, counts: frozenset[int]) -> Iterator[tuple[int, bytes]]:
    """The finished digest for each of `counts`, rising, in one pass.

    The VMSAs come last and all but the `first` are alike, so a guest with fewer processors is a prefix of one with
    more, and each further processor costs one SHA-384 over 112 bytes.
    """
    contents = hashlib.sha384(first).digest()
    for number in range(1, max(counts) + 1):
        digest = extend(digest, PageType.VMSA, VMSA_GPA, contents)
        if number == 1:
            contents = hashlib.sha384(other).digest()
        if number in counts:
            yield number, digest
