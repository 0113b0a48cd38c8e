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


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureSnpProfile:
    """`pcrs` are those that every reference value has to pin; `secure_boot` asks the paravisor to say that it is on."""

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
    return {
        "cpu": cpu(document["cpu"], path=f"{path}.cpu"),
        "pcrs": set_of(whole(0, PCRS - 1))(document["pcrs"], f"{path}.pcrs"),
        "secure_boot": flag(document.get("secure_boot", True), f"{path}.secure_boot"),
    }
