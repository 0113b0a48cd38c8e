"""When each piece of collateral was last part of a decision: what nothing uses is not renewed for ever."""

from __future__ import annotations

from kbs.store.migrate import Migration, Phase

__all__ = ["MIGRATION"]

MIGRATION = Migration(
    version=7,
    what="when each piece of collateral was last used, outside the write door",
    phase=Phase.EXPAND,
    statements=(
        "CREATE TABLE collateral_use (name TEXT NOT NULL, used_at INTEGER NOT NULL, PRIMARY KEY (name)) STRICT",
    ),
)
