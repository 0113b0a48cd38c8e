"""Ceilings of exposure for each asset: new nodes in an hour, bytes authorised in a day.

The windows slide: additions are kept in buckets of five minutes and of half an hour, and all buckets that reach into
the last hour or day count, the oldest one whole. So no hour and no day, wherever it begins, sees more than its
limit; a window that starts anew at full hours would let twice as much through around each of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kbs.model.asset import Asset
from kbs.model.unit import Count

__all__ = ["counts"]

_NODES_BUCKET_MS = 5 * 60_000
_BYTES_BUCKET_MS = 30 * 60_000
_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS


def counts(asset: Asset, node: str, now: int) -> Iterator[Count]:
    """What one release of `asset` to `node` adds. A node already counted in a window adds nothing to it.

    Limits are the asset's, which the catalogue holds at or below its tier's.
    """
    nodes: Mapping[str, Any] = {"meter": f"nodes:{asset.name}", "window": now - now % _NODES_BUCKET_MS}
    size: Mapping[str, Any] = {"meter": f"bytes:{asset.name}", "window": now - now % _BYTES_BUCKET_MS}
    yield Count(**nodes, back=_HOUR_MS, add=1, limit=asset.new_nodes_per_hour, member=node)
    yield Count(**size, back=_DAY_MS, add=asset.size_bytes, limit=asset.bytes_per_day, member=node)
