"""The cache of vendors' collateral: content-addressed bytes and an index by name. Outside the write door.

Nothing rests on it: whoever reads a piece verifies it again, and a cache that is lost is fetched again. Hence its
writes do not wait for the disk (the next commit of the log takes them along), and a failure is said and stops nobody.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from sqlalchemy import bindparam, delete, literal_column, select
from sqlalchemy.dialects import sqlite
from sqlalchemy.sql import ClauseElement

from kbs.model.collateral import Piece
from kbs.store.connect import open_reader, open_writer
from kbs.store.many import Insert
from kbs.store.schema import collateral_blob as blob
from kbs.store.schema import collateral_item as item
from kbs.store.schema import collateral_use as use

__all__ = ["CollateralCache"]

_log = logging.getLogger("sealgate.store")


def _sql(statement: ClauseElement) -> str:
    return str(statement.compile(dialect=sqlite.dialect(paramstyle="named")))


_ADD_BLOBS = Insert(blob, "OR IGNORE")
_PUT_ITEMS = Insert(item, "OR REPLACE")
_GET = _sql(
    select(blob.c.data, item.c.fetched_at, item.c.good_until)
    .join(blob, blob.c.digest == item.c.digest)
    .where(item.c.name == bindparam("name"))
)
_NAMES = _sql(
    select(item.c.name)
    .where(item.c.name >= bindparam("first"), item.c.name < bindparam("beyond"))
    .order_by(item.c.name)
)
_ENDS = _sql(select(item.c.name, item.c.fetched_at, item.c.good_until).order_by(item.c.name))
_OVERDUE = _sql(
    select(item.c.name).where(
        item.c.good_until > bindparam("now"),
        (item.c.good_until - item.c.fetched_at) * literal_column("4")
        <= (bindparam("now") - item.c.fetched_at) * literal_column("5"),
    )
)
_NOTE = Insert(use, "OR REPLACE")
_USES = _sql(select(use.c.name, use.c.used_at))
_DROP = _sql(delete(item).where(item.c.name == bindparam("name")))
_FORGET = _sql(delete(use).where(use.c.name == bindparam("name")))
_PRUNE = _sql(delete(blob).where(blob.c.digest.not_in(select(item.c.digest))))


class CollateralCache:
    """Reads take microseconds and run where they are called, in one thread; what blocks belongs on others."""

    def __init__(self, path: Path) -> None:
        self._reader = open_reader(path)
        self._writer = open_writer(path)
        self._writer.execute("PRAGMA synchronous = NORMAL")
        self._lock = threading.Lock()

    def get(self, name: str) -> Piece | None:
        """The piece of that name, whatever its age; None also if the database does not answer."""
        try:
            row = self._reader.execute(_GET, {"name": name}).fetchone()
        except sqlite3.Error as error:
            _log.error("the collateral cache cannot be read: %s", error)
            return None
        return None if row is None else Piece(name=name, data=row[0], fetched_at=row[1], good_until=row[2])

    def names(self, prefix: str = "") -> list[str]:
        """The names that begin with `prefix`, sorted."""
        bounds = {"first": prefix, "beyond": f"{prefix}\U0010ffff"}
        try:
            return [row[0] for row in self._reader.execute(_NAMES, bounds).fetchall()]
        except sqlite3.Error as error:
            _log.error("the collateral cache cannot be read: %s", error)
            return []

    def ends(self) -> list[tuple[str, int, int]]:
        """Every name with when its piece was fetched and the end of its validity (ms), without the pieces."""
        try:
            return self._reader.execute(_ENDS).fetchall()
        except sqlite3.Error as error:
            _log.error("the collateral cache cannot be read: %s", error)
            return []

    def overdue(self, now: int) -> list[str]:
        """The names of pieces that are valid at `now`, and of whose time four fifths are over."""
        try:
            return [row[0] for row in self._reader.execute(_OVERDUE, {"now": now}).fetchall()]
        except sqlite3.Error as error:
            _log.error("the collateral cache cannot be read: %s", error)
            return []

    def put(self, pieces: Sequence[Piece]) -> None:
        """Keeps each in place of an older one of its name, and drops what no name stands for any more."""

        def change(writer: sqlite3.Connection) -> None:
            _ADD_BLOBS.run(writer, [(p.digest, p.data) for p in pieces])
            _PUT_ITEMS.run(writer, [(p.name, p.digest, p.fetched_at, p.good_until) for p in pieces])
            writer.execute(_PRUNE)

        self._change(change)

    def uses(self) -> dict[str, int]:
        """When each piece was last used (ms), as far as that was noted. Blocks, and is waited for by `close`: a
        connection that is closed under a thread which reads takes the process with it."""
        with self._lock:
            try:
                return dict(self._writer.execute(_USES).fetchall())
            except sqlite3.Error as error:
                _log.error("the collateral cache cannot be read: %s", error)
                return {}

    def note(self, uses: Mapping[str, int]) -> None:
        """Notes when pieces were used. Blocks."""
        self._change(lambda writer: _NOTE.run(writer, list(uses.items())))

    def drop(self, names: Sequence[str]) -> None:
        """Drops pieces that nothing uses. Blocks."""

        def change(writer: sqlite3.Connection) -> None:
            for name in names:
                writer.execute(_DROP, {"name": name})
                writer.execute(_FORGET, {"name": name})
            writer.execute(_PRUNE)

        self._change(change)

    def _change(self, change: Callable[[sqlite3.Connection], object]) -> None:
        with self._lock:
            try:
                self._writer.execute("BEGIN IMMEDIATE")
                change(self._writer)
                self._writer.execute("COMMIT")
            except sqlite3.Error as error:
                _log.error("collateral could not be kept: %s", error)
                with contextlib.suppress(sqlite3.Error):
                    self._writer.execute("ROLLBACK")

    def close(self) -> None:
        """Closes the connections."""
        with self._lock:
            self._writer.close()
        self._reader.close()
