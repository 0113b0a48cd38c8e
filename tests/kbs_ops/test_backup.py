"""Backup while the broker serves, and restore: whole, or behind and frozen, never a fork."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from pathlib import Path

import pytest

from kbs.model.unit import Unit
from kbs.release.release import release
from kbs.serve.check import check_site
from kbs.store.backup import Exists, backup, restore
from kbs.store.errors import LogFrozen, StoreUnavailable, StoreUnusable
from kbs.store.freeze import Mark, mark_path, read_mark, write_mark
from tests.kbs_ops.hands import GRANTED, ask, command, counts, rows, tamper
from tests.kbs_ops.test_selfcheck import SIZE, fill
from tests.makers.site import SimulatedSite, unslowed
from tests.makers.workload import build


def _move_away(site: SimulatedSite, name: str = "lost") -> Path:
    """The site's store is somewhere else; the published log and the root key stay."""
    kept = site.directory / name
    kept.mkdir()
    for path in site.directory.glob("store.db*"):
        if not path.name.endswith(".frozen"):
            path.rename(kept / path.name)
    return kept


async def test_a_backup_while_it_serves_is_of_one_moment(site: SimulatedSite, tmp_path: Path) -> None:
    with site.open(repeats=unslowed()) as running:
        stop, written = asyncio.Event(), asyncio.Event()

        async def load() -> None:
            while not stop.is_set():
                assert await ask(site, running) == GRANTED
                written.set()

        loading = asyncio.create_task(load())
        kept = []
        for n in range(3):
            written.clear()
            more = asyncio.create_task(written.wait())
            await asyncio.wait({loading, more}, return_when=asyncio.FIRST_COMPLETED)
            kept.append(await asyncio.to_thread(backup, site.site.store, tmp_path / f"b{n}.db"))
        stop.set()
        await loading
        last = running.reader.head()
    assert kept[0].head.size < kept[-1].head.size <= last.size
    for n, each in enumerate(kept):
        path = tmp_path / f"b{n}.db"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert rows(path, "SELECT count(*) FROM log_entry") == [(each.head.size,)]
        assert rows(site.site.store, "SELECT root FROM log_root WHERE size = ?", each.head.size) == [(each.head.root,)]
    assert sorted(os.listdir(tmp_path)) == ["b0.db", "b1.db", "b2.db", "site"]


async def test_a_backup_that_is_behind_freezes_instead_of_forking(
    site: SimulatedSite, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "kept.db"
    assert command("backup", "--directory", site.directory, "--out", kept).code == 0
    with site.open() as running:
        for _ in range(2):
            assert await ask(site, running) == GRANTED
        size = running.publisher.publish()
    _move_away(site)
    restored = command("restore", "--backup", kept, "--directory", site.directory)
    assert (restored.code, "restored" in restored.out) == (10, True)
    assert "FROZEN" in capsys.readouterr().err
    before = counts(site.site.store)
    assert before[0] == size - 2
    for _ in range(2):
        with pytest.raises(LogFrozen, match=f"at least {size} entries"), site.open():
            pass
    # not even a door that somebody opens on it by hand writes
    from kbs.log.sequence import LogSequencer  # noqa: PLC0415
    from kbs.store.door import WriteDoor  # noqa: PLC0415

    door = WriteDoor(site.site.store, LogSequencer(site.site.log_origin), lambda: 0)
    with pytest.raises(LogFrozen):
        await door.commit([Unit(verdict=running.joined.verdict)])
    door.close()
    assert counts(site.site.store) == before
    assert command("incident", "--directory", site.directory, "--out", tmp_path / "i.json", "--resolve").code == 10
    assert mark_path(site.site.store).exists()
    # the store that was lost is found again: it continues what was published
    _move_away(site, "behind")
    for path in (site.directory / "lost").iterdir():
        path.rename(site.directory / path.name)
    with pytest.raises(LogFrozen), site.open():
        pass
    resolve = ("incident", "--directory", site.directory, "--out", tmp_path / "j.json", "--resolve")
    assert (await asyncio.to_thread(command, *resolve)).code == 0
    with site.open() as running:
        assert await ask(site, running) == GRANTED


async def test_a_backup_of_the_last_moment_serves_again_and_answers_repeats(
    site: SimulatedSite, tmp_path: Path
) -> None:
    kept = tmp_path / "kept.db"
    with site.open() as running:
        workload = build(site.chip, running.broker.challenges, running.broker.clock())
        answer = await release(workload.ask, running.broker)
        running.publisher.publish()
        backup(site.site.store, kept)
    _move_away(site)
    restore_it = ("restore", "--backup", kept, "--directory", site.directory, "--json")
    done = await asyncio.to_thread(command, *restore_it)
    assert (done.code, json.loads(done.out)["frozen"]) == (0, None)
    assert stat.S_IMODE(site.site.store.stat().st_mode) == 0o600
    with site.open() as running:
        again = await release(workload.ask, running.broker)
        assert (again.grant, again.place, again.checkpoint) == (answer.grant, answer.place, answer.checkpoint)
        assert await ask(site, running) == GRANTED


def test_nothing_is_written_over(tmp_path: Path) -> None:
    path, kept = tmp_path / "store.db", tmp_path / "kept.db"
    fill(path, SIZE)
    backup(path, kept)
    before = kept.read_bytes()
    with pytest.raises(Exists):
        backup(path, kept)
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "nowhere")
    with pytest.raises(Exists):
        backup(path, link)
    for leftover in ("store.db", "other.db-wal", "third.db-journal"):
        (tmp_path / leftover).touch()
        with pytest.raises(Exists):
            restore(kept, tmp_path / leftover.split("-")[0])
    assert kept.read_bytes() == before
    assert command("backup", "--directory", tmp_path, "--out", kept).code == 2
    assert command("restore", "--directory", tmp_path, "--backup", kept).code == 2


