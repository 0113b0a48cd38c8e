"""Brings a store forward to the schema of this release: numbered steps, each one transaction, never back.

Expand, then contract: a step either adds what the new release needs beside what the old one reads, or removes, in a
later version, what nothing reads any more. The log is checked inside each transaction, before its commit: a step that
would harm it, or its triggers, is rolled back, version and all.
"""

from __future__ import annotations

import enum
import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kbs.store.connect import open_any
from kbs.store.errors import StoreUnavailable, StoreUnusable
from kbs.store.freeze import refuse_frozen
from kbs.store.port import Faults, no_fault
from kbs.store.schema import SCHEMA_VERSION
from kbs.store.selfcheck import check_store, log_identity

__all__ = ["Migration", "MigrationInvalid", "Phase", "migrate", "pending", "version_of"]

_ADDS = re.compile(
    r"\s*(CREATE\s+(UNIQUE\s+)?(TABLE|INDEX|TRIGGER)\b|ALTER\s+TABLE\s+\w+\s+ADD\b|INSERT\b(?!\s+OR\s+REPLACE)|UPDATE\b)",
    re.IGNORECASE,
)
_FORBIDDEN = re.compile(
    r"\s*(BEGIN|COMMIT|END|ROLLBACK|SAVEPOINT|RELEASE|PRAGMA|ATTACH|DETACH|VACUUM)\b", re.IGNORECASE
)


class MigrationInvalid(Exception):
    """The migrations of this release contradict each other: a defect of ours, found when they are listed."""


class Phase(enum.Enum):
    """What a step does to those who know the schema before it."""

    EXPAND = "expand"
    CONTRACT = "contract"


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """The step to schema `version`. A contraction names in `after` the version whose expansion it completes.

    Raises MigrationInvalid for an expansion that removes, a contraction that completes nothing, and for statements
    about transactions and settings, which belong to the mechanism.
    """

    version: int
    what: str
    phase: Phase
    statements: tuple[str, ...]
    after: int | None = None

    def __post_init__(self) -> None:
        if not self.statements or any(_FORBIDDEN.match(s) for s in self.statements):
            raise MigrationInvalid(f"migration {self.version} must have statements, and none about transactions")
        if self.phase is Phase.EXPAND and not all(_ADDS.match(s) for s in self.statements):
            raise MigrationInvalid(f"migration {self.version} is an expansion and may only add")
        if (self.phase is Phase.CONTRACT) != (self.after is not None) or (self.after or 0) >= self.version:
            raise MigrationInvalid(f"migration {self.version}: a contraction, and only one, names an earlier version")

    def script(self) -> str:
        """The whole transaction, as SQL for people to read."""
        lines = [f"-- {self.version - 1} -> {self.version} ({self.phase.value}): {self.what}", "BEGIN IMMEDIATE;"]
        lines += [f"{statement.strip()};" for statement in self.statements]
        return "\n".join([*lines, f"PRAGMA user_version = {self.version};", "COMMIT;"])


def version_of(path: Path) -> int:
    """The schema of the store at `path`; raises StoreUnusable if it is none."""
    connection, version = open_any(path, "ro")
    connection.close()
    if version == 0:
        raise StoreUnusable(f"{path} is not a store of Sealgate's")
    return version


def pending(version: int, migrations: Sequence[Migration], target: int = SCHEMA_VERSION) -> tuple[Migration, ...]:
    """The steps from `version` to `target`. Raises StoreUnusable for a newer store, MigrationInvalid for a gap."""
    if version > target:
        raise StoreUnusable(f"the store has schema {version}, newer than {target}: a store is never migrated back")
    by_version = {each.version: each for each in migrations}
    if len(by_version) != len(migrations):
        raise MigrationInvalid("two migrations lead to the same version")
    missing = [v for v in range(version + 1, target + 1) if v not in by_version]
    if missing:
        raise MigrationInvalid(f"no migration leads to {missing}")
    return tuple(by_version[v] for v in range(version + 1, target + 1))


def migrate(
    path: Path, migrations: Sequence[Migration], *, target: int = SCHEMA_VERSION, faults: Faults = no_fault
) -> int:
    """Brings the store to `target` and returns the version that it had.

    A crash leaves the last version that was reached whole. Processes that serve the old version refuse from the first
    commit on (`Writer.begin`) and are restarted. Raises StoreUnusable, StoreUnavailable, and LogFrozen.
    """
    refuse_frozen(path)
    steps = pending(version := version_of(path), migrations, target)
    connection, _ = open_any(path, "rw")
    try:
        connection.execute("PRAGMA synchronous = FULL")
        for step in steps:
            _apply(connection, step, faults)
    except sqlite3.Error as error:
        raise StoreUnavailable(f"the migration failed and was rolled back: {error}") from error
    finally:
        connection.close()
    return version


def _apply(connection: sqlite3.Connection, step: Migration, faults: Faults) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version >= step.version:
            return  # somebody else was faster
        before = _log(connection)
        for statement in step.statements:
            connection.execute(statement)
            faults(f"migrating-{step.version}")
        _insist(connection, step, before)
        connection.execute(f"PRAGMA user_version = {step.version}")
        faults(f"migrated-{step.version}")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _insist(connection: sqlite3.Connection, step: Migration, before: object) -> None:
    """The step left the log as it was, its triggers in place, and no reference dangling; raises StoreUnusable."""
    identity = log_identity(connection)
    found = check_store(connection, origin=identity[0] if identity else None)
    if not found.passed or _log(connection) != before:
        raise StoreUnusable(f"migration {step.version} would harm the log, and was rolled back: {found.sentence()}")
    dangling = connection.execute("PRAGMA foreign_key_check").fetchall()
    if dangling:
        raise StoreUnusable(f"migration {step.version} leaves references dangling, and was rolled back: {dangling[:3]}")


def _log(connection: sqlite3.Connection) -> list[object]:
    """What of the log no migration may change: its heads and every committed root."""
    head = connection.execute("SELECT shard, size, root, frontier, last_time FROM log_head").fetchall()
    roots = connection.execute("SELECT count(*), max(size), sum(committed_at) FROM log_root").fetchone()
    return [head, roots, connection.execute("SELECT count(*) FROM log_entry").fetchone()]
