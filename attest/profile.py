"""Claims of every kind of TEE, and the profile: what a release asks of them.

Documents are read once, when they are registered: unknown keys, wrong lengths and contradictions raise Malformed with
their path. Nothing here is written to afterwards.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from attest.age import Issued
from attest.azure.claims import ParavisorClaims
from attest.azure.profile import AzureSnpProfile, AzureTdxProfile
from attest.errors import Malformed, NotBound
from attest.gpu.claims import DeviceClaims
from attest.gpu.profile import GpuProfile
from attest.snp.claims import SnpClaims
from attest.snp.profile import SnpProfile
from attest.tdx.claims import TdxClaims
from attest.tdx.profile import TdxProfile
from attest.tlog.canonical import parse_canonical

__all__ = ["Claims", "Profile", "bound_init_data"]


# The CPU of each platform, and whether a paravisor stands before it.
_PLATFORMS: Mapping[str, tuple[str, bool]] = {
    "snp": ("snp", False),
    "tdx": ("tdx", False),
    "azure-snp": ("snp", True),
    "azure-tdx": ("tdx", True),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """Everything that verification established; `simulated` roots are never real ones.

    `platform` is `snp` or `tdx`, and the claims of that name are there; under Azure's paravisor it is `azure-snp` or
    `azure-tdx`, and `paravisor` is there as well. The properties below say what every platform says, each in its own
    words. `devices` are the node's GPUs and NVSwitches, in request order. `init_data` are the members of the object
    that the host gave at launch, if its digest was found in the evidence (`bound_init_data`); None where none was
    given. Only then are they claims. `issued` is the collateral of the CPU with its vendor's dates.
    """

    platform: str
    simulated: bool
    snp: SnpClaims | None = None
    tdx: TdxClaims | None = None
    paravisor: ParavisorClaims | None = None
    devices: tuple[DeviceClaims, ...] = ()
    init_data: Mapping[str, object] | None = None
    issued: tuple[Issued, ...] = ()

    def __post_init__(self) -> None:
        if self.devices and any(device.simulated != self.simulated for device in self.devices):
            raise ValueError("claims under real and simulated roots are never joined")
        kind, behind = _PLATFORMS.get(self.platform, ("", False))
        cpu = self.snp if kind == "snp" else self.tdx if kind == "tdx" else None
        if cpu is None or (self.snp and self.tdx) or behind != (self.paravisor is not None):
            raise ValueError(f"claims of {self.platform} without that platform's alone")

    @property
    def cpu(self) -> SnpClaims | TdxClaims:
        """The claims of whichever platform it is."""
        claims = self.tdx if self.snp is None else self.snp
        if claims is None:
            raise ValueError("no claims of a CPU")
        return claims

    @property
    def platform_id(self) -> bytes:
        """What tells this platform from all others: CHIP_ID, PPID, or as much of an identity as it gives."""
        return self.cpu.platform_id

    @property
    def product(self) -> str:
        """Milan, Genoa or Turin; an FMSPC in lower-case hexadecimal."""
        return self.cpu.product

    @property
    def measurement(self) -> bytes:
        """MEASUREMENT or MRTD, 48 bytes."""
        return self.cpu.measurement

    @property
    def tcb(self) -> Mapping[str, int]:
        """The versions of what the platform rests on, by component."""
        return self.cpu.tcb

    @property
    def host_data(self) -> bytes:
        """What the host gave at launch: HOST_DATA, 32 bytes, or MRCONFIGID, 48."""
        return self.cpu.host_data

    @property
    def report_id(self) -> bytes:
        """What tells this guest from others: REPORT_ID; of a TD the platform's identity, since it has none."""
        return self.cpu.report_id

    @property
    def report_data(self) -> bytes:
        """The 64 bytes in the hardware's report: the guest's choice, or under a paravisor the digest of its data."""
        return self.cpu.report_data

    @property
    def debug(self) -> bool:
        """Whether the host may look inside the guest."""
        return self.cpu.debug

    @property
    def migration_agent(self) -> bool:
        """Whether the host may have the guest moved, with its memory."""
        return self.cpu.migration_agent


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The requirements of a release, by TEE; at least one. A TEE that is not named is refused: POLICY_PLATFORM.

    `gpu` is for the devices beside the CPU, which alone release nothing; without it none are asked for. `init_data`
    lists, by key, the values that bound init-data may have.
    """

    snp: SnpProfile | None = None
    tdx: TdxProfile | None = None
    azure_snp: AzureSnpProfile | None = None
    azure_tdx: AzureTdxProfile | None = None
    gpu: GpuProfile | None = None
    init_data: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @classmethod
    def parse(cls, document: object) -> Profile:
        """`{"snp"?: {}, "tdx"?: {}, "azure_snp"?: {}, "azure_tdx"?: {}, "gpu"?: {}, "init_data"?: {}}`.

        Every key of `snp` and `tdx` is optional; those under a paravisor need `cpu` and `pcrs`, and
        `gpu` needs `count`. `init_data` is `{key: [value...]}`. Keys of canonical JSON have no hyphen, hence
        `azure_snp` for the platform azure-snp.

        Raises Malformed PROFILE_MALFORMED or PROFILE_CONTRADICTION.
        """
        named = set(document) - {"gpu", "init_data"} if isinstance(document, Mapping) else set()
        if not isinstance(document, Mapping) or not named or not named <= _KEYS.keys():
            got = ", ".join(map(str, document)) if isinstance(document, Mapping) else type(document).__name__
            expected = f"at least one of the keys {', '.join(_KEYS)}, and perhaps gpu and init_data"
            raise Malformed("PROFILE_MALFORMED", "profile", expected=expected, got=got or "none")
        read: dict[str, Any] = {key: parse(document[key]) for key, parse in _KEYS.items() if key in document}
        gpu = GpuProfile.parse(document["gpu"]) if "gpu" in document else None
        return cls(**read, gpu=gpu, init_data=_init_data(document.get("init_data", {})))

    def second_fact(self, platform: str) -> str:
        """What this profile asks of the guest besides its measurement, that tells parties apart; or nothing."""
        snp, tdx = self.snp, self.tdx
        if platform.startswith("azure-"):
            snp = None if self.azure_snp is None else self.azure_snp.cpu
            tdx = None if self.azure_tdx is None else self.azure_tdx.cpu
        if platform.endswith("snp") and snp is not None and snp.host_data:
            return "HOST_DATA"
        if platform.endswith("tdx") and tdx is not None:
            return "MRCONFIGID" if tdx.mr_config_id else "RTMR3" if tdx.rtmr3 else ""
        return ""

    def collateral_age(self, platform: str) -> int | None:
        """How old the CPU's collateral may be, in hours; None where nothing is asked."""
        azure = {"azure-snp": self.azure_snp, "azure-tdx": self.azure_tdx}.get(platform)
        asked = azure.cpu if azure is not None else {"snp": self.snp, "tdx": self.tdx}.get(platform)
        return None if asked is None else asked.maximum_collateral_age_hours

    def names(self) -> tuple[str, ...]:
        """The platforms that this profile says something of."""
        return tuple(name for name in _TEES if getattr(self, name.replace("-", "_")) is not None)


