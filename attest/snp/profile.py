"""What a release asks of an SNP guest and its platform: read once, strictly, never while it is used.

Terms are those of AMD publication 56860. What is not said has the safe meaning: VMPL 0, no CXL, no unknown platform
bits, and the security patch levels of AMD-SB-3019 as the least. A debug policy and a migration agent are refused
whatever a profile says; there is no key for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from attest.age import HOURS
from attest.document import Read, flag, hexadecimal, malformed, members, numbers, one_of, set_of, text, whole
from attest.errors import Malformed
from attest.grace import LEAVE, read_graces
from attest.snp.claims import Firmware, SigningKey
from attest.snp.report import VERSIONS
from attest.snp.tcb import LAYOUT

__all__ = ["FLOORS", "PLATFORM_BITS", "RESTRICTIONS", "SnpGrace", "SnpProfile"]

# AMD-SB-3019 (CVE-2024-56161): below these security patch levels microcode that AMD did not sign may run. By product.
FLOORS: Mapping[str, Mapping[str, int]] = {"Milan": {"snp": 0x18}, "Genoa": {"snp": 0x17}, "Turin": {}}
RESTRICTIONS = frozenset(
    {"single_socket", "mem_aes_256_xts", "rapl_dis", "ciphertext_hiding_dram", "page_swap_disable"}
)
PLATFORM_BITS: Mapping[str, str] = {
    "tsme_en": "PLATFORM_TSME",
    "ecc_en": "PLATFORM_ECC",
    "rapl_dis": "PLATFORM_RAPL_DIS",
    "ciphertext_hiding_dram_en": "PLATFORM_CIPHERTEXT_HIDING_DRAM",
    "alias_check_complete": "PLATFORM_ALIAS_CHECK",
    "iommu_write_safe": "PLATFORM_IOMMU_WRITE_SAFE",
    "sev_tio_en": "PLATFORM_SEV_TIO",
}
Minimum = Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SnpGrace:
    """A dated exception: until then, platforms of this product need reach no more than `level` where it names less.

    Components that `level` does not name have to reach the profile's minimum as ever. AMD signs no advisories into a
    TCB: those that are named here are what `owner` answers for.
    """

    product: str
    level: Mapping[str, int]
    advisories: frozenset[str]
    owner: str
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SnpProfile:
    """Requirements; an empty set, mapping or None asks for nothing. Allow-lists are compared whole, never by prefix."""

    minimum_report_version: int = 2
    products: frozenset[str] = frozenset(LAYOUT)
    signing_keys: frozenset[SigningKey] = frozenset(SigningKey)
    vmpl: int = 0
    minimum_abi: tuple[int, int] | None = None
    allow_smt: bool = True
    allow_platform_smt: bool = True
    allow_cxl: bool = False
    allow_unknown_platform_bits: bool = False
    allow_provisional_firmware: bool = True
    require: frozenset[str] = frozenset()
    require_platform: frozenset[str] = frozenset()
    minimum_tcb: Minimum = field(default_factory=lambda: FLOORS)
    minimum_launch_tcb: Minimum = field(default_factory=dict)
    grace: tuple[SnpGrace, ...] = ()
    minimum_firmware: Firmware | None = None
    mitigations: int = 0
    launch_mitigations: int = 0
    minimum_guest_svn: int | None = None
    host_data: frozenset[bytes] = frozenset()
    family_ids: frozenset[bytes] = frozenset()
    image_ids: frozenset[bytes] = frozenset()
    id_key_digests: frozenset[bytes] = frozenset()
    author_key_digests: frozenset[bytes] = frozenset()
    chip_ids: frozenset[bytes] = frozenset()
    csp_ids: frozenset[str] = frozenset()
    maximum_collateral_age_hours: int | None = None

    @classmethod
    def parse(cls, document: object, *, path: str = "snp") -> SnpProfile:
        """Reads a profile; unknown keys, wrong types or lengths and contradictions raise Malformed with their path."""
        profile = cls(**members(document, _READERS, path))
        _check_consistent(profile, document, path)
        return profile


def _check_consistent(profile: SnpProfile, document: Any, path: str) -> None:
    """What no evidence could ever meet, or what could never matter, is a mistake of the writer's."""
    for key in ("minimum_tcb", "minimum_launch_tcb"):
        named = set(getattr(profile, key))
        if key in document and named != profile.products:
            expected = f"one for each of {', '.join(sorted(profile.products))}"
            raise Malformed("PROFILE_CONTRADICTION", f"{path}.{key}", expected=expected, got=", ".join(sorted(named)))
    for number, grace in enumerate(profile.grace):
        _check_grace(grace, profile, f"{path}.grace[{number}]")
    for key, kind in (("chip_ids", SigningKey.VCEK), ("csp_ids", SigningKey.VLEK)):
        if key in document and profile.signing_keys != {kind}:
            expected = f'signing_keys ["{kind.name.lower()}"] beside it'
            got = ", ".join(sorted(k.name.lower() for k in profile.signing_keys))
            raise Malformed("PROFILE_CONTRADICTION", f"{path}.{key}", expected=expected, got=got)
    if (
        (profile.mitigations or profile.launch_mitigations)
        and "minimum_report_version" in document
        and profile.minimum_report_version < 5
    ):
        expected, least = "5, since mitigation vectors are required", profile.minimum_report_version
        raise Malformed("PROFILE_CONTRADICTION", f"{path}.minimum_report_version", expected=expected, got=least)


