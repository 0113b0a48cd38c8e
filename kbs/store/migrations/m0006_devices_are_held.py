"""Devices of leases are told apart across tenants, so that no two machines hold one. Leases of before hold
none of theirs until they are renewed."""

from __future__ import annotations

from kbs.store.migrate import Migration, Phase

__all__ = ["MIGRATION"]

MIGRATION = Migration(
    version=6,
    what="leases say which machine holds which device until when, for all tenants alike",
    phase=Phase.EXPAND,
    statements=(
        "ALTER TABLE lease_device ADD COLUMN serial TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE lease_device ADD COLUMN machine TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE lease_device ADD COLUMN until INTEGER NOT NULL DEFAULT 0",
        "CREATE INDEX lease_device_serial ON lease_device (serial, until, machine)",
    ),
)
