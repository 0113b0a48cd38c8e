"""Ceilings of exposure for each asset: new nodes in an hour, bytes authorised in a day."""

from __future__ import annotations

from collections.abc import Iterator

from kbs.model.asset import Asset
from kbs.model.unit import Count

__all__ = ["counts"]

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS


def counts(asset: Asset, node: str, now: int) -> Iterator[Count]:
    """What one release of `asset` to `node` adds. A node already counted in a window adds nothing to it.

    Limits are the asset's, which the catalogue holds at or below its tier's.
    """
    hour, day = now - now % _HOUR_MS, now - now % _DAY_MS
    name = str(asset.name)
    yield Count(meter=f"nodes:{name}", window=hour, add=1, limit=asset.new_nodes_per_hour, member=node)
    yield Count(meter=f"bytes:{name}", window=day, add=asset.size_bytes, limit=asset.bytes_per_day, member=node)