_TEES: Mapping[str, Callable[[object], SnpProfile | TdxProfile | AzureSnpProfile | AzureTdxProfile]] = {
    "snp": SnpProfile.parse,
    "tdx": TdxProfile.parse,
    "azure-snp": AzureSnpProfile.parse,
    "azure-tdx": AzureTdxProfile.parse,
}
_KEYS = {name.replace("-", "_"): parse for name, parse in _TEES.items()}


def _init_data(document: Any) -> Mapping[str, frozenset[str]]:
    if not isinstance(document, Mapping):
        got = type(document).__name__
        raise Malformed("PROFILE_MALFORMED", "profile.init_data", expected="an object", got=got)
    for key, values in document.items():
        fine = isinstance(values, list) and values and all(isinstance(value, str) for value in values)
        if not fine:
            path = f"profile.init_data.{key}"
            raise Malformed(
                "PROFILE_MALFORMED", path, expected="a list of texts that is not empty", got=repr(values)[:80]
            )
    return {str(key): frozenset(values) for key, values in document.items()}


def bound_init_data(raw: bytes, claims: Claims) -> Mapping[str, object] | None:
    """The members of init-data whose SHA-256 is HOST_DATA, or SHA-384 MRCONFIGID; None for empty `raw`.

    Raises NotBound INIT_DATA_UNBOUND, and Malformed ENTRY_FORMAT or ENTRY_CANONICAL for what is no canonical object.
    """
    if not raw:
        return None
    place, digest = _INIT_DATA[claims.platform.removeprefix("azure-")]
    expected = digest(raw).digest()
    if expected != claims.host_data:
        raise NotBound("INIT_DATA_UNBOUND", place, expected=expected, got=claims.host_data)
    return parse_canonical(raw)


_INIT_DATA: Mapping[str, tuple[str, Callable[[bytes], Any]]] = {
    "snp": ("report.host_data", hashlib.sha256),
    "tdx": ("report.mr_config_id", hashlib.sha384),
}
