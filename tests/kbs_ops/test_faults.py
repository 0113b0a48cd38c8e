"""Disk full, locked, read-only, lost, clock an hour off: a named error, no key, nothing stored, and back by itself."""

from __future__ import annotations

import contextlib
import os
import resource
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from attest.tlog.entry import parse_leaf
from clients.auditor import report as audit
from clients.auditor.source import Directory
from clients.auditor.verify import verify
from clients.trust import read_trust
from kbs.log.clock import log_time
from kbs.log.sequence import LogSequencer
from kbs.model.unit import Unit, Verdict
from kbs.serve.clock_watch import ClockWatch
from kbs.serve.wiring import Running, wall_clock
from kbs.store.connect import create, open_any, open_writer
from kbs.store.door import WriteDoor
from kbs.store.errors import StoreUnavailable, StoreUnusable
from kbs.store.freeze import read_mark
from tests.kbs_ops.hands import GRANTED, NOW, Clock, ask, copy_into, counts, request, rows
from tests.kbs_ops.test_selfcheck import ORIGIN, _draft, look
from tests.makers.site import SimulatedSite

LOG = "LOG_UNAVAILABLE"
HOUR = 3_600_000
Fault = Callable[[SimulatedSite, Running], contextlib.AbstractContextManager[None]]


@contextlib.contextmanager
def _no_more_pages(site: SimulatedSite, running: Running) -> Iterator[None]:
    connection = running.door._writer._connection
    connection.execute("PRAGMA max_page_count = 1")
    rows(site.site.store, "PRAGMA page_count")
    yield
    connection.execute("PRAGMA max_page_count = 1073741823")


@contextlib.contextmanager
def _writes_fail(site: SimulatedSite, running: Running) -> Iterator[None]:
    """The kernel refuses to let any file of this process grow beyond what the -wal is now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    wal = Path(f"{site.site.store}-wal")
    resource.setrlimit(resource.RLIMIT_FSIZE, (wal.stat().st_size + 100, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextlib.contextmanager
def _locked(site: SimulatedSite, running: Running) -> Iterator[None]:
    running.door._writer._connection.execute("PRAGMA busy_timeout = 50")
    with closing(sqlite3.connect(site.site.store, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@contextlib.contextmanager
def _read_only(site: SimulatedSite, running: Running) -> Iterator[None]:
    connection = running.door._writer._connection
    connection.execute("PRAGMA query_only = ON")
    connect, running.door._writer._connect = running.door._writer._connect, _broken
    yield
    running.door._writer._connect = connect


def _broken(path: Path) -> sqlite3.Connection:
    raise StoreUnusable(f"{path} cannot be opened as a store: attempt to write a readonly database")


def _moved(end: str) -> Fault:
    @contextlib.contextmanager
    def fault(site: SimulatedSite, running: Running) -> Iterator[None]:
        path = site.site.store.with_name(f"store.db{end}")
        away = path.with_name("away")
        path.rename(away)
        yield
        away.rename(path)

    return fault


# name: what is wrong for a while
FAULTS: dict[str, Fault] = {
    "disk full": _no_more_pages,
    "writes fail": _writes_fail,
    "locked": _locked,
    "read-only": _read_only,
    "file gone": _moved(""),
    "write-ahead log gone": _moved("-wal"),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_no_key_while_it_lasts_and_back_by_itself(site: SimulatedSite, name: str) -> None:
    with site.open() as running:
        assert await ask(site, running) == GRANTED
        before, head = counts(site.site.store), running.reader.head()
        data = request(site, running)
        with FAULTS[name](site, running):
            for _ in range(3):
                assert await ask(site, running, data) == LOG
                assert await ask(site, running) == LOG
            assert running.reader.head() == head
        assert counts(site.site.store) == before
        assert await ask(site, running, data) == GRANTED
        assert await ask(site, running, data) == GRANTED  # the stored reply
        assert counts(site.site.store) == tuple(n + 1 for n in before)
    assert read_mark(site.site.store) is None
    with site.open():
        pass


async def test_a_file_that_is_another_is_not_written(site: SimulatedSite, tmp_path: Path) -> None:
    """A copy moved into place is another file: what would be written into the one that is gone would be nowhere."""
    store = site.site.store
    with site.open() as running:
        assert await ask(site, running) == GRANTED
        copy_into(store, tmp_path / "copy.db")
        os.replace(tmp_path / "copy.db", store)
        for _ in range(2):
            assert await ask(site, running) == LOG
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{store}-wal")
    with site.open() as running:
        assert await ask(site, running) == GRANTED


async def test_a_file_lost_between_begin_and_commit(site: SimulatedSite) -> None:
    """The commit succeeds, in a file that nobody will find; the key stays here."""
    store = site.site.store

    def lose(point: str, /) -> None:
        if point == "before-commit" and armed:
            armed.clear()
            store.rename(store.with_name("away"))

    armed: list[int] = []
    with site.open(faults=lose) as running:
        assert await ask(site, running) == GRANTED
        before = counts(store)
        data = request(site, running)
        armed.append(1)
        assert await ask(site, running, data) == LOG
        store.with_name("away").rename(store)
        assert counts(store) == tuple(n + 1 for n in before)  # logged, and not released: the safe side
        assert await ask(site, running, data) == GRANTED
        assert counts(store) == tuple(n + 1 for n in before)


async def test_a_connection_that_was_opened_read_only_is_opened_anew(tmp_path: Path) -> None:
    """SQLite opens a file that cannot be written read-only, without a word, and stays so when the cause is gone."""
    path = tmp_path / "store.db"
    create(path, LogSequencer(ORIGIN).empty())
    opened: list[str] = []

    def connect(at: Path) -> sqlite3.Connection:
        opened.append("ro" if len(opened) < 3 else "rw")
        return open_any(at, "ro")[0] if opened[-1] == "ro" else open_writer(at)

    door = WriteDoor(path, LogSequencer(ORIGIN), Clock(NOW), connect=connect)
    made = Unit(verdict=Verdict(draft=_draft(0)))
    for _ in range(3):
        with pytest.raises(StoreUnavailable, match="readonly"):
            await door.commit([made])
    await door.commit([made])
    door.close()
    assert opened == ["ro", "ro", "ro", "rw"]
    assert look(path).store.passed


async def test_the_clock_one_hour_forward(site: SimulatedSite) -> None:
    clock = Clock(wall_clock())
    with site.open(clock=clock) as running:
        data = request(site, running)
        clock.now += HOUR
        before = counts(site.site.store)
        assert await ask(site, running, data) == "CHALLENGE_EXPIRED"
        assert counts(site.site.store) == before
        assert await ask(site, running) == GRANTED


async def test_the_clock_one_hour_back(site: SimulatedSite) -> None:
    """The log's time does not go back; what was used stays used; a broker whose clock is behind says so, and no key."""
    clock = Clock(wall_clock() + 5_000)
    with site.open(clock=clock) as running:
        used = request(site, running)
        assert await ask(site, running, used) == GRANTED
        last = running.reader.head().last_time
        before = counts(site.site.store)
        clock.now -= HOUR
        for _ in range(2):
            assert await ask(site, running) == "CLOCK_BEHIND_LOG"
            assert await ask(site, running, used) == "CHALLENGE_EXPIRED"
        assert counts(site.site.store) == before
        await running.door.commit([running.joined])
        assert running.reader.head().last_time == last
        clock.now += HOUR
        assert await ask(site, running) == GRANTED
        assert await ask(site, running, used) == GRANTED  # its stored reply
        assert counts(site.site.store)[1:] == (before[1] + 1, before[2] + 1)
    times = [t for (t,) in rows(site.site.store, "SELECT committed_at FROM log_root ORDER BY size")]
    assert times == sorted(times)


