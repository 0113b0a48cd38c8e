"""Reads: on a connection that cannot write. Point reads take microseconds, hence run where they are called."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kbs.model.asset import Changed
from kbs.model.log import LogHead
from kbs.model.unit import Stored
from kbs.store import statements as sql
from kbs.store.connect import SHARD, open_reader
from kbs.store.documents import unpack
from kbs.store.errors import StoreUnavailable
from kbs.store.freeze import refuse_frozen
from kbs.store.ledger import read_state, read_stored

__all__ = ["Reader"]


class Reader:
    """The read side of a store. Every method raises StoreUnavailable if the database does not answer."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = open_reader(path)

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()

    def head(self) -> LogHead:
        """The log's head; raises LogFrozen while the log is frozen: what is published or released starts here."""
        refuse_frozen(self._path)
        size, root, frontier, last_time = self._one(sql.GET_HEAD, shard=SHARD)
        return LogHead(size=size, root=root, frontier=frontier, last_time=last_time)

    def entries(self, start: int, end: int) -> list[tuple[int, bytes, bytes]]:
        """(index, leaf, leaf hash) of the entries in [start, end)."""
        return self._all(sql.GET_ENTRIES, start=start, end=end)

    def root_at(self, size: int) -> bytes | None:
        """The root of the tree of that size, if a batch ended there."""
        row = self._first(sql.GET_ROOT, size=size)
        return row[0] if row else None

    def used_challenge(self, digest: bytes) -> Stored | None:
        """What a used challenge left behind; raises LogFrozen while the log is frozen."""
        refuse_frozen(self._path)
        try:
            return read_stored(self._connection, digest)
        except sqlite3.Error as error:
            raise StoreUnavailable(str(error)) from error

    def revision(self) -> tuple[int, int]:
        """The state's revision and the index of the newest governance entry."""
        try:
            state = read_state(self._connection)
        except sqlite3.Error as error:
            raise StoreUnavailable(str(error)) from error
        return state.revision, state.governance

    def objects(self) -> tuple[int, int, list[tuple[str, str, bytes, bytes]]]:
        """(revision, governance, [(name, kind, digest, document)]) as of one moment."""
        with self._moment() as connection:
            state = read_state(connection)
            rows = connection.execute(sql.GET_OBJECTS).fetchall()
        return state.revision, state.governance, rows

    def objects_since(self, index: int) -> Changed:
        """The objects that entries after `index` wrote, and how many there are in all, as of one moment."""
        with self._moment() as connection:
            state = read_state(connection)
            rows = connection.execute(sql.GET_OBJECTS_SINCE, {"idx": index}).fetchall()
            count = connection.execute(sql.COUNT_OBJECTS).fetchone()[0]
        return Changed(revision=state.revision, governance=state.governance, count=count, rows=rows)

    def object_names(self) -> list[str]:
        """The names of all objects."""
        return [name for (name,) in self._all(sql.GET_OBJECT_NAMES)]

    @contextlib.contextmanager
    def _moment(self) -> Iterator[sqlite3.Connection]:
        """One read transaction; raises StoreUnavailable."""
        try:
            self._connection.execute("BEGIN")
            yield self._connection
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            with contextlib.suppress(sqlite3.Error):  # else every later read would find a transaction begun
                self._connection.execute("ROLLBACK")
            raise StoreUnavailable(str(error)) from error

    def blob(self, digest: bytes) -> bytes | None:
        """Content-addressed bytes."""
        row = self._first(sql.GET_BLOB, digest=digest)
        return row[0] if row else None

    def document(self, index: int, digest: bytes) -> bytes | None:
        """What a digest in the entry at `index` stands for: kept beside that entry, or shared with others."""
        row = self._first(sql.GET_DOCUMENTS, idx=index)
        for each in unpack(row[0]) if row else ():
            if hashlib.sha256(each).digest() == digest:
                return each
        return self.blob(digest)

    def key_material(self, name: str) -> tuple[str, bytes] | None:
        """(parent, wrapped) of a stored key."""
        row = self._first(sql.GET_KEY, name=name)
        return (row[0], row[1]) if row else None

    def broker_keys(self, purpose: str) -> list[tuple[int, int, bytes]]:
        """(serial, not_before, wrapped) of a purpose's keys, oldest first."""
        return sorted(self._all(sql.BROKER_KEYS, purpose=purpose))

    def keys_below(self, parent: str) -> list[tuple[str, bytes]]:
        """(name, wrapped) of the keys that `parent` wraps; the empty name is the root's."""
        return self._all(sql.GET_KEYS_BELOW, parent=parent)

    def all_broker_keys(self) -> list[tuple[str, int, int, bytes]]:
        """(purpose, serial, not_before, wrapped) of every key of the broker's own."""
        return sorted(self._all(sql.ALL_BROKER_KEYS))

    def ticket(self, ticket: str) -> tuple[str, int] | None:
        """(tenant, index) of the entry behind a ticket."""
        row = self._first(sql.GET_TICKET, ticket=ticket)
        return (row[0], row[1]) if row else None

    def leaves(self, start: int, end: int, step: int = 1_024) -> Iterator[bytes]:
        """The leaves in [start, end), read piece by piece."""
        for first in range(start, end, step):
            yield from (leaf for _, leaf, _ in self.entries(first, min(first + step, end)))

    def rows(self, statement: str, **parameters: object) -> list[tuple[Any, ...]]:
        """The rows of a statement of the store's own."""
        return self._all(statement, **parameters)

    def _first(self, statement: str, **parameters: object) -> tuple[Any, ...] | None:
        try:
            row: tuple[Any, ...] | None = self._connection.execute(statement, parameters).fetchone()
        except sqlite3.Error as error:
            raise StoreUnavailable(str(error)) from error
        return row

    def _one(self, statement: str, **parameters: object) -> tuple[Any, ...]:
        row = self._first(statement, **parameters)
        if row is None:
            raise StoreUnavailable("the store has lost a row that it must have")
        return row

    def _all(self, statement: str, **parameters: object) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(statement, parameters).fetchall()
        except sqlite3.Error as error:
            raise StoreUnavailable(str(error)) from error
