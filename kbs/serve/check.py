"""The self-check of a whole site: the store, and the checkpoint that was published of it. A failure freezes the log."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from attest.errors import AttestError
from attest.finding import Finding, Outcome
from attest.tlog.checkpoint import Checkpoint
from kbs.log.incident import open_published, read_published
from kbs.model.log import LogHead
from kbs.store.connect import open_reader
from kbs.store.errors import LogFrozen, StoreUnavailable, StoreUnusable
from kbs.store.freeze import Mark, Point, mark_path, read_mark, refuse_frozen, write_mark
from kbs.store.port import Clock
from kbs.store.selfcheck import FULL_BELOW, SelfCheck, check_store, log_identity

__all__ = ["SiteCheck", "check_site", "ensure_sound"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteCheck:
    """What was found. `origin` and `log_key` are empty for a store without entries; `published` is as it lies there."""

    origin: str
    log_key: str
    published: bytes | None
    store: SelfCheck


def check_site(store: Path, log: Path, *, log_key: str | None = None, full_below: int = FULL_BELOW) -> SiteCheck:
    """Checks the store at `store` against what was published in `log`.

    `log_key` is the key that the broker signs with; where it is not at hand, the genesis entry's is believed. Raises
    StoreUnusable, and StoreUnavailable if the database or the checkpoint cannot be read.
    """
    connection = open_reader(store)
    try:
        origin, key = log_identity(connection) or ("", "")
        raw = read_published(log)  # before the store's moment: a store that grows meanwhile is ahead of it
        checkpoint, more = _open(raw, origin, key)
        if log_key is not None:
            more.append(_finding("LOG_KEY", "genesis.log_key", log_key, key))
        connection.execute("BEGIN")
        found = check_store(connection, origin=origin or None, published=checkpoint, full_below=full_below)
    except (sqlite3.Error, OSError) as error:
        raise StoreUnavailable(f"the log cannot be checked: {error}") from error
    finally:
        connection.close()
    whole = SelfCheck(findings=(*found.findings, *more), head=found.head)
    return SiteCheck(origin=origin, log_key=key, published=raw, store=whole)


def ensure_sound(store: Path, log: Path, clock: Clock, **how: str | int) -> LogHead:
    """The head, if the log is not frozen and every check passes. Raises LogFrozen, and leaves the mark.

    A start that names another deployment than the store's is that start's mistake and freezes nothing: StoreUnusable.
    """
    refuse_frozen(store)
    site = check_site(store, log, **how)  # type: ignore[arg-type]  # passed through
    wanted = str(how.get("log_key") or "").partition("+")[0]
    if wanted and site.origin and wanted != site.origin:
        raise StoreUnusable(f"{store} holds the log {site.origin}; this start is for {wanted}. Nothing was changed")
    found = site.store
    if not found.passed or found.head is None:
        freeze(store, found, clock)
        refuse_frozen(store)
        raise LogFrozen(found.sentence(), found.head)  # the mark is gone again already: somebody resolves just now
    return found.head


def freeze(store: Path, found: SelfCheck, clock: Clock) -> None:
    """Leaves the mark for a check that failed. Raises LogFrozen itself if that cannot be written."""
    reason = f"the self-check found that {found.sentence()}"
    try:
        write_mark(store, Mark(at=clock(), reason=reason, stored=Point.of(found.head), findings=found.failed()))
    except OSError as error:
        raise LogFrozen(f"{reason}; and {mark_path(store)} cannot be written: {error.strerror}", found.head) from error


def seen_is_stored(store: Path) -> Finding | None:
    """Whether the head that the mark says was seen last is part of the store; None if the mark tells of none."""
    mark = read_mark(store)
    if mark is None or mark.seen is None:
        return None
    connection = open_reader(store)
    try:
        row = connection.execute("SELECT root FROM log_root WHERE size = ?", (mark.seen.size,)).fetchone()
    except sqlite3.Error as error:
        raise StoreUnavailable(f"the log cannot be checked: {error}") from error
    finally:
        connection.close()
    return _finding("SEEN", f"log_root[{mark.seen.size}]", mark.seen.root.hex(), row[0].hex() if row else "none")


def _open(raw: bytes | None, origin: str, key: str) -> tuple[Checkpoint | None, list[Finding]]:
    if raw is None:
        return None, []
    if not key:
        return None, [_finding("CHECKPOINT", "checkpoint", "of the log in the store", "the store has no log")]
    try:
        return open_published(raw, origin, key), []
    except AttestError as error:
        failed = Outcome.FAILED
        return None, [
            Finding(check=error.check, path="checkpoint", outcome=failed, expected=error.expected, got=error.got)
        ]


def _finding(check: str, path: str, expected: str, got: str) -> Finding:
    outcome = Outcome.PASSED if expected == got else Outcome.FAILED
    return Finding(check=check, path=path, outcome=outcome, expected=expected, got=got)
