"""The migrations of this release, oldest first. Version 1 is the first schema, so that there are none yet.

A new one is a module of its own here, `m0002_what_it_does.py`, with one `MIGRATION`, listed below; `SCHEMA_VERSION` in
kbs/store/schema.py is the version of the last, and `ddl()` there makes what all of them together lead to.
"""

from __future__ import annotations

from kbs.store.migrate import Migration

__all__ = ["MIGRATIONS"]

MIGRATIONS: tuple[Migration, ...] = ()
