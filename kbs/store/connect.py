"""Connections to SQLite: how a file is made, opened, and checked to be what it should be.

WAL with synchronous=FULL: with NORMAL the last commits can be lost when the power fails, and an acknowledged entry must
not be. The settings are read back, since SQLite ignores what it does not like.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from kbs.model.log import LogHead
from kbs.store import statements as sql
from kbs.store.errors import StoreUnusable
from kbs.store.schema import SCHEMA_VERSION, ddl

__all__ = ["SHARD", "create", "open_any", "open_reader", "open_writer"]

SHARD = 1
_BUSY_MS = 3_000


def create(path: Path, empty: LogHead) -> None:
    """Makes a new store at `path`, readable by its owner alone; raises StoreUnusable if something is there."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        raise StoreUnusable(f"{path} exists already; a new store is only made where nothing is") from None
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN IMMEDIATE")
        for statement in ddl():
            connection.execute(statement)
        head = {"size": empty.size, "root": empty.root, "frontier": empty.frontier, "last_time": empty.last_time}
        connection.execute(sql.ADD_HEAD, {"shard": SHARD, **head})
        connection.execute(sql.ADD_STATE, {"id": 1, "revision": 0, "governance": 0})
        connection.execute("COMMIT")
    finally:
        connection.close()


def open_writer(path: Path) -> sqlite3.Connection:
    """The writing connection, to be used by one thread; raises StoreUnusable."""
    connection = _open(path, "rw")
    for pragma, value in (("journal_mode", "wal"), ("synchronous", "FULL"), ("foreign_keys", "ON")):
        connection.execute(f"PRAGMA {pragma} = {value}")
    read_back = {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")}
    if read_back != {"journal_mode": "wal", "synchronous": 2}:
        raise StoreUnusable(f"{path}: SQLite did not accept WAL with synchronous=FULL; it reads {read_back}")
    return connection


def open_reader(path: Path) -> sqlite3.Connection:
    """A connection that cannot write."""
    connection = _open(path, "ro")
    connection.execute("PRAGMA query_only = ON")
    return connection


def _open(path: Path, mode: str) -> sqlite3.Connection:
    connection, version = open_any(path, mode)
    if version != SCHEMA_VERSION:
        connection.close()
        raise StoreUnusable(_of_another_version(path, version))
    return connection


def open_any(path: Path, mode: str) -> tuple[sqlite3.Connection, int]:
    """A connection to a database of whatever schema, with its version; for migrations and for looking at a backup."""
    try:
        connection = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode={mode}", uri=True, isolation_level=None, check_same_thread=False
        )
        connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.Error as error:
        if not path.exists():
            raise StoreUnusable(f"{path} is not there: sealgate-broker init makes a deployment") from error
        raise StoreUnusable(f"{path} cannot be opened as a store: {error}") from error
    return connection, version


def _of_another_version(path: Path, version: int) -> str:
    """What to do about it: forward by a migration, never back."""
    has = f"{path} has schema {version}, this version of Sealgate needs {SCHEMA_VERSION}"
    if version == 0:
        return f"{path} is not a store of Sealgate's"
    if version < SCHEMA_VERSION:
        return f"{has}; see what would change: sealgate-broker migrate --directory {path.parent} --dry-run"
    return (
        f"{has}; a store is never migrated back: run the Sealgate that made it, or bring back a backup of before: "
        f"sealgate-broker restore --backup FILE --directory {path.parent}"
    )
