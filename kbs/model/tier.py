"""What each tier of classification demands and allows. Tier 0 is public, tier 4 the crown jewels."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["TIERS", "TierRule"]

_HOUR = 3_600
_TB = 10**12
_MOST = 9_000  # TB: canonical JSON, hence documents and entries, hold no number above 2**53 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TierRule:
    """The native rule of one tier.

    `lease_seconds` is the longest lease; `new_nodes_per_hour` and `bytes_per_day` are the ceilings that an asset may
    lower; `covers` is what a reference value's measurement must cover.
    """

    lease_seconds: int
    new_nodes_per_hour: int
    bytes_per_day: int
    covers: frozenset[str]


_FIRMWARE = frozenset({"firmware"})
_BOOT = frozenset({"firmware", "kernel", "initrd", "cmdline"})

TIERS: tuple[TierRule, ...] = (
    TierRule(lease_seconds=24 * _HOUR, new_nodes_per_hour=10_000, bytes_per_day=_MOST * _TB, covers=_FIRMWARE),
    TierRule(lease_seconds=24 * _HOUR, new_nodes_per_hour=2_000, bytes_per_day=_MOST * _TB, covers=_FIRMWARE),
    TierRule(lease_seconds=12 * _HOUR, new_nodes_per_hour=1_000, bytes_per_day=2_000 * _TB, covers=_BOOT),
    TierRule(lease_seconds=4 * _HOUR, new_nodes_per_hour=200, bytes_per_day=200 * _TB, covers=_BOOT),
    TierRule(lease_seconds=1 * _HOUR, new_nodes_per_hour=20, bytes_per_day=20 * _TB, covers=_BOOT),
)