# name: how the clock goes on, in ms for each release
CLOCKS = {
    "it stands still": (0, 0, 0, 0),
    "a leap second is repeated": (500, 500, -1_000, 500),
    "a minute back and on": (0, -60_000, 60_000, 0),
    "by bounds": (59_000, -30_000, 1, -1),
}


@pytest.mark.parametrize("name", CLOCKS)
async def test_the_logs_time_whatever_the_clock_does(site: SimulatedSite, name: str) -> None:
    """35: never back, keys all the time, and an auditor has nothing to say."""
    clock = Clock(wall_clock())
    with site.open(clock=clock) as running:
        for step in CLOCKS[name]:
            clock.now += step
            assert await ask(site, running) == GRANTED
        times = [parse_leaf(leaf).header.t for leaf in running.reader.leaves(0, running.reader.head().size)]
        running.publisher.publish()
    assert times == sorted(times)
    report = verify(Directory(site.site.log), read_trust(site.trust, simulated=True), first_use=True)
    assert report.verdict is audit.Verdict.OK, report.text()


# name: (the log's newest entry, the clock, ms ahead, is that beyond what clocks may differ)
AHEAD = {
    "equal": (NOW, NOW, 0, False),
    "the clock is later": (NOW, NOW + HOUR, 0, False),
    "within the tolerance": (NOW + 5_000, NOW, 5_000, False),
    "beyond it": (NOW + 5_001, NOW, 5_001, True),
    "an hour": (NOW + HOUR, NOW, HOUR, True),
    "an empty log": (0, NOW, 0, False),
}


@pytest.mark.parametrize("name", AHEAD)
def test_how_far_the_log_is_ahead(name: str) -> None:
    last, clock, ahead, told = AHEAD[name]
    found = log_time(last, clock)
    assert (found.ahead_ms, found.ahead) == (ahead, told)
    assert (f"{ahead / 1_000:.0f} s ahead of the clock" in found.sentence()) == told


async def test_a_log_that_is_ahead_is_said_once_each_time(site: SimulatedSite) -> None:
    """In the error log's words, as an entry, and as a value for health; again only after it was well in between."""
    clock = Clock(wall_clock())
    with site.open(clock=clock) as running:
        watch = ClockWatch(running)
        await running.door.commit([running.joined])
        for _ in range(2):
            clock.now -= HOUR
            for _ in range(3):
                await watch.look()
                assert watch.found.ahead_ms == HOUR
            clock.now += HOUR
            await watch.look()
            assert not watch.found.ahead
        leaves = list(running.reader.leaves(0, running.reader.head().size))
    bodies = [body for body in (parse_leaf(leaf).body for leaf in leaves) if body["type"] == "log.incident"]
    assert [(b["kind"], b["ahead_ms"], b["at"]) for b in bodies] == [("clock", HOUR, clock.now - HOUR)] * 2


async def test_no_step_of_the_clock_revives_a_challenge(site: SimulatedSite) -> None:
    """Used, forgotten an hour later, and the clock goes back to the minute in which it was used."""
    clock = Clock(wall_clock())
    with site.open(clock=clock) as running:
        used = request(site, running)
        assert await ask(site, running, used) == GRANTED
        clock.now += HOUR
        assert await ask(site, running) == GRANTED
        clock.now -= HOUR
        before = counts(site.site.store)
        assert before[1] == 1
        assert await ask(site, running, used) == "CLOCK_BEHIND_LOG"
        assert counts(site.site.store) == before