def _check_grace(grace: SnpGrace, profile: SnpProfile, path: str) -> None:
    """An exception is about a product that is let in, and lowers something."""
    if grace.product not in profile.products:
        expected = "one of products: " + ", ".join(sorted(profile.products))
        raise Malformed("PROFILE_CONTRADICTION", f"{path}.product", expected=expected, got=grace.product)
    least = profile.minimum_tcb.get(grace.product, {})
    fine = grace.level and all(value < least.get(name, 0) for name, value in grace.level.items())
    if not fine:
        expected = "components that are below minimum_tcb: " + ", ".join(f"{n} {v}" for n, v in least.items())
        got = ", ".join(f"{name} {value}" for name, value in grace.level.items()) or "none"
        raise Malformed("PROFILE_CONTRADICTION", f"{path}.level", expected=expected, got=got)
    if not grace.advisories:
        raise Malformed("PROFILE_CONTRADICTION", f"{path}.advisories", expected="at least one", got="none")


def _grace(value: Any, path: str) -> tuple[SnpGrace, ...]:
    found = []
    for number, named in enumerate(read_graces(value, path, _GRACE)):
        level = _components(named["product"], named["level"], f"{path}[{number}].level")
        found.append(SnpGrace(**{**named, "level": level}))
    return tuple(found)


def _bits(value: Any, path: str) -> int:
    """A list of bit numbers, as the mask."""
    return sum(1 << bit for bit in set_of(whole(0, 63))(value, path))


def _firmware(value: Any, path: str) -> Firmware:
    major, minor, build = numbers(3)(value, path)
    return Firmware(major=major, minor=minor, build=build)


def _minimum(value: Any, path: str) -> Minimum:
    """By product, the least of each component that is named."""
    if not isinstance(value, Mapping) or not value:
        raise malformed(path, "an object by product that is not empty", repr(value))
    found = {}
    for key, least in value.items():
        product = _product(key, path)
        found[product] = _components(product, least, f"{path}.{key}")
    return found


def _components(product: str, value: Any, path: str) -> Mapping[str, int]:
    names = LAYOUT[product].names
    if not isinstance(value, Mapping) or not set(value) <= set(names):
        raise malformed(path, f"an object with keys among {', '.join(names)}", repr(value))
    return {name: whole(0, 255)(least, f"{path}.{name}") for name, least in value.items()}


_product = one_of({name.lower(): name for name in LAYOUT})  # canonical JSON has keys in lower case only
_GRACE: Mapping[str, Read] = {"product": _product, "level": lambda value, _path: value, **LEAVE}
_READERS: Mapping[str, Read] = {
    "grace": _grace,
    "minimum_report_version": whole(VERSIONS[0], VERSIONS[-1]),
    "products": set_of(_product),
    "signing_keys": set_of(one_of({key.name.lower(): key for key in SigningKey})),
    "vmpl": whole(0, 3),
    "maximum_collateral_age_hours": HOURS,
    "minimum_abi": numbers(2),
    "allow_smt": flag,
    "allow_platform_smt": flag,
    "allow_cxl": flag,
    "allow_unknown_platform_bits": flag,
    "allow_provisional_firmware": flag,
    "require": set_of(one_of({name: name for name in RESTRICTIONS})),
    "require_platform": set_of(one_of({name: name for name in PLATFORM_BITS})),
    "minimum_tcb": _minimum,
    "minimum_launch_tcb": _minimum,
    "minimum_firmware": _firmware,
    "mitigations": _bits,
    "launch_mitigations": _bits,
    "minimum_guest_svn": whole(0, 2**32 - 1),
    "host_data": set_of(hexadecimal(32)),
    "family_ids": set_of(hexadecimal(16)),
    "image_ids": set_of(hexadecimal(16)),
    "id_key_digests": set_of(hexadecimal(48)),
    "author_key_digests": set_of(hexadecimal(48)),
    "chip_ids": set_of(hexadecimal(64)),
    "csp_ids": set_of(text),
}
