"""Rows by the handful: every number of them is written and found, in few statements, by the index."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest

from kbs.store import statements as sql
from kbs.store.many import Find
from kbs.store.schema import ddl


class Counting(sqlite3.Connection):
    statements = 0

    def execute(self, *arguments: object) -> sqlite3.Cursor:
        self.statements += 1
        return super().execute(*arguments)  # type: ignore[arg-type]


@pytest.fixture
def connection() -> Iterator[Counting]:
    made = sqlite3.connect(":memory:", factory=Counting, isolation_level=None)
    for statement in ddl():
        made.execute(statement)
    yield made
    made.close()


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 15, 16, 17, 63, 64, 65, 255, 256, 257, 512])
def test_every_number_of_rows_is_written_and_found(connection: Counting, count: int) -> None:
    rows = [(f"m{n}", n % 3, f"who {n}") for n in range(count)]
    connection.statements = 0
    sql.ADD_MEMBER.run(connection, rows)
    assert connection.statements <= 12
    members = [(meter, member, window) for meter, window, member in rows]
    strangers = [("m0", "who 0", 1), ("m1", "who 0", 0), ("", "", 0)]
    connection.statements = 0
    found = sql.FIND_MEMBERS.run(connection, [*members, *strangers])
    assert connection.statements <= 3
    assert sorted(found) == sorted(members)


def test_rows_are_written_in_order(connection: Counting) -> None:
    """Of two that replace each other the later stays."""
    sql.PUT_CHAIN.run(connection, [("a", n, n + 1) for n in range(100)])
    assert connection.execute("SELECT * FROM chain_head").fetchall() == [("a", 99, 100)]


@pytest.mark.parametrize("name", [name for name in vars(sql) if name.startswith("FIND_")])
def test_no_lookup_reads_a_whole_table(connection: Counting, name: str) -> None:
    find: Find = getattr(sql, name)
    for size, text in find.texts.items():
        plan = connection.execute(f"EXPLAIN QUERY PLAN {text}", [None] * (size * find.width)).fetchall()
        steps = [step for *_, step in plan]
        assert any(step.startswith("SEARCH t USING") for step in steps), steps
        assert not any(step.startswith("SCAN t") for step in steps), steps
