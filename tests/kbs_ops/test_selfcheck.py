"""The self-check: a sound store passes in every size, and each way of being another log is found by name."""

from __future__ import annotations

import asyncio
import functools
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from attest.finding import Outcome
from attest.tlog.checkpoint import Checkpoint, sign_checkpoint
from attest.tlog.entry import canonical
from attest.tlog.keys import SignerKey
from kbs.log.bodies import Broker, genesis
from kbs.log.sequence import LogSequencer
from kbs.model.log import Draft
from kbs.model.unit import Unit, Verdict
from kbs.serve.check import SiteCheck, check_site, ensure_sound
from kbs.store.connect import create
from kbs.store.door import WriteDoor
from kbs.store.errors import LogFrozen, StoreUnavailable
from kbs.store.freeze import mark_path, read_mark
from tests.kbs.store.opened import make_store
from tests.kbs_ops.hands import NOW, Clock, rows, tamper

ORIGIN = "ops.sealgate.example/audit/1"
SIGNER = SignerKey.from_seed(ORIGIN, bytes(range(32)))
SIZE = 40


def _draft(index: int, name: str = "test") -> Draft:
    if index == 0:
        broker = Broker(id="init", measurement="", simulated=True)
        return genesis(entry_id="0" * 32, broker=broker, deployment="ops.sealgate.example", log_key=SIGNER.verifier_key)
    body = canonical({"type": name, "n": index})
    return Draft(body=body, assets=(f"tenants/t/assets/a{index % 3}",), governance=index % 7 == 0)


def fill(path: Path, size: int, *, each: int = 5, name: str = "test") -> None:
    """Makes the store at `path`, or lets it grow, to `size` entries, `each` in a transaction."""
    if path.exists():
        asyncio.run(_fill(path, size, each, name))
    else:
        with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(_filled(size, each, name))


@functools.cache
def _filled(size: int, each: int, name: str) -> bytes:
    """A new store of so many entries, which nobody has open."""
    with tempfile.TemporaryDirectory(prefix="sealgate-filled-") as folder:
        path = make_store(Path(folder) / "store.db")
        asyncio.run(_fill(path, size, each, name))
        return path.read_bytes()


async def _fill(path: Path, size: int, each: int, name: str) -> None:
    [(old,)] = rows(path, "SELECT count(*) FROM log_entry")
    door = WriteDoor(path, LogSequencer(ORIGIN), Clock(NOW + old))
    for first in range(old, size, each):
        await door.commit([Unit(verdict=Verdict(draft=_draft(n, name))) for n in range(first, min(first + each, size))])
    door.close()


def publish(path: Path, log: Path, size: int | None = None, signer: SignerKey = SIGNER) -> None:
    """Signs the root that the store has at `size` and puts the checkpoint where it is published."""
    log.mkdir(exist_ok=True)
    [(size, root)] = rows(
        path, "SELECT size, root FROM log_root WHERE size <= ? ORDER BY size DESC LIMIT 1", size or 999
    )
    signed = sign_checkpoint(Checkpoint(origin=signer.name, size=size, root=root), signer)
    (log / "checkpoint").write_bytes(signed)


def look(path: Path, full_below: int = 1 << 16) -> SiteCheck:
    return check_site(path, path.parent / "log", log_key=SIGNER.verifier_key, full_below=full_below)


@pytest.mark.parametrize("full_below", [1 << 16, 16, 8, 1], ids=lambda n: f"hashed below {n}")
@pytest.mark.parametrize("size", [1, 2, 15, 16, 17, 32, 40])
def test_a_sound_store_passes(tmp_path: Path, size: int, full_below: int) -> None:
    path = tmp_path / "store.db"
    fill(path, size)
    for published in (None, *sorted({min(5, size), size})):
        if published:
            publish(path, tmp_path / "log", published)
        found = look(path, full_below).store
        assert found.passed, found.sentence()
        assert {f.check for f in found.findings} >= {"FRONTIER_ROOT", "HEAD_ROOT", "ENTRIES", "CHAIN_HEADS", "TRIGGERS"}
        skipped = [f.check for f in found.findings if f.outcome is Outcome.SKIPPED]
        assert ("PUBLISHED" in skipped) == (published is None)
        assert ("ENTRIES" in skipped) == (size > full_below and size % full_below == 0)


def test_an_empty_store_passes_unless_something_was_published(tmp_path: Path) -> None:
    path, other = tmp_path / "store.db", tmp_path / "other.db"
    create(path, LogSequencer(ORIGIN).empty())
    assert check_site(path, tmp_path / "log").store.passed
    fill(other, 3)
    publish(other, tmp_path / "log")
    assert not check_site(path, tmp_path / "log").store.passed


