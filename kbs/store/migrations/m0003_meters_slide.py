"""Meters look back over several buckets: whether a node was counted since a moment is found without a search."""

from __future__ import annotations

from kbs.store.migrate import Migration, Phase

__all__ = ["MIGRATION"]

MIGRATION = Migration(
    version=3,
    what="find a meter's member by name",
    phase=Phase.EXPAND,
    statements=("CREATE INDEX meter_member_seen ON meter_member (meter, member, window)",),
)
