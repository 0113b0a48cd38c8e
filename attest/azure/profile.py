"""What a release asks of a guest under a paravisor: the hardware's own profile, and which PCRs decide what runs.

The hardware measures the paravisor, which is the same for every guest of the cloud. What this guest booted is in PCRs
of its vTPM; a profile that names none would accept any guest, so that it is refused when it is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from attest.document import flag, malformed, set_of, whole
from attest.snp.profile import SnpProfile
from attest.tdx.profile import TdxProfile
from attest.tpm import PCRS

__all__ = ["AzureSnpProfile", "AzureTdxProfile"]

# TCG "PC Client Platform Firmware Profile", 3.3.4: boot manager code, secure boot policy; debug and application.
_SECURE_BOOT = 7
_DECIDING = frozenset({4, _SECURE_BOOT})
_RESETTABLE = frozenset({16, 23})


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureSnpProfile:
    """`pcrs` are those that every reference value has to pin; `secure_boot` asks the paravisor to say that it is on.

    Among them is PCR 4 or 7, since what extends the others is decided there; 7 where `secure_boot` is asked for, since
    the paravisor said it at some boot of this vTPM and PCR 7 says it of this one; neither 16 nor 23, which any guest
    can reset and extend as it likes.
    """

    cpu: SnpProfile
    pcrs: frozenset[int]
    secure_boot: bool = True

    @classmethod
    def parse(cls, document: object) -> AzureSnpProfile:
        """`{"cpu": {...}, "pcrs": [number...], "secure_boot"?: flag}`. Raises Malformed PROFILE_MALFORMED."""
        return cls(**_members(document, SnpProfile.parse, "azure_snp"))


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureTdxProfile:
    """As AzureSnpProfile, on TDX."""

    cpu: TdxProfile
    pcrs: frozenset[int]
    secure_boot: bool = True

    @classmethod
    def parse(cls, document: object) -> AzureTdxProfile:
        """`{"cpu": {...}, "pcrs": [number...], "secure_boot"?: flag}`. Raises Malformed PROFILE_MALFORMED."""
        return cls(**_members(document, TdxProfile.parse, "azure_tdx"))


def _members(document: object, cpu: Callable[..., object], path: str) -> dict[str, Any]:
    if not isinstance(document, Mapping) or not {"cpu", "pcrs"} <= document.keys() <= {"cpu", "pcrs", "secure_boot"}:
        got = ", ".join(map(str, document)) if isinstance(document, Mapping) else type(document).__name__
        raise malformed(path, "cpu and pcrs, and perhaps secure_boot", got or "none")
    pcrs = set_of(whole(0, PCRS - 1))(document["pcrs"], f"{path}.pcrs")
    secure_boot = flag(document.get("secure_boot", True), f"{path}.secure_boot")
    _check_pcrs(pcrs, f"{path}.pcrs", secure_boot=secure_boot)
    return {"cpu": cpu(document["cpu"], path=f"{path}.cpu"), "pcrs": pcrs, "secure_boot": secure_boot}


def _check_pcrs(pcrs: frozenset[int], path: str, *, secure_boot: bool) -> None:
    got = ", ".join(map(str, sorted(pcrs)))
    if pcrs & _RESETTABLE:
        raise malformed(path, "neither 16 nor 23, which a guest can reset", got)
    if not pcrs & _DECIDING:
        raise malformed(path, "4 (what the firmware started) or 7 (whose keys it asked for)", got)
    if secure_boot and _SECURE_BOOT not in pcrs:
        raise malformed(path, "7 where secure_boot is asked for, which is the default", got)
