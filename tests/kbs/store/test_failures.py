"""When the database cannot be written, or is not what it was: an answer for everyone, and nothing behind it."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from kbs.log.sequence import LogSequencer
from kbs.store.connect import create, open_reader, open_writer
from kbs.store.door import WriteDoor
from kbs.store.errors import LogFrozen, StoreUnavailable, StoreUnusable
from kbs.store.read import Reader
from kbs.store.schema import SCHEMA_VERSION
from tests.kbs.store.opened import ORIGIN, Connecting, challenge, check_log, committed, make_store, opened, rows, unit


def _copy(source: Path, target: Path) -> None:
    """Page by page, through SQLite, also over a store that is open."""
    with closing(sqlite3.connect(source)) as a, closing(sqlite3.connect(target)) as b:
        a.backup(b)


async def _grow(door: WriteDoor, size: int, name: str = "x") -> None:
    await door.commit([unit(f"{name}-{n}", "a") for n in range(size)])


# name: how many entries the other copy has more than the backup when it is put back
PUT_BACK = {"as it was": 0, "grown, and shorter": 2, "grown to the same size": 5, "grown beyond": 9}


@pytest.mark.parametrize("name", PUT_BACK)
async def test_an_old_copy_put_back_freezes_the_log(tmp_path: Path, name: str) -> None:
    path, copy = tmp_path / "s", tmp_path / "copy"
    with opened(path) as door:
        await _grow(door, 10)
        _copy(path, copy)
        await _grow(door, 5)
        if PUT_BACK[name]:
            with opened(copy) as other:
                await _grow(other, PUT_BACK[name], "other")
        _copy(copy, path)
        size = check_log(path)
        for _ in range(3):
            with pytest.raises(LogFrozen):
                await door.commit([unit("after", challenge=challenge("c"))])
    assert check_log(path) == size == 10 + PUT_BACK[name]


async def test_a_log_of_another_store_is_not_continued(tmp_path: Path) -> None:
    path, other = tmp_path / "s", tmp_path / "other"
    with opened(path) as door, opened(other) as other_door:
        await _grow(door, 3)
        await _grow(other_door, 9, "other")
        _copy(other, path)
        with pytest.raises(LogFrozen):
            await _grow(door, 1)


async def test_an_unharmed_copy_under_a_new_door(tmp_path: Path) -> None:
    """What this process has not seen it cannot miss: that is what published checkpoints are for."""
    path, copy = tmp_path / "s", tmp_path / "copy"
    with opened(path) as door:
        await _grow(door, 3)
    _copy(path, copy)
    with opened(copy) as door:
        assert committed((await door.commit([unit("more")]))[0]).index == 3
    check_log(copy)


# name: what is done to log_head
DAMAGED = {
    "frontier cut": "UPDATE log_head SET frontier = substr(frontier, 1, 31)",
    "frontier of another size": "UPDATE log_head SET size = 4",
    "size that is none": "UPDATE log_head SET size = -1",
}


@pytest.mark.parametrize("seen", [True, False], ids=["seen before", "not seen"])
@pytest.mark.parametrize("name", DAMAGED)
async def test_a_damaged_head_freezes_the_log(tmp_path: Path, name: str, seen: bool) -> None:
    path = tmp_path / "s"
    with opened(path) as door:
        await _grow(door, 3)
    with opened(path) as door:
        if seen:
            await _grow(door, 1)
        _write(path, DAMAGED[name].replace("= 4", "= 7"))
        with pytest.raises(LogFrozen):
            await asyncio.wait_for(door.commit([unit("x"), unit("y")]), 10)
    assert rows(path, "SELECT COUNT(*) FROM log_entry") == [(3 + seen,)]


@pytest.mark.parametrize("table", ["log_head", "state"])
async def test_a_row_that_is_gone(tmp_path: Path, table: str) -> None:
    path = tmp_path / "s"
    with opened(path) as door:
        _write(path, f"DELETE FROM {table}")  # a name of ours
        with pytest.raises(StoreUnavailable):
            await asyncio.wait_for(door.commit([unit("x", governance=True)]), 10)
    assert rows(path, "SELECT COUNT(*) FROM log_entry") == [(0,)]


async def test_a_locked_database_is_unavailable_for_all_at_once(tmp_path: Path) -> None:
    """Who waits behind a lock is told after one wait, not each after a wait of its own."""
    path = tmp_path / "s"
    connecting = Connecting()
    with opened(path, connect=connecting) as door, closing(sqlite3.connect(path, isolation_level=None)) as other:
        connecting.set("PRAGMA busy_timeout = 300")
        other.execute("BEGIN IMMEDIATE")
        loop = asyncio.get_running_loop()
        began = loop.time()
        results = await asyncio.gather(*(door.commit([unit(n)]) for n in range(40)), return_exceptions=True)
        took = loop.time() - began
        assert {type(r) for r in results} == {StoreUnavailable}
        assert took < 6  # 12 s if each had a wait of its own
        other.execute("ROLLBACK")
        committed((await door.commit([unit("after")]))[0])
    assert check_log(path) == 1


# name: what makes the database refuse, and what ends it
REFUSING = {
    "read-only": ("PRAGMA query_only = ON", "PRAGMA query_only = OFF"),
    "full": ("PRAGMA max_page_count = 1", "PRAGMA max_page_count = 1073741823"),
}


@pytest.mark.parametrize("name", REFUSING)
async def test_a_database_that_refuses(tmp_path: Path, name: str) -> None:
    begin, end = REFUSING[name]
    path, connecting = tmp_path / "s", Connecting()
    with opened(path, connect=connecting) as door:
        connecting.set(begin)
        large = [_with_blob(unit(n, "a"), bytes([n]) * 200_000) for n in range(3)]
        for each in large:
            with pytest.raises(StoreUnavailable):
                await asyncio.wait_for(door.commit([each]), 10)
        assert check_log(path) == 0
        connecting.set(end)
        assert len(await door.commit(large)) == 3
    assert check_log(path) == 3


def _with_blob(made: Any, blob: bytes) -> Any:
    import dataclasses  # noqa: PLC0415

    return dataclasses.replace(made, verdict=dataclasses.replace(made.verdict, blobs=(blob,)))


def _write(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


async def test_the_log_is_append_only(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with opened(path) as door:
        await door.commit([_with_blob(unit("x"), b"blob")])
    for table in ("log_entry", "log_root", "blob"):
        column = {"log_entry": "leaf", "log_root": "root", "blob": "data"}[table]
        for statement in (f"DELETE FROM {table}", f"UPDATE {table} SET {column} = x'00'"):  # ours
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                _write(path, statement)
    assert check_log(path) == 1


def test_a_store_is_made_once_and_for_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "s"
    create(path, LogSequencer(ORIGIN).empty())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_bytes()
    with pytest.raises(StoreUnusable):
        create(path, LogSequencer(ORIGIN).empty())
    assert path.read_bytes() == before
    other = tmp_path / "other"
    other.write_bytes(b"")
    with pytest.raises(StoreUnusable):
        create(other, LogSequencer(ORIGIN).empty())
    dangling = tmp_path / "link"
    dangling.symlink_to(tmp_path / "nowhere")
    with pytest.raises(StoreUnusable):
        create(dangling, LogSequencer(ORIGIN).empty())
    assert not (tmp_path / "nowhere").exists()


def _older(path: Path) -> None:
    _write(make_store(path), "PRAGMA user_version = 0")


def _newer(path: Path) -> None:
    _write(make_store(path), f"PRAGMA user_version = {SCHEMA_VERSION + 1}")


# name: what lies at the path
NO_STORE: dict[str, Callable[[Path], object]] = {
    "nothing": lambda path: None,
    "an older schema": _older,
    "a newer schema": _newer,
    "another database": lambda path: _write(path, "CREATE TABLE t (x)"),
    "an empty file": lambda path: path.write_bytes(b""),
    "no database": lambda path: path.write_bytes(b"not a database, and long enough to be one" * 100),
    "a directory": lambda path: path.mkdir(),
}


@pytest.mark.parametrize("name", NO_STORE)
def test_what_is_no_store_of_ours_is_not_opened(tmp_path: Path, name: str) -> None:
    path = tmp_path / "s"
    NO_STORE[name](path)
    for connect in (open_writer, open_reader, Reader):
        with pytest.raises(StoreUnusable):
            connect(path)
    assert name != "nothing" or not path.exists()


async def test_settings_are_those_that_survive_a_power_failure(tmp_path: Path) -> None:
    path = make_store(tmp_path / "s")
    with closing(open_writer(path)) as writer, closing(open_reader(path)) as reader:
        read = {name: writer.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")}
        assert read == {"journal_mode": "wal", "synchronous": 2}
        assert writer.execute("PRAGMA foreign_keys").fetchone() == (1,)
        assert writer.execute("PRAGMA busy_timeout").fetchone()[0] > 0
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader.execute("DELETE FROM ticket")
        strict = reader.execute("SELECT name, strict FROM pragma_table_list WHERE schema = 'main' AND type = 'table'")
        assert {name for name, on in strict if not on} == {"sqlite_schema"}


def test_a_store_whose_journal_is_no_wal_is_made_one(tmp_path: Path) -> None:
    path = make_store(tmp_path / "s")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    with closing(open_writer(path)) as writer:
        assert writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)


async def test_reads_fail_as_unavailable_and_recover(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with opened(path) as door:
        await door.commit([unit("x", governance=True)])
    reader = Reader(path)
    reads: list[Callable[[], object]] = [
        reader.head,
        reader.revision,
        reader.objects,
        lambda: reader.entries(0, 1),
        lambda: reader.root_at(1),
        lambda: reader.used_challenge(bytes(32)),
        lambda: reader.blob(bytes(32)),
        lambda: reader.key_material("x"),
        lambda: reader.broker_keys("log"),
        lambda: reader.ticket("x"),
        lambda: list(reader.leaves(0, 1)),
    ]
    good = [read() for read in reads]
    for read, answer in zip(reads, good, strict=True):
        reader._connection.set_progress_handler(lambda: 1, 1)
        with pytest.raises(StoreUnavailable):
            read()
        reader._connection.set_progress_handler(None, 0)
        assert read() == answer
    reader.close()
    for read in reads:
        with pytest.raises(StoreUnavailable):
            read()


async def test_a_reader_sees_what_was_committed_and_nothing_else(tmp_path: Path) -> None:
    path = make_store(tmp_path / "s")
    reader = Reader(path)
    sizes: list[int] = []
    with opened(path, faults=lambda point: sizes.append(reader.head().size)) as door:
        await door.commit([unit("x")])
    assert sizes[-2:] == [0, 1]
    assert sum(sizes) == 1
    assert list(reader.leaves(0, 1, 1)) == [leaf for _, leaf, _ in reader.entries(0, 99)]
    assert reader.root_at(1) == reader.head().root
    assert reader.root_at(2) is None
    reader.close()
