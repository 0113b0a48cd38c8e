"""Leases say whose they are, what they are of, and how they ended. Those of before belong to no holder key, hence
cannot be renewed: they run out."""

from __future__ import annotations

from kbs.store.migrate import Migration, Phase

__all__ = ["MIGRATION"]

MIGRATION = Migration(
    version=5,
    what="leases say whose they are, what they are of, and how they ended",
    phase=Phase.EXPAND,
    statements=(
        "ALTER TABLE lease ADD COLUMN purpose TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE lease ADD COLUMN platform TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE lease ADD COLUMN guest TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE lease ADD COLUMN holder_key BLOB NOT NULL DEFAULT x''",
        "ALTER TABLE lease ADD COLUMN newest INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE lease ADD COLUMN ended INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE lease ADD COLUMN reason TEXT NOT NULL DEFAULT ''",
        "UPDATE lease SET newest = idx",
        "CREATE INDEX lease_start ON lease (tenant, start, lease_id)",
        (
            "CREATE TABLE lease_key (lease_id TEXT NOT NULL, asset TEXT NOT NULL, version INTEGER NOT NULL, "
            "place INTEGER NOT NULL, PRIMARY KEY (lease_id, asset)) STRICT, WITHOUT ROWID"
        ),
        "CREATE INDEX lease_key_asset ON lease_key (asset, lease_id)",
        (
            "CREATE TABLE lease_device (lease_id TEXT NOT NULL, device TEXT NOT NULL, place INTEGER NOT NULL, "
            "PRIMARY KEY (lease_id, device)) STRICT, WITHOUT ROWID"
        ),
        "CREATE INDEX lease_device_device ON lease_device (device, lease_id)",
    ),
)
