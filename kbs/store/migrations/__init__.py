"""The migrations of this release, oldest first. Version 1 is the first schema.

A new one is a module of its own here, `m0002_what_it_does.py`, with one `MIGRATION`, listed below; `SCHEMA_VERSION` in
kbs/store/schema.py is the version of the last, and `ddl()` there makes what all of them together lead to; a test holds
the two together. Until a version has left this repository its step may still be renumbered.
"""

from __future__ import annotations

from kbs.store.migrate import Migration
from kbs.store.migrations.m0002_documents_of_an_entry import MIGRATION as DOCUMENTS_OF_AN_ENTRY
from kbs.store.migrations.m0003_meters_slide import MIGRATION as METERS_SLIDE
from kbs.store.migrations.m0004_collateral_cache import MIGRATION as COLLATERAL_CACHE
from kbs.store.migrations.m0005_leases_are_records import MIGRATION as LEASES_ARE_RECORDS
from kbs.store.migrations.m0006_devices_are_held import MIGRATION as DEVICES_ARE_HELD
from kbs.store.migrations.m0007_collateral_in_use import MIGRATION as COLLATERAL_IN_USE

__all__ = ["MIGRATIONS"]

MIGRATIONS: tuple[Migration, ...] = (
    DOCUMENTS_OF_AN_ENTRY,
    METERS_SLIDE,
    COLLATERAL_CACHE,
    LEASES_ARE_RECORDS,
    DEVICES_ARE_HELD,
    COLLATERAL_IN_USE,
)
