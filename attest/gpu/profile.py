"""What a release asks of a node's GPUs and NVSwitches: read once, strictly, never while it is used.

What is not said has the safe meaning: manifests and revocation are required, no signer may be on hold, firmware must
say its mode and FWID, measurements outside the manifests must be zero. Each key that begins with `allow_` lifts one of
these. That no device occurs twice, no key lifts.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from attest.age import HOURS
from attest.document import Read, flag, hexadecimal, malformed, members, one_of, set_of, whole
from attest.errors import Malformed
from attest.gpu.certs import FAMILIES
from attest.gpu.opaque import Mode
from attest.gpu.report import GPU

__all__ = ["ARCHITECTURES", "GpuProfile", "Topology", "version_of"]

ARCHITECTURES = frozenset(family.architecture for family in FAMILIES if family.kind == GPU)
_MAX_GPUS = 16
_SYSTEM = 8  # GPUs of an HGX system in PPCIE mode


class Topology(enum.Enum):
    """How much has to be shown of how GPUs and NVSwitches are wired.

    `NONE` asks for nothing and is refused in PPCIE mode. `PPCIE` is 8 GPUs and 4 NVSwitches that name each other by the
    PDIs of their certificates. `GPUS_ONLY` is for guests that cannot read NVSwitches: the GPUs name the same 4, of
    which no evidence is asked, so that nothing shows what they are or what they run.
    """

    NONE = "none"
    PPCIE = "ppcie"
    GPUS_ONLY = "gpus-only-switches-unverified"


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuProfile:
    """Requirements. `count` GPUs, exactly; NVSwitches are counted by `topology`, which PPCIE mode has and needs.

    `pdis` lists the GPUs that may be among them; an empty set asks for nothing.
    """

    count: int
    architectures: frozenset[str] = ARCHITECTURES
    modes: frozenset[Mode] = frozenset({Mode.SPT, Mode.MPT})
    topology: Topology = Topology.NONE
    minimum_driver: tuple[int, ...] | None = None
    minimum_vbios: tuple[int, ...] | None = None
    pdis: frozenset[bytes] = frozenset()
    maximum_collateral_age_hours: int | None = None
    allow_missing_rim: bool = False
    allow_unchecked_revocation: bool = False
    allow_rim_on_hold: bool = False
    allow_unstated_mode: bool = False
    allow_missing_fwid: bool = False
    allow_uncovered_measurements: bool = False

    @classmethod
    def parse(cls, document: object, *, path: str = "gpu") -> GpuProfile:
        """Reads a profile; raises Malformed PROFILE_MALFORMED or PROFILE_CONTRADICTION with the path of the mistake."""
        values = members(document, _READERS, path)
        if "count" not in values:
            raise malformed(f"{path}.count", f"a whole number from 1 to {_MAX_GPUS}", "none")
        if values.get("topology", Topology.NONE) is not Topology.NONE:
            values = {"modes": _WIRED_MODES, "architectures": _WIRED_ARCHITECTURES, **values}
        profile = cls(**values)
        _check_consistent(profile, path)
        return profile


_WIRED_MODES, _WIRED_ARCHITECTURES = frozenset({Mode.PPCIE}), frozenset({"hopper"})


def _check_consistent(profile: GpuProfile, path: str) -> None:
    """What no evidence could ever meet, or what could never matter, is a mistake of the writer's."""
    wired = profile.topology is not Topology.NONE
    if wired != (profile.modes == _WIRED_MODES) or (not wired and Mode.PPCIE in profile.modes):
        expected = "ppcie alone with a topology, and never without"
        got = f"{', '.join(sorted(mode.value for mode in profile.modes))}; topology {profile.topology.value}"
        raise Malformed("PROFILE_CONTRADICTION", f"{path}.modes", expected=expected, got=got)
    if wired and (profile.count, profile.architectures) != (_SYSTEM, _WIRED_ARCHITECTURES):
        got = f"{profile.count}, {', '.join(sorted(profile.architectures))}"
        raise Malformed("PROFILE_CONTRADICTION", f"{path}.topology", expected=f"{_SYSTEM} GPUs, hopper", got=got)
    if profile.pdis and len(profile.pdis) < profile.count:
        got = f"{len(profile.pdis)} for {profile.count} GPUs"
        raise Malformed("PROFILE_CONTRADICTION", f"{path}.pdis", expected="at least one for each GPU", got=got)


def version_of(value: str, base: int) -> tuple[int, ...] | None:
    """A version with dots as numbers that compare, of driver (base 10) or VBIOS (base 16); None if it is no such."""
    parts = value.split(".")
    digits = "0123456789" if base == 10 else "0123456789abcdefABCDEF"
    if not all(part and len(part) <= 6 and set(part) <= set(digits) for part in parts) or len(parts) > 6:
        return None
    return tuple(int(part, base) for part in parts)


def _version(base: int, example: str) -> Read:
    def read(value: Any, path: str) -> tuple[int, ...]:
        found = version_of(value, base) if isinstance(value, str) else None
        if found is None:
            raise malformed(path, f"a version like {example}", repr(value))
        return found

    return read


_READERS: Mapping[str, Read] = {
    "count": whole(1, _MAX_GPUS),
    "architectures": set_of(one_of({name: name for name in ARCHITECTURES})),
    "modes": set_of(one_of({mode.value: mode for mode in Mode if mode is not Mode.UNSTATED})),
    "topology": one_of({topology.value: topology for topology in Topology}),
    "minimum_driver": _version(10, "570.172.08"),
    "minimum_vbios": _version(16, "96.00.A5.00.01"),
    "maximum_collateral_age_hours": HOURS,
    "pdis": set_of(hexadecimal(8)),
    "allow_missing_rim": flag,
    "allow_unchecked_revocation": flag,
    "allow_rim_on_hold": flag,
    "allow_unstated_mode": flag,
    "allow_missing_fwid": flag,
    "allow_uncovered_measurements": flag,
}
