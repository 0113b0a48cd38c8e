"""Migrations, the real ones and a pretend pair after them: forward, whole or not at all, the log untouched."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from kbs.log.sequence import LogSequencer
from kbs.model.unit import Unit, Verdict
from kbs.store.backup import restore
from kbs.store.connect import open_any, open_reader, open_writer
from kbs.store.door import WriteDoor
from kbs.store.errors import LogFrozen, StoreUnavailable, StoreUnusable
from kbs.store.freeze import Mark, write_mark
from kbs.store.migrate import Migration, MigrationInvalid, Phase, migrate, pending, version_of
from kbs.store.migrations import MIGRATIONS
from kbs.store.read import Reader
from kbs.store.schema import SCHEMA_VERSION
from kbs.store.selfcheck import check_store
from tests.kbs_ops.hands import NOW, Clock, command, rows
from tests.kbs_ops.test_selfcheck import ORIGIN, _draft, fill

BASE = SCHEMA_VERSION
EXPAND = Migration(
    version=BASE + 1,
    what="leases say when they were renewed",
    phase=Phase.EXPAND,
    statements=(
        "ALTER TABLE lease ADD COLUMN renewed INTEGER",
        "CREATE TABLE note (idx INTEGER PRIMARY KEY NOT NULL, text TEXT NOT NULL) STRICT",
        "INSERT INTO note SELECT idx, 'entry' FROM log_entry",
    ),
)
CONTRACT = Migration(
    version=BASE + 2, what="notes go again", phase=Phase.CONTRACT, after=BASE + 1, statements=("DROP TABLE note",)
)
STEPS = (EXPAND, CONTRACT)
SIZE = 25


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "store.db"
    fill(path, SIZE)
    return path


def _log(path: Path) -> list[Any]:
    tables = ("log_head", "log_entry", "log_root", "chain_head", "state")
    return [rows(path, f"SELECT * FROM {table} ORDER BY 1") for table in tables]


def _sound(path: Path) -> bool:
    connection, _ = open_any(path, "ro")
    with closing(connection):
        return check_store(connection, origin=ORIGIN).passed


def test_the_release_has_the_migrations_that_its_schema_needs() -> None:
    assert [each.version for each in pending(1, MIGRATIONS)] == list(range(2, SCHEMA_VERSION + 1))


def _columns(path: Path) -> dict[str, Any]:
    """What a schema is, apart from how its statements are spelled: a column that was added stands elsewhere in them."""
    shape: dict[str, Any] = {}
    for name, kind, _, strict, without_rowid in rows(
        path, "SELECT name, type, ncol, strict, wr FROM pragma_table_list WHERE schema = 'main' ORDER BY name"
    ):
        columns = {c[1]: c[2:] for c in rows(path, f"PRAGMA table_info({name})")}
        keys = [key[2:] for key in rows(path, f"PRAGMA foreign_key_list({name})")]
        shape[name] = (kind, strict, without_rowid, columns, keys)
    indexes = "SELECT name, tbl_name FROM sqlite_schema WHERE type = 'index' ORDER BY name"
    shape["indexes"] = [(*index, rows(path, f"PRAGMA index_info({index[0]})")) for index in rows(path, indexes)]
    shape["triggers"] = rows(path, "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' ORDER BY name")
    return shape


def first_schema(path: Path, log_of: Path) -> Path:
    """A store as the first version made it, with the log of `log_of` in it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript((Path(__file__).parent / "schema_1.sql").read_text("utf-8"))
        connection.execute("ATTACH ? AS source", (str(log_of),))
        for table in ("log_head", "log_entry", "log_root", "chain_head", "state"):
            connection.execute(f"INSERT INTO main.{table} SELECT * FROM source.{table}")  # names of ours
        connection.execute("PRAGMA journal_mode = WAL")
    return path


