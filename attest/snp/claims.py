"""What an authentic report says: the claims that releases rest on.

Names and bits are those of AMD publication 56860, "SEV Secure Nested Paging Firmware ABI Specification": table
ATTESTATION_REPORT, and the structures GUEST_POLICY, PLATFORM_INFO and TCB_VERSION.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["Firmware", "GuestPolicy", "PlatformInfo", "SigningKey", "SnpClaims", "Tcb"]


class SigningKey(enum.Enum):
    """KEY_INFO.SIGNING_KEY: who signed the report. 2 to 6 are reserved, 7 is none."""

    VCEK = 0
    VLEK = 1

    @property
    def common_name(self) -> str:
        """The common name that its certificate carries, exactly."""
        return f"SEV-{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestPolicy:
    """GUEST_POLICY. Bits 16, 18, 19 and 21 grant something to the host, 20 and 22 to 25 restrict it."""

    raw: int

    def _bit(self, number: int) -> bool:
        return bool(self.raw >> number & 1)

    @property
    def abi(self) -> tuple[int, int]:
        """The minimum ABI version of the firmware, (major, minor)."""
        return self.raw >> 8 & 0xFF, self.raw & 0xFF

    @property
    def smt(self) -> bool:
        """Simultaneous multithreading is allowed."""
        return self._bit(16)

    @property
    def migrate_ma(self) -> bool:
        """Association with a migration agent is allowed."""
        return self._bit(18)

    @property
    def debug(self) -> bool:
        """The host may debug the guest: nothing in it is secret."""
        return self._bit(19)

    @property
    def single_socket(self) -> bool:
        """The guest runs on one socket only."""
        return self._bit(20)

    @property
    def cxl(self) -> bool:
        """CXL may be populated with devices or memory."""
        return self._bit(21)

    @property
    def mem_aes_256_xts(self) -> bool:
        """AES-256-XTS is required for memory encryption."""
        return self._bit(22)

    @property
    def rapl_dis(self) -> bool:
        """Running average power limit must be disabled."""
        return self._bit(23)

    @property
    def ciphertext_hiding_dram(self) -> bool:
        """Ciphertext hiding must be enabled for DRAM."""
        return self._bit(24)

    @property
    def page_swap_disable(self) -> bool:
        """The page move and swap commands are disabled for the guest."""
        return self._bit(25)


_PLATFORM_BITS = (
    "smt_en",
    "tsme_en",
    "ecc_en",
    "rapl_dis",
    "ciphertext_hiding_dram_en",
    "alias_check_complete",
    "iommu_write_safe",
    "sev_tio_en",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformInfo:
    """PLATFORM_INFO. Bits above 7 are not known here; they are shown, and refused in appraisal unless allowed."""

    raw: int

    @property
    def names(self) -> frozenset[str]:
        """The names of the known bits that are set."""
        return frozenset(name for bit, name in enumerate(_PLATFORM_BITS) if self.raw >> bit & 1)

    @property
    def smt_en(self) -> bool:
        """Simultaneous multithreading is enabled on the platform."""
        return bool(self.raw & 1)

    @property
    def unknown(self) -> int:
        """The bits that have no name here."""
        return self.raw >> len(_PLATFORM_BITS) << len(_PLATFORM_BITS)


class Tcb(NamedTuple):
    """TCB_VERSION: its 8 bytes, and its components by name as the product lays them out (attest/snp/tcb.py)."""

    raw: bytes
    parts: tuple[tuple[str, int], ...]

    def components(self) -> dict[str, int]:
        """The components by name: fmc (Turin), bl, tee, snp, ucode."""
        return dict(self.parts)


class Firmware(NamedTuple):
    """A firmware version; compares as the tuple (major, minor, build)."""

    major: int
    minor: int
    build: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.build}"


class SnpClaims(NamedTuple):
    """What a report says, once it is authentic. Fields that came with a later version are None before it.

    `signed_bytes` is the SHA-256 of the 672 signed bytes: the only identity of a report, since signatures are
    malleable. `product` is that of the pinned root; `csp_id` is empty for a VCEK.
    """

    version: int
    product: str
    cpuid: tuple[int, int, int] | None
    signing_key: SigningKey
    csp_id: str
    simulated: bool
    policy: GuestPolicy
    platform_info: PlatformInfo
    vmpl: int
    guest_svn: int
    family_id: bytes
    image_id: bytes
    report_data: bytes
    measurement: bytes
    host_data: bytes
    id_key_digest: bytes
    author_key_digest: bytes
    author_key_en: bool
    report_id: bytes
    report_id_ma: bytes
    chip_id: bytes
    reported_tcb: Tcb
    current_tcb: Tcb
    committed_tcb: Tcb
    launch_tcb: Tcb
    current_firmware: Firmware
    committed_firmware: Firmware
    launch_mit_vector: int | None
    current_mit_vector: int | None
    signed_bytes: bytes

    @property
    def tcb(self) -> Mapping[str, int]:
        """The components of REPORTED_TCB by name."""
        return self.reported_tcb.components()

    @property
    def debug(self) -> bool:
        """Whether the host may look inside."""
        return self.policy.debug

    @property
    def migration_agent(self) -> bool:
        """Whether an agent of the host's may have the guest moved, with its memory, to another platform."""
        return self.policy.migrate_ma

    @property
    def platform_id(self) -> bytes:
        """What tells this platform from others: CHIP_ID, or for a VLEK, which hides it, the provider and REPORT_ID.

        So under a VLEK every guest is a platform of its own: counted more often, never less.
        """
        if self.signing_key is SigningKey.VCEK:
            return self.chip_id
        return self.csp_id.encode() + b"\0" + self.report_id
