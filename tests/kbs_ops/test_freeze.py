"""A frozen log: what fires the freeze, that it lasts, what it refuses, what is kept as evidence, and how it ends."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from attest.tlog.entry import parse_leaf
from clients.auditor.report import Verdict
from clients.auditor.source import Directory
from clients.auditor.verify import verify
from clients.trust import read_trust
from kbs.log.publish import LogForked
from kbs.serve.service import _publish, serve
from kbs.serve.site import Site
from kbs.serve.wiring import open_site, wall_clock
from kbs.store.backup import backup
from kbs.store.errors import LogFrozen, StoreUnusable
from kbs.store.freeze import Mark, Point, mark_path, read_mark, refuse_frozen, write_mark
from tests.kbs_ops.hands import GRANTED, NOW, ask, command, copy_into, counts, request, rows, tamper
from tests.kbs_ops.test_selfcheck import SIZE, fill
from tests.makers.site import SimulatedSite

LOG = "LOG_UNAVAILABLE"


async def test_the_guard_fires_and_it_lasts(site: SimulatedSite, tmp_path: Path) -> None:
    store, good, old = site.site.store, tmp_path / "good.db", tmp_path / "old.db"
    backup(store, old)
    with site.open() as running:
        assert await ask(site, running) == GRANTED
        running.publisher.publish()
        seen = running.reader.head()
        copy_into(store, good)
        copy_into(old, store)
        before = counts(store)
        for _ in range(3):
            assert await ask(site, running) == LOG
        assert counts(store) == before
        mark = read_mark(store)
        assert mark is not None
        assert mark.seen == Point(size=seen.size, root=seen.root)
        assert mark.stored is not None
        assert mark.stored.size == before[0]
        assert stat.S_IMODE(mark_path(store).stat().st_mode) == 0o600
        # a good store alone does not end it
        copy_into(good, store)
        assert await ask(site, running) == LOG
        with pytest.raises(LogFrozen):
            running.publisher.publish()
    with pytest.raises(LogFrozen, match="sealgate-broker incident"), site.open():
        pass
    resolve = ("incident", "--directory", site.directory, "--out", tmp_path / "e.json", "--resolve")
    assert (await asyncio.to_thread(command, *resolve)).code == 0
    with site.open() as running:
        assert await ask(site, running) == GRANTED


async def test_what_is_put_back_between_the_self_check_and_the_first_entry(site: SimulatedSite, tmp_path: Path) -> None:
    old = tmp_path / "old.db"
    backup(site.site.store, old)
    with site.open() as running:
        assert await ask(site, running) == GRANTED
    with site.open() as running:
        copy_into(old, site.site.store)
        before = counts(site.site.store)
        assert await ask(site, running) == LOG
    assert counts(site.site.store) == before
    assert read_mark(site.site.store) is not None


async def test_every_process_stops_at_the_mark_and_goes_on_without_it(site: SimulatedSite) -> None:
    with site.open() as running, site.open() as other:
        data = request(site, running)
        assert await ask(site, running, data) == GRANTED
        write_mark(site.site.store, Mark(at=NOW, reason="somebody saw something"))
        before = counts(site.site.store)
        for each in (running, other):
            assert await ask(site, each) == LOG
            assert await ask(site, each, data) == LOG  # nor is a reply of before given out again
        assert counts(site.site.store) == before
        mark_path(site.site.store).unlink()
        for each in (running, other):
            assert await ask(site, each) == GRANTED
            assert await ask(site, each, data) == GRANTED


async def test_a_broker_does_not_start_on_a_frozen_log(site: SimulatedSite) -> None:
    with site.open() as running:
        write_mark(site.site.store, Mark(at=NOW, reason="meanwhile"))
        before = counts(site.site.store)
        with pytest.raises(LogFrozen, match="meanwhile"):
            async with serve(running, site.tls(), host="127.0.0.1", workload_port=0, people_port=0):
                pass
    assert counts(site.site.store) == before


async def test_a_rollback_that_this_process_cannot_see_freezes_when_it_publishes(
    site: SimulatedSite, tmp_path: Path
) -> None:
    old = tmp_path / "old.db"
    with site.open() as running, site.open() as other:
        backup(site.site.store, old)
        assert await ask(site, other) == GRANTED
        other.publisher.publish()
        copy_into(old, site.site.store)
        with pytest.raises(LogFrozen, match="PUBLISHED"):
            _publish(running)
        before = counts(site.site.store)
        assert await ask(site, running) == LOG
        assert counts(site.site.store) == before


async def test_a_damaged_tile_is_no_reason_to_freeze(site: SimulatedSite) -> None:
    with site.open() as running:
        running.publisher.publish()
        for name in (site.site.log / "tile" / "0").rglob("*"):
            if name.is_file():
                name.write_bytes(bytes(name.stat().st_size))
        assert await ask(site, running) == GRANTED
        with pytest.raises(LogForked):
            _publish(running)
        assert await ask(site, running) == GRANTED
    assert read_mark(site.site.store) is None


async def test_a_mark_that_cannot_be_written_counts_nevertheless(
    site: SimulatedSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, good, old = site.site.store, tmp_path / "good.db", tmp_path / "old.db"
    backup(store, old)

    def full(path: Path, mark: Mark) -> None:
        raise OSError(28, "No space left on device")

    with site.open() as running:
        assert await ask(site, running) == GRANTED
        with monkeypatch.context() as patched:
            patched.setattr("kbs.store.writer.write_mark", full)
            copy_into(store, good)
            copy_into(old, store)
            assert await ask(site, running) == LOG
            copy_into(good, store)
            assert await ask(site, running) == LOG
            assert read_mark(store) is None
        assert await ask(site, running) == LOG
        assert read_mark(store) is not None


def test_the_first_mark_is_kept(tmp_path: Path) -> None:
    store = tmp_path / "store.db"
    first = Mark(at=1, reason="first", seen=Point(size=3, root=bytes(32)))
    write_mark(store, first)
    write_mark(store, Mark(at=2, reason="second"))
    assert read_mark(store) == first
    assert os.listdir(tmp_path) == ["store.db.frozen"]


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff", b"[]", b'{"at": "x"}'], ids=repr)
def test_a_mark_that_nobody_can_read_is_one(tmp_path: Path, data: bytes) -> None:
    store = tmp_path / "store.db"
    mark_path(store).write_bytes(data)
    with pytest.raises(LogFrozen, match="cannot be read"):
        refuse_frozen(store)
    mark_path(store).unlink()
    mark_path(store).symlink_to(tmp_path / "nowhere")
    with pytest.raises(LogFrozen):
        refuse_frozen(store)


def test_incident_of_a_sound_log(tmp_path: Path) -> None:
    fill(tmp_path / "store.db", SIZE)
    out = tmp_path / "e.json"
    done = command("incident", "--directory", tmp_path, "--out", out, "--json")
    assert (done.code, json.loads(done.out)["state"]) == (0, "sound")
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert command("incident", "--directory", tmp_path, "--out", out).code == 2
    document = json.loads(out.read_bytes())
    assert (document["stored"]["size"], document["frozen"], document["published"]) == (SIZE, None, None)


async def test_a_freeze_ends_with_its_entry(site: SimulatedSite, tmp_path: Path) -> None:
    """The entry commits to the file that was kept, auditors accept the log that goes on, and it was written first."""
    store, old, good, out = site.site.store, tmp_path / "old.db", tmp_path / "good.db", tmp_path / "e.json"
    backup(store, old)
    with site.open() as running:
        assert await ask(site, running) == GRANTED
        running.publisher.publish()
        copy_into(store, good)
        copy_into(old, store)
        assert await ask(site, running) == LOG
    copy_into(good, store)
    done = await asyncio.to_thread(
        command, "incident", "--directory", site.directory, "--out", out, "--resolve", clock=wall_clock
    )
    assert (done.code, "resolved" in done.out) == (0, True)
    with site.open() as running:
        head = running.reader.head()
        leaf = parse_leaf(running.reader.entries(head.size - 1, head.size)[0][1])
        digest = hashlib.sha256(out.read_bytes()).digest()
        assert (leaf.body["type"], leaf.body["kind"]) == ("log.incident", "frozen")
        assert leaf.body["bundle_digest"] == digest.hex()
        assert running.reader.document(head.size - 1, digest) == out.read_bytes()
        assert await ask(site, running) == GRANTED
        running.publisher.publish()
    report = verify(Directory(site.site.log), read_trust(site.trust, simulated=True), first_use=True)
    assert report.verdict is Verdict.OK, report.text()


def test_a_freeze_that_cannot_be_logged_does_not_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, out = tmp_path / "store.db", tmp_path / "e.json"
    fill(store, SIZE)
    write_mark(store, Mark(at=NOW, reason="x"))
    monkeypatch.setattr("kbs.store.connect._BUSY_MS", 10)
    with closing(sqlite3.connect(store, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert command("incident", "--directory", tmp_path, "--out", out, "--resolve").code == 5
    assert mark_path(store).exists()
    assert command("incident", "--directory", tmp_path, "--out", tmp_path / "f.json", "--resolve").code == 0
    assert rows(store, "SELECT count(*) FROM log_entry") == [(SIZE + 1,)]


async def test_incident_keeps_every_head(site: SimulatedSite, tmp_path: Path) -> None:
    store, old, out = site.site.store, tmp_path / "old.db", tmp_path / "e.json"
    backup(store, old)
    with site.open() as running:
        assert await ask(site, running) == GRANTED
        running.publisher.publish()
        seen = running.reader.head()
        copy_into(old, store)
        assert await ask(site, running) == LOG
    done = command("incident", "--directory", site.directory, "--out", out, "--resolve")
    assert (done.code, "stays frozen" in done.out) == (10, True)
    document = json.loads(out.read_bytes())
    assert document["origin"] == site.site.log_origin
    assert document["published"] == (site.site.log / "checkpoint").read_text()
    assert document["seen"] == {"size": seen.size, "root": seen.root.hex()}
    assert document["stored"]["size"] == seen.size - 1
    assert document["frozen"]["reason"].startswith(f"the log was at {seen.size} entries")
    failed = {line["check"] for line in document["checks"] if line["outcome"] == "failed"}
    assert failed == {"PUBLISHED", "SEEN"}
    assert b"PRIVATE" not in out.read_bytes()


def test_incident_freezes_what_it_finds_and_tells_what_it_cannot_read(tmp_path: Path) -> None:
    store = tmp_path / "store.db"
    fill(store, SIZE)
    tamper(store, "UPDATE log_head SET root = zeroblob(32)")
    assert command("incident", "--directory", tmp_path, "--out", tmp_path / "e.json", "--resolve").code == 10
    assert mark_path(store).exists()
    for path in tmp_path.glob("store.db*"):
        path.unlink()
    done = command("incident", "--directory", tmp_path, "--out", tmp_path / "f.json", "--json")
    assert (done.code, json.loads(done.out)["state"]) == (5, "unreadable")
    assert "is not there" in json.loads((tmp_path / "f.json").read_bytes())["unreadable"]


def test_a_good_store_that_is_not_the_one_seen_stays_frozen(tmp_path: Path) -> None:
    """Sound in itself, nothing published, and still not what the broker had seen."""
    store = tmp_path / "store.db"
    fill(store, SIZE)
    [(root,)] = rows(store, "SELECT root FROM log_root WHERE size = 20")
    write_mark(store, Mark(at=NOW, reason="x", seen=Point(size=SIZE + 1, root=root)))
    done = command("incident", "--directory", tmp_path, "--out", tmp_path / "e.json", "--resolve")
    assert (done.code, "SEEN" in done.out) == (10, True)
    mark_path(store).unlink()
    write_mark(store, Mark(at=NOW, reason="x", seen=Point(size=20, root=root)))
    assert command("incident", "--directory", tmp_path, "--out", tmp_path / "f.json", "--resolve").code == 0
    assert not mark_path(store).exists()


async def test_a_start_under_another_name_freezes_nothing(site: SimulatedSite) -> None:
    other = Site(directory=site.directory, deployment="other.example")
    with (
        pytest.raises(StoreUnusable, match="holds the log"),
        open_site(other, site.shelf(), site.anchors),
    ):
        pass
    assert not mark_path(site.site.store).exists()
    with site.open() as running:
        assert running.reader.head().size > 0
