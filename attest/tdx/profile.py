"""What a release asks of a TD and its platform: read once, strictly, never while it is used.

What is not said has the safe meaning: the TCB is UpToDate, SEPT_VE_DISABLE is set, no service TD is bound, and no
attribute is on that does more than harden the guest. A TD under debug and a migratable one are refused whatever a
profile says; there is no key for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from attest.age import HOURS
from attest.document import Read, flag, hexadecimal, members, one_of, set_of, whole
from attest.errors import Malformed
from attest.grace import LEAVE, TIME, read_graces
from attest.tdx.claims import TcbStatus

__all__ = ["ALLOWABLE_ATTRIBUTES", "XFAM_ALLOWED", "Grace", "TdxProfile"]

# Features that Intel TDX lets a guest have. Protection keys, Key Locker and LASS only harden it.
ALLOWABLE_ATTRIBUTES = frozenset({"icssd", "kl", "lass", "perfmon", "pks", "tpa"})
XFAM_ALLOWED = 0x6DBE7


@dataclass(frozen=True, slots=True, kw_only=True)
class Grace:
    """A dated exception: until then, platforms of this FMSPC at this level or a later one may have these statuses.

    `level` is the tcbDate of the oldest level that is excused, `advisories` are all that may apply to it; one that is
    not named ends the excuse, and so does the date. `owner` answers for it.
    """

    fmspc: bytes
    statuses: frozenset[TcbStatus]
    level: datetime
    advisories: frozenset[str]
    owner: str
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TdxProfile:
    """Requirements; an empty set or None asks for nothing. Allow-lists are compared whole, never by prefix."""

    accepted_tcb: frozenset[TcbStatus] = frozenset({TcbStatus.UpToDate})
    grace: tuple[Grace, ...] = ()
    minimum_tcb_evaluation: int | None = None
    require_sept_ve_disable: bool = True
    allow_attributes: frozenset[str] = frozenset({"kl", "lass", "pks"})
    service_tds: frozenset[bytes] = frozenset()
    mr_td: frozenset[bytes] = frozenset()
    mr_seam: frozenset[bytes] = frozenset()
    mr_config_id: frozenset[bytes] = frozenset()
    mr_owner: frozenset[bytes] = frozenset()
    mr_owner_config: frozenset[bytes] = frozenset()
    rtmr0: frozenset[bytes] = frozenset()
    rtmr1: frozenset[bytes] = frozenset()
    rtmr2: frozenset[bytes] = frozenset()
    rtmr3: frozenset[bytes] = frozenset()
    fmspcs: frozenset[bytes] = frozenset()
    ppids: frozenset[bytes] = frozenset()
    platform_instance_ids: frozenset[bytes] = frozenset()
    allow_dynamic_platform: bool = True
    allow_cached_keys: bool = True
    allow_smt: bool = True
    maximum_collateral_age_hours: int | None = None

    @classmethod
    def parse(cls, document: object, *, path: str = "tdx") -> TdxProfile:
        """Reads a profile; unknown keys, wrong types or lengths and contradictions raise Malformed with their path."""
        profile = cls(**members(document, _READERS, path))
        for number, grace in enumerate(profile.grace):
            if profile.fmspcs and grace.fmspc not in profile.fmspcs:
                expected = "one of fmspcs: " + ", ".join(sorted(each.hex() for each in profile.fmspcs))
                where = f"{path}.grace[{number}].fmspc"
                raise Malformed("PROFILE_CONTRADICTION", where, expected=expected, got=grace.fmspc.hex())
            if grace.statuses <= profile.accepted_tcb:
                where = f"{path}.grace[{number}].statuses"
                got = ", ".join(sorted(status.name for status in grace.statuses))
                raise Malformed("PROFILE_CONTRADICTION", where, expected="one that is not accepted anyway", got=got)
        return profile


def _grace(value: Any, path: str) -> tuple[Grace, ...]:
    return tuple(Grace(**members) for members in read_graces(value, path, _GRACE))


# What is revoked is refused for ever: neither a status that can be accepted nor one that can be excused.
_STATUSES = set_of(one_of({status.name: status for status in TcbStatus if status is not TcbStatus.Revoked}))
_GRACE: Mapping[str, Read] = {
    "fmspc": hexadecimal(6),
    "statuses": _STATUSES,
    "level": TIME,
    **LEAVE,
}
_DIGESTS = set_of(hexadecimal(48))
_READERS: Mapping[str, Read] = {
    "accepted_tcb": _STATUSES,
    "grace": _grace,
    "maximum_collateral_age_hours": HOURS,
    "minimum_tcb_evaluation": whole(1, 2**31 - 1),
    "require_sept_ve_disable": flag,
    "allow_attributes": set_of(one_of({name: name for name in ALLOWABLE_ATTRIBUTES})),
    "service_tds": _DIGESTS,
    "mr_td": _DIGESTS,
    "mr_seam": _DIGESTS,
    "mr_config_id": _DIGESTS,
    "mr_owner": _DIGESTS,
    "mr_owner_config": _DIGESTS,
    "rtmr0": _DIGESTS,
    "rtmr1": _DIGESTS,
    "rtmr2": _DIGESTS,
    "rtmr3": _DIGESTS,
    "fmspcs": set_of(hexadecimal(6)),
    "ppids": set_of(hexadecimal(16)),
    "platform_instance_ids": set_of(hexadecimal(16)),
    "allow_dynamic_platform": flag,
    "allow_cached_keys": flag,
    "allow_smt": flag,
}
