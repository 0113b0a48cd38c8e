"""A copy of the store while it serves, and the way back.

The copy is of one moment: SQLite's backup in a single step, under one read transaction, while the door goes on writing.
It is believed only after it was opened and checked like a store that is to be served. It does not hold the root key
without which nothing in it can be opened, nor the published log.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from kbs.model.log import LogHead
from kbs.store.connect import open_any, open_reader
from kbs.store.errors import StoreUnavailable, StoreUnusable
from kbs.store.freeze import refuse_frozen, sync_directory
from kbs.store.schema import SCHEMA_VERSION
from kbs.store.selfcheck import SelfCheck, check_store, log_identity

__all__ = ["Exists", "Kept", "backup", "look", "restore"]


class Exists(StoreUnusable):
    """Something is there already, and is not written over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What was copied: which log, up to which head, in how many bytes."""

    origin: str
    head: LogHead
    schema: int
    bytes: int


def backup(store: Path, out: Path) -> Kept:
    """Copies the store to the new file `out`, mode 0600, and checks the copy.

    Raises Exists, LogFrozen, StoreUnusable, and StoreUnavailable if it cannot be written or the copy is not sound.
    """
    refuse_frozen(store)
    with closing(open_reader(store)) as source:
        return _copy(source, out)


def restore(kept: Path, store: Path) -> Kept:
    """Makes the store at `store`, where none is, from a backup of this schema or an older one.

    Only the copy itself is checked here; the caller compares it with what was published. Raises as `backup` does.
    """
    for leftover in (store, *(store.with_name(f"{store.name}{end}") for end in ("-wal", "-shm", "-journal"))):
        if os.path.lexists(leftover):
            raise Exists(f"{leftover} exists; a backup is only restored where no store is")
    source, version = open_any(kept, "ro")
    with closing(source):
        if not 0 < version <= SCHEMA_VERSION:
            raise StoreUnusable(f"{kept} has schema {version}; this version of Sealgate reads 1 to {SCHEMA_VERSION}")
        return _copy(source, store)


def _copy(source: sqlite3.Connection, out: Path) -> Kept:
    if os.path.lexists(out):
        raise Exists(f"{out} exists and is not written over")
    partial = out.with_name(f".{out.name}.{os.urandom(4).hex()}.partial")
    try:
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        with closing(sqlite3.connect(partial, isolation_level=None)) as target:
            source.backup(target)
            target.execute("PRAGMA journal_mode = DELETE")  # one file, whole without a -wal beside it
        kept = _believe(partial, out)
        _sync(partial)
        os.link(partial, out)
        sync_directory(out.parent)
    except FileExistsError:
        raise Exists(f"{out} exists and is not written over") from None
    except (sqlite3.Error, OSError) as error:
        raise StoreUnavailable(f"the copy {out} could not be made: {error}") from error
    finally:
        for end in ("", "-wal", "-shm", "-journal"):
            partial.with_name(f"{partial.name}{end}").unlink(missing_ok=True)
    return kept


def look(path: Path) -> Kept:
    """What a copy holds, opened and checked like a store that is to be served; raises StoreUnusable if it is not sound.

    Of whatever schema: what an older version of Sealgate copied can be restored and then migrated.
    """
    connection, version = open_any(path, "ro")
    with closing(connection):
        try:
            connection.execute("BEGIN")
            damage = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            identity = log_identity(connection)
            found: SelfCheck = check_store(connection, origin=identity[0] if identity else None)
        except sqlite3.Error as error:
            raise StoreUnusable(f"{path} is not sound: {error}") from error
    if damage != "ok" or not found.passed or found.head is None:
        raise StoreUnusable(f"{path} is not sound: {damage if damage != 'ok' else found.sentence()}")
    size = path.stat().st_size
    return Kept(origin=identity[0] if identity else "", head=found.head, schema=version, bytes=size)


def _believe(copy: Path, out: Path) -> Kept:
    """What the copy holds; raises StoreUnavailable if it is not sound."""
    try:
        return look(copy)
    except StoreUnusable as error:
        said = str(error).removeprefix(f"{copy} is not sound: ")
        raise StoreUnavailable(f"the copy {out} is not sound and was removed: {said}") from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
