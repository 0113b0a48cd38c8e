"""Statements for many rows at once.

Each statement that SQLite runs gives Python's lock away, and the thread then waits until the event loop, which is busy
under load, hands it back: up to 5 ms, each time. A batch that asked and wrote row by row would wait hundreds of times
while it holds the log's head; with these it waits some twenty times, however many units are in it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Table, bindparam, delete, insert, update
from sqlalchemy.dialects import sqlite

__all__ = ["Delete", "Find", "Insert", "Update"]

Row = tuple[object, ...]
_SIZES = (256, 64, 16, 4, 1)


class Insert:
    """Rows of one table. `columns` are the table's, in order; `prefix` as SQLite has it, `OR IGNORE` say."""

    def __init__(self, table: Table, prefix: str = "") -> None:
        self.columns = tuple(column.name for column in table.columns)
        statement = insert(table).prefix_with(prefix) if prefix else insert(table)
        one = str(statement.compile(dialect=sqlite.dialect(paramstyle="qmark")))
        more = f", ({', '.join('?' * len(self.columns))})"
        self._texts = {size: one + more * (size - 1) for size in _SIZES if size * len(self.columns) <= 1_024}

    def run(self, connection: sqlite3.Connection, rows: Sequence[Row]) -> None:
        """Writes them in order, in as few statements as the sizes allow."""
        done = 0
        for size, text in self._texts.items():
            while len(rows) - done >= size:
                connection.execute(text, [value for row in rows[done : done + size] for value in row])
                done += size


class Update:
    """Changes the given columns of the row whose `key` is the last value; for what is rare enough to go row by row."""

    def __init__(self, table: Table, *columns: str, key: str) -> None:
        self.columns = (*columns, key)
        changed: list[tuple[Any, Any]] = [(table.c[name], bindparam(name)) for name in columns]
        statement = update(table).where(table.c[key] == bindparam(key)).ordered_values(*changed)
        self._text = str(statement.compile(dialect=sqlite.dialect(paramstyle="qmark")))

    def run(self, connection: sqlite3.Connection, rows: Sequence[Row]) -> None:
        """Changes them in order."""
        connection.executemany(self._text, rows)


class Delete:
    """Takes away the rows with these keys; for what is rare enough to go row by row."""

    def __init__(self, table: Table, *keys: str) -> None:
        self.columns = keys
        statement = delete(table).where(*(table.c[key] == bindparam(key) for key in keys))
        self._text = str(statement.compile(dialect=sqlite.dialect(paramstyle="qmark")))

    def run(self, connection: sqlite3.Connection, rows: Sequence[Row]) -> None:
        """Takes them away in order."""
        connection.executemany(self._text, rows)


class Find:
    """Columns of the rows with given keys, each looked up by the index that `keys` are the start of.

    With `since` a key has one member more, and the rows are those in which that column is no less; with `distinct`
    equal rows are one.
    """

    def __init__(
        self, table: Table, *columns: str, keys: tuple[str, ...], since: str = "", distinct: bool = False
    ) -> None:
        quote = sqlite.dialect().identifier_preparer.quote
        columns_asked = (*keys, since) if since else keys
        names = [f"w{n}" for n in range(len(columns_asked))]
        wanted = ", ".join(f"t.{quote(name)}" for name in columns)
        match = " AND ".join(
            f"t.{quote(key)} {'>=' if key == since else '='} w.{name}"
            for key, name in zip(columns_asked, names, strict=True)
        )
        marks = f"({', '.join('?' * len(names))})"
        self.width = len(names)
        self.texts = {
            size: f"WITH w({', '.join(names)}) AS (VALUES {', '.join([marks] * size)}) "  # noqa: S608  # names of ours
            f"SELECT {'DISTINCT ' if distinct else ''}{wanted} FROM w CROSS JOIN {quote(table.name)} AS t ON {match}"
            for size in _SIZES
        }

    def run(self, connection: sqlite3.Connection, keys: Iterable[Row]) -> list[Row]:
        """The rows that are there, for at most 256 keys a statement; what is left of one is NULL, which nothing is."""
        asked, found = list(keys), list[Row]()
        for first in range(0, len(asked), _SIZES[0]):
            part = asked[first : first + _SIZES[0]]
            size = min(size for size in _SIZES if size >= len(part))
            values = [value for key in part for value in key]
            values += [None] * (size * self.width - len(values))
            found += connection.execute(self.texts[size], values).fetchall()
        return found