def test_a_copy_that_is_not_sound_is_not_kept(tmp_path: Path) -> None:
    path, kept = tmp_path / "store.db", tmp_path / "kept.db"
    fill(path, SIZE)
    tamper(path, "UPDATE log_entry SET leaf_hash = zeroblob(32) WHERE idx = 3")
    with pytest.raises(StoreUnavailable, match="ENTRY_HASH"):
        backup(path, kept)
    assert not list(tmp_path.glob("*kept*"))
    assert not mark_path(path).exists()


def test_a_frozen_store_is_evidence_and_no_backup(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    fill(path, SIZE)
    write_mark(path, Mark(at=0, reason="test"))
    with pytest.raises(LogFrozen):
        backup(path, tmp_path / "kept.db")
    assert command("backup", "--directory", tmp_path, "--out", tmp_path / "kept.db").code == 10


def test_what_is_no_backup(tmp_path: Path) -> None:
    store, kept = tmp_path / "store.db", tmp_path / "kept.db"
    with pytest.raises(StoreUnusable):
        restore(kept, store)
    kept.write_bytes(b"not a database, and long enough to be one" * 100)
    with pytest.raises(StoreUnusable):
        restore(kept, store)
    kept.unlink()
    fill(kept, 3)
    rows(kept, "PRAGMA user_version = 9")
    with pytest.raises(StoreUnusable, match="schema 9"):
        restore(kept, store)
    assert not store.exists()


def test_a_torn_backup_is_not_restored(tmp_path: Path) -> None:
    path, kept, store = tmp_path / "store.db", tmp_path / "kept.db", tmp_path / "site" / "store.db"
    store.parent.mkdir()
    fill(path, 300)
    backup(path, kept)
    data = bytearray(kept.read_bytes())
    middle = len(data) // 2 // 4096 * 4096
    data[middle : middle + 4096] = bytes(4096)
    kept.write_bytes(data)
    with pytest.raises((StoreUnavailable, StoreUnusable)):
        restore(kept, store)
    assert list(store.parent.iterdir()) == []


async def test_a_directory_that_cannot_be_written(site: SimulatedSite, tmp_path: Path) -> None:
    assert command("backup", "--directory", site.directory, "--out", tmp_path / "none" / "kept.db").code == 5
    assert check_site(site.site.store, site.site.log).store.passed
    assert read_mark(site.site.store) is None