# name: (what is done to the store, the check that finds it)
TAMPERED = {
    "root of the head": ("UPDATE log_head SET root = zeroblob(32)", "FRONTIER_ROOT"),
    "frontier": ("UPDATE log_head SET frontier = zeroblob(length(frontier))", "FRONTIER_ROOT"),
    "frontier cut": ("UPDATE log_head SET frontier = substr(frontier, 1, 33)", "FRONTIER_LENGTH"),
    "size smaller": ("UPDATE log_head SET size = 36", "ENTRY_COUNT"),
    "no head": ("DELETE FROM log_head", "HEAD_ROW"),
    "newest root row": ("DELETE FROM log_root WHERE size = 40", "ROOT_ROW"),
    "root row changed": ("UPDATE log_root SET root = zeroblob(32) WHERE size = 40", "HEAD_ROOT"),
    "leaf edited": ("UPDATE log_entry SET leaf = leaf_hash WHERE idx = 38", "ENTRY_HASH"),
    "leaf hash edited": ("UPDATE log_entry SET leaf_hash = zeroblob(32) WHERE idx = 3", "ENTRY_HASH"),
    "entry in the middle gone": ("DELETE FROM log_entry WHERE idx = 7", "ENTRY_MISSING"),
    "last entry gone": ("DELETE FROM log_entry WHERE idx = 39", "ENTRY_COUNT"),
    "one entry more": ("INSERT INTO log_entry VALUES (40, x'00', zeroblob(32))", "ENTRY_COUNT"),
    "last time": ("UPDATE log_head SET last_time = 1", "LAST_ENTRY"),
    "chain head back": ("UPDATE chain_head SET seq = seq - 1 WHERE chain LIKE '%a1'", "CHAIN_HEADS"),
    "chain head gone": ("DELETE FROM chain_head WHERE chain = 'gov'", "CHAIN_HEADS"),
    "chain head of nobody": ("INSERT INTO chain_head VALUES ('x', 39, 1)", "CHAIN_HEADS"),
    "governance": ("UPDATE state SET governance = 1", "GOVERNANCE"),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_another_log_is_found(tmp_path: Path, name: str) -> None:
    statement, check = TAMPERED[name]
    path = tmp_path / "store.db"
    fill(path, SIZE)
    publish(path, tmp_path / "log", 20)
    tamper(path, statement)
    found = look(path).store
    assert not found.passed
    assert check in [f.check for f in found.failed()], found.sentence()
    assert check in found.sentence()


def test_missing_triggers_are_found(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    fill(path, 5)
    rows(path, "DROP TRIGGER log_entry_no_delete")
    assert [f.check for f in look(path).store.failed()] == ["TRIGGERS"]
    rows(path, "CREATE TRIGGER log_entry_no_delete BEFORE DELETE ON log_entry BEGIN SELECT 1; END")
    assert [f.check for f in look(path).store.failed()] == ["TRIGGERS"]


def _behind(path: Path, log: Path) -> None:
    other = path.with_name("other.db")
    fill(other, SIZE + 5)
    publish(other, log)


def _another_root(path: Path, log: Path) -> None:
    publish(path, log, 20)
    signed = sign_checkpoint(Checkpoint(origin=ORIGIN, size=20, root=bytes(32)), SIGNER)
    (log / "checkpoint").write_bytes(signed)


def _never_a_batch(path: Path, log: Path) -> None:
    log.mkdir()
    [(root,)] = rows(path, "SELECT root FROM log_root WHERE size = 20")
    (log / "checkpoint").write_bytes(sign_checkpoint(Checkpoint(origin=ORIGIN, size=22, root=root), SIGNER))


def _another_key(path: Path, log: Path) -> None:
    publish(path, log, 20, SignerKey.from_seed(ORIGIN, bytes(32)))


def _garbage(path: Path, log: Path) -> None:
    log.mkdir()
    (log / "checkpoint").write_bytes(b"\xff garbage")


# name: (what is published, the check that finds it)
PUBLISHED: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "the store is behind": (_behind, "PUBLISHED"),
    "another root at that size": (_another_root, "PUBLISHED"),
    "a size at which no batch ended": (_never_a_batch, "PUBLISHED"),
    "signed by another key": (_another_key, "NOTE_UNSIGNED"),
    "no checkpoint at all": (_garbage, "NOTE_FORMAT"),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_store_beside_what_was_published_freezes(tmp_path: Path, name: str) -> None:
    make, check = PUBLISHED[name]
    path, log = tmp_path / "store.db", tmp_path / "log"
    fill(path, SIZE)
    make(path, log)
    failed = look(path).store.failed()
    assert check in [f.check for f in failed]
    for _ in range(2):
        with pytest.raises(LogFrozen):
            ensure_sound(path, log, Clock(NOW), log_key=SIGNER.verifier_key)
    mark = read_mark(path)
    assert mark is not None
    assert mark.findings == failed
    assert mark.stored is not None
    assert mark.stored.size == SIZE


def test_a_key_that_genesis_does_not_name(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    fill(path, 3)
    other = SignerKey.from_seed(ORIGIN, bytes(32)).verifier_key
    assert [f.check for f in check_site(path, tmp_path / "log", log_key=other).store.failed()] == ["LOG_KEY"]


def test_what_cannot_be_read_is_unavailable_and_freezes_nothing(tmp_path: Path) -> None:
    path, log = tmp_path / "store.db", tmp_path / "log"
    fill(path, 3)
    log.mkdir()
    (log / "checkpoint").mkdir()
    with pytest.raises(StoreUnavailable):
        ensure_sound(path, log, Clock(NOW))
    assert not mark_path(path).exists()


def test_the_right_part_of_a_large_log_is_enough_to_find_what_is_new(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    fill(path, SIZE)
    tamper(path, "UPDATE log_entry SET leaf_hash = zeroblob(32) WHERE idx = 33")
    assert "ENTRY_HASH" in [f.check for f in look(path, 16).store.failed()]


def test_another_history_under_the_published_root(tmp_path: Path) -> None:
    """Consistent in itself but for one row, which says what was published: only hashing again tells."""
    path, log, other = tmp_path / "store.db", tmp_path / "log", tmp_path / "other.db"
    fill(path, SIZE)
    fill(other, SIZE, name="forged")
    publish(other, log, 20)
    [(root,)] = rows(other, "SELECT hex(root) FROM log_root WHERE size = 20")
    tamper(path, f"UPDATE log_root SET root = x'{root}' WHERE size = 20")
    assert [f.check for f in look(path).store.failed()] == ["PUBLISHED"]