def test_the_migrations_of_this_release_lead_to_its_schema(store: Path) -> None:
    """From the first schema, with a log in it: the tables, indexes and triggers of a store that is made anew."""
    old = first_schema(store.with_name("old.db"), store)
    assert (version_of(old), _sound(old)) == (1, True)
    before = _log(old)
    assert migrate(old, MIGRATIONS) == 1
    assert version_of(old) == SCHEMA_VERSION
    assert _columns(old) == _columns(store)
    assert _log(old) == before
    assert _sound(old)


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION))
def test_a_backup_of_each_older_schema_is_restored_and_goes_on(store: Path, version: int) -> None:
    old = first_schema(store.with_name("old.db"), store)
    migrate(old, MIGRATIONS, target=version)
    restored = store.with_name("restored.db")
    assert restore(old, restored).schema == version
    migrate(restored, MIGRATIONS)
    fill(restored, SIZE + 3)
    assert _sound(restored)


def test_a_filled_store_goes_forward_and_keeps_its_log(store: Path) -> None:
    before = _log(store)
    assert migrate(store, STEPS[:1], target=BASE + 1) == BASE
    assert (version_of(store), rows(store, "SELECT count(*) FROM note")) == (BASE + 1, [(SIZE,)])
    assert migrate(store, STEPS, target=BASE + 2) == BASE + 1
    assert version_of(store) == BASE + 2
    assert migrate(store, STEPS, target=BASE + 2) == BASE + 2
    assert _log(store) == before
    assert _sound(store)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        rows(store, "DELETE FROM log_entry")
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        rows(store, "SELECT * FROM note")


def test_both_steps_at_once(store: Path) -> None:
    assert migrate(store, STEPS, target=BASE + 2) == BASE
    assert version_of(store) == BASE + 2


