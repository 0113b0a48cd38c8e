"""Vendors' collateral, as it was fetched and verified: survives a restart, and replicas share it."""

from __future__ import annotations

from kbs.store.migrate import Migration, Phase

__all__ = ["MIGRATION"]

MIGRATION = Migration(
    version=4,
    what="a cache of vendors' collateral, outside the write door",
    phase=Phase.EXPAND,
    statements=(
        "CREATE TABLE collateral_blob (digest BLOB NOT NULL, data BLOB NOT NULL, PRIMARY KEY (digest)) STRICT",
        """CREATE TABLE collateral_item (name TEXT NOT NULL, digest BLOB NOT NULL, fetched_at INTEGER NOT NULL,
        good_until INTEGER NOT NULL, PRIMARY KEY (name),
        FOREIGN KEY(digest) REFERENCES collateral_blob (digest)) STRICT""",
    ),
)
