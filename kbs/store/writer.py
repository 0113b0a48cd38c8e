"""The writing connection, and what must hold around each of its transactions.

Before and after: the log is not frozen, and the files are those that were opened. SQLite goes on writing into a file
that was deleted or replaced under it; such a commit succeeds and is nowhere. A connection that met a read-only or
failing disk is opened anew, so that the service is back by itself when the cause is gone.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from kbs.store.connect import open_writer
from kbs.store.errors import LogFrozen, StoreUnavailable, StoreUnusable
from kbs.store.freeze import Mark, refuse_frozen, write_mark
from kbs.store.schema import SCHEMA_VERSION

__all__ = ["Connect", "Writer"]

_log = logging.getLogger("sealgate.store")
_REOPEN = frozenset({sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN})
Connect = Callable[[Path], sqlite3.Connection]
_File = tuple[int, int] | None


class Writer:
    """One connection for one thread. `begin`, then `commit` or `rollback`. Raises StoreUnavailable and LogFrozen."""

    def __init__(self, path: Path, connect: Connect = open_writer, *, resolving: bool = False) -> None:
        """`resolving` writes although the log is frozen: the entry with which a freeze ends, and nothing else."""
        self._path = path
        self._resolving = resolving
        self._wal_path = path.with_name(f"{path.name}-wal")
        self._connect = connect
        self._connection = connect(path)
        self._file = _identity(path)
        self._wal: _File = None
        self._suspect = False
        self._unwritten: Mark | None = None

    def begin(self) -> sqlite3.Connection:
        """The connection, with the head's lock taken on the store that was opened."""
        if self._unwritten is not None:
            self.freeze(self._unwritten)
        if not self._resolving:
            refuse_frozen(self._path)
        if self._suspect:
            self._reopen()
        self._same_files()
        self._execute("BEGIN IMMEDIATE")
        version = self._execute("PRAGMA user_version").fetchone()[0]
        if version != SCHEMA_VERSION:
            self.rollback(None)
            raise StoreUnavailable(f"the store was migrated to schema {version} meanwhile; restart this process")
        return self._connection

    def commit(self) -> None:
        """When it returns, what was written is durable in the files that are there."""
        self._execute("COMMIT")
        self._same_files()

    def rollback(self, error: BaseException | None) -> None:
        """Ends a transaction that failed with `error`, if it is still open."""
        self._suspect = self._suspect or (isinstance(error, sqlite3.Error) and _code(error) in _REOPEN)
        if not self._connection.in_transaction:
            return
        try:
            self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            self._suspect = True  # closing it rolls back, too

    def freeze(self, mark: Mark) -> None:
        """Writes the mark, and raises LogFrozen. One that cannot be written counts and is tried again."""
        try:
            write_mark(self._path, mark)
            self._unwritten = None
        except OSError as error:
            self._unwritten = mark
            _log.critical("the log's freeze could not be marked on disk: %s", error)
        _log.critical("the log is frozen: %s", mark.reason)
        raise LogFrozen(mark.reason)

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()

    def _execute(self, statement: str) -> sqlite3.Cursor:
        """What fails here fails for the whole batch, and is not tried again unit by unit."""
        try:
            return self._connection.execute(statement)
        except sqlite3.Error as error:
            self.rollback(error)
            raise StoreUnavailable(f"{statement} failed: {error}") from error

    def _reopen(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()
        try:
            self._connection = self._connect(self._path)
        except (sqlite3.Error, StoreUnusable) as error:
            raise StoreUnavailable(f"the store cannot be opened again: {error}") from error
        self._suspect, self._wal = False, None

    def _same_files(self) -> None:
        wal = _identity(self._wal_path)
        if _identity(self._path) != self._file or (self._wal is not None and wal != self._wal):
            raise StoreUnavailable(
                f"{self._path} or its -wal is no longer the file that was opened; put it back, or restart the broker"
            )
        self._wal = self._wal or wal


def _identity(path: Path) -> _File:
    """Which file is there; None for none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