@pytest.mark.parametrize(
    ("point", "left"),
    [(f"{point}-{BASE + step}", BASE + step - 1) for step in (1, 2) for point in ("migrating", "migrated")],
)
def test_a_crash_in_the_middle_leaves_the_version_before(store: Path, point: str, left: int) -> None:
    before = _log(store)
    program = (
        "import os, signal, sys; from pathlib import Path; from kbs.store.migrate import migrate\n"
        "from tests.kbs_ops.test_migrate import BASE, STEPS\n"
        "def die(point):\n    if point == sys.argv[2]: os.kill(os.getpid(), signal.SIGKILL)\n"
        "migrate(Path(sys.argv[1]), STEPS, target=BASE + 2, faults=die)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(store), point], check=False, cwd=os.getcwd())
    assert done.returncode == -signal.SIGKILL
    assert version_of(store) == left
    assert _log(store) == before
    assert _sound(store)
    assert migrate(store, STEPS, target=BASE + 2) == left
    assert version_of(store) == BASE + 2


# name: (a step that must not be taken, what is said of it)
HARMFUL = {
    "fails halfway": (("CREATE TABLE a (x)", "CREATE TABLE a (x)"), StoreUnavailable),
    "edits the log": (("UPDATE log_entry SET leaf = x'00'",), StoreUnavailable),
    "edits the head": (("UPDATE log_head SET root = zeroblob(32)",), StoreUnusable),
    "moves the log's time": (("UPDATE log_head SET last_time = last_time + 1",), StoreUnusable),
    "adds a root": (("INSERT INTO log_root VALUES (3, zeroblob(32), 0)",), StoreUnusable),
    "dangles": (("INSERT INTO object VALUES ('n', 'k', zeroblob(32), 0)",), StoreUnusable),
    "loses a trigger": (("DROP TRIGGER log_entry_no_delete",), StoreUnusable),
    "loses the log": (("DROP TABLE log_entry",), StoreUnavailable),
}


@pytest.mark.parametrize("name", HARMFUL)
def test_a_step_that_harms_is_rolled_back(store: Path, name: str) -> None:
    statements, error = HARMFUL[name]
    contract = any(s.startswith("DROP") for s in statements)
    phase, after = (Phase.CONTRACT, BASE) if contract else (Phase.EXPAND, None)
    step = Migration(version=BASE + 1, what=name, phase=phase, statements=statements, after=after)
    before = _log(store)
    with pytest.raises(error, match="rolled back"):
        migrate(store, [step], target=BASE + 1)
    assert version_of(store) == BASE
    assert _log(store) == before
    assert _sound(store)


# name: what a migration says of itself that cannot be
INVALID: dict[str, dict[str, Any]] = {
    "nothing to do": {"statements": ()},
    "an expansion that drops": {"statements": ("DROP TABLE note",)},
    "an expansion that replaces rows": {"statements": ("INSERT OR REPLACE INTO note VALUES (1, '')",)},
    "an expansion that renames": {"statements": ("ALTER TABLE lease RENAME TO l",)},
    "its own commit": {"statements": ("COMMIT",)},
    "its own version": {"statements": ("PRAGMA user_version = 9",)},
    "a contraction of nothing": {"phase": Phase.CONTRACT},
    "a contraction of itself": {"phase": Phase.CONTRACT, "after": 2},
    "an expansion that completes": {"after": 1},
}


@pytest.mark.parametrize("name", INVALID)
def test_what_a_migration_cannot_be(name: str) -> None:
    given = {"version": 2, "what": "x", "phase": Phase.EXPAND, "statements": ("CREATE TABLE a (x)",), **INVALID[name]}
    with pytest.raises(MigrationInvalid):
        Migration(**given)


def test_gaps_and_doubles_are_refused() -> None:
    with pytest.raises(MigrationInvalid):
        pending(BASE, [CONTRACT], BASE + 2)
    with pytest.raises(MigrationInvalid):
        pending(BASE, [EXPAND, EXPAND], BASE + 1)


def test_never_back(store: Path) -> None:
    migrate(store, STEPS, target=BASE + 2)
    with pytest.raises(StoreUnusable, match="never migrated back"):
        migrate(store, STEPS, target=BASE + 1)
    for connect in (open_writer, open_reader, Reader):
        with pytest.raises(StoreUnusable, match=r"sealgate-broker restore --backup FILE --directory"):
            connect(store)


def test_an_older_store_names_the_command(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kbs.store.connect.SCHEMA_VERSION", BASE + 1)
    with pytest.raises(StoreUnusable, match=f"sealgate-broker migrate --directory {store.parent} --dry-run"):
        open_writer(store)


def test_what_is_no_store_is_not_migrated(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with pytest.raises(StoreUnusable):
        migrate(path, STEPS, target=BASE + 2)
    rows(path, "CREATE TABLE t (x)")
    with pytest.raises(StoreUnusable, match="not a store"):
        migrate(path, STEPS, target=BASE + 2)


def test_a_frozen_store_is_evidence_and_not_migrated(store: Path) -> None:
    write_mark(store, Mark(at=NOW, reason="test"))
    with pytest.raises(LogFrozen):
        migrate(store, STEPS, target=BASE + 2)
    assert version_of(store) == BASE


async def test_a_broker_of_the_old_schema_writes_no_more(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    make = Unit(verdict=Verdict(draft=_draft(0)))
    from kbs.store.connect import create  # noqa: PLC0415

    create(path, LogSequencer(ORIGIN).empty())
    door = WriteDoor(path, LogSequencer(ORIGIN), Clock(NOW))
    await door.commit([make])
    migrate(path, STEPS[:1], target=BASE + 1)
    with pytest.raises(StoreUnavailable, match=f"schema {BASE + 1} meanwhile; restart"):
        await door.commit([make])
    door.close()
    assert rows(path, "SELECT count(*) FROM log_entry") == [(1,)]


def test_the_command(store: Path) -> None:
    site = store.parent
    nothing = command("migrate", "--directory", site)
    assert (nothing.code, "Nothing to do" in nothing.out) == (0, True)
    dry = command("migrate", "--directory", site, "--dry-run", migrations=STEPS, schema=BASE + 2)
    assert dry.code == 0
    for statement in (*EXPAND.statements, *CONTRACT.statements, f"PRAGMA user_version = {BASE + 2}"):
        assert statement in dry.out
    assert version_of(store) == BASE
    done = command("migrate", "--directory", site, "--json", migrations=STEPS, schema=BASE + 2)
    document = json.loads(done.out)
    assert (document["from"], document["to"], [s["phase"] for s in document["steps"]]) == (
        BASE,
        BASE + 2,
        ["expand", "contract"],
    )
    assert version_of(store) == BASE + 2
    assert command("migrate", "--directory", site).code == 5
    assert command("migrate", "--directory", site / "none").code == 2
