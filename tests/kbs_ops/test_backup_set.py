"""A backup holds all that a restore needs besides a recovery key; a restore never goes on from behind."""

from __future__ import annotations

import asyncio
import json
import shutil
import stat
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from attest.tlog.entry import parse_leaf
from attest.tlog.keys import SignerKey
from attest.tlog.log_keys import root_name
from attest.tlog.note import sign_text
from kbs.model.unit import Committed, Unit, Verdict
from kbs.serve.lock import alone
from kbs.serve.log_keys import adopt, draft, install
from kbs.serve.site import Site
from kbs.store.freeze import mark_path, read_mark
from kbs.store.read import Reader
from tests.kbs.serve.deployment import Hands, Made, make
from tests.kbs_ops.hands import ask, command
from tests.makers.site import SimulatedSite, unslowed

NOW = 1_790_000_000_000


@pytest.fixture
def hands() -> Hands:
    return Hands(now=NOW)


@pytest.fixture
def made(tmp_path: Path, hands: Hands) -> Made:
    return make(tmp_path, hands, '\n[collateral]\nca_file = "vendors.pem"\n')


def _key(made: Made, number: int) -> str:
    return str(made.config.parent / f"recovery-{number}.key")


def _backup(made: Made, hands: Hands) -> Path:
    out = made.config.parent / "kept"
    hands.json("backup", "--config", str(made.config), "--out", str(out))
    return out


def test_what_is_in_it_and_what_is_named(made: Made, hands: Hands) -> None:
    out = made.config.parent / "kept"
    told = hands.json("backup", "--config", str(made.config), "--out", str(out))
    assert stat.S_IMODE(out.stat().st_mode) == 0o700
    assert {path.name for path in out.iterdir()} == {
        "backup.json", "broker.toml", "recovery.json", "store.db", "trust.json",
    }  # fmt: skip
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in out.iterdir())
    assert (told["serving"], told["size"], len(told["recovery_keys"])) == (False, 1, 2)
    assert json.loads((out / "backup.json").read_bytes()) == {k: v for k, v in told.items() if k != "backup"}
    elsewhere = [each["what"] for each in told["elsewhere"]]
    assert elsewhere[:2] == ["the root key; a recovery key brings it back", "the published log"]
    assert elsewhere.count("[custody] recovery") == 2
    assert {"what": "[collateral] ca_file", "where": str(made.config.parent / "vendors.pem")} in told["elsewhere"]
    root = (made.directory / "root.key").read_bytes()
    for path in out.iterdir():
        for form in (root, root.hex().encode()):
            assert form not in path.read_bytes()


def test_a_drill_of_the_backup_with_each_recovery_key_changes_nothing(made: Made, hands: Hands) -> None:
    out = _backup(made, hands)
    shutil.rmtree(made.directory)  # on another machine
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    for number in (1, 2):
        told = hands.json("backup", "verify", str(out), "--recovery-key", _key(made, number))
        assert (told["whole"], told["keys_opened"]) == (True, 6)
    assert hands.json("backup", "verify", str(out))["keys_opened"] is None
    assert "Skipped" in hands.run("backup", "verify", str(out))[1]
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


# name: (what happened to the backup, what is said)
SPOILED: dict[str, tuple[Callable[[Path], object], str]] = {
    "no list": (lambda out: (out / "backup.json").unlink(), "not a backup that is whole"),
    "a list that is none": (lambda out: (out / "backup.json").write_text("[]"), "is not sealgate.backup/1"),
    "a list cut short": (lambda out: (out / "backup.json").write_text('{"v": "sealgate.backup/1"'), "is not JSON"),
    "a list without its files": (
        lambda out: (out / "backup.json").write_text('{"v": "sealgate.backup/1"}'), "is not sealgate.backup/1",
    ),
    "no recovery.json": (lambda out: (out / "recovery.json").unlink(), "is not there"),
    "another recovery.json": (lambda out: _flip(out / "recovery.json"), "is not what it was"),
    "another store": (lambda out: _flip(out / "store.db"), "is not what it was"),
    "a path that leads out": (
        lambda out: (out / "backup.json").write_text(
            (out / "backup.json").read_text().replace('"trust.json"', '"../broker.toml"')
        ),
        "is not there",
    ),
    "a head that is another": (
        lambda out: (out / "backup.json").write_text(
            (out / "backup.json").read_text().replace('"size": 1', '"size": 2')
        ),
        "is not the store",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SPOILED)
def test_a_backup_that_is_not_what_it_was_is_not_restored(
    name: str, made: Made, hands: Hands, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil, said = SPOILED[name]
    out = _backup(made, hands)
    spoil(out)
    assert hands.run("backup", "verify", str(out))[0] == 5
    assert said in capsys.readouterr().err
    (made.config.parent / "other").mkdir()
    restore = ("restore", "--backup", str(out), "--directory", str(made.config.parent / "other"))
    assert hands.run(*restore, "--nothing-published-since")[0] == 5
    assert list((made.config.parent / "other").iterdir()) == []


def test_a_key_of_somebody_else_opens_no_backup(made: Made, hands: Hands, capsys: pytest.CaptureFixture[str]) -> None:
    out = _backup(made, hands)
    hands.json("custody", "keygen", "--out", str(made.config.parent / "other"))
    assert hands.run("backup", "verify", str(out), "--recovery-key", str(made.config.parent / "other.key"))[0] == 5
    assert "is none of those in the document" in capsys.readouterr().err


def test_nothing_is_written_over_and_nothing_is_left_half(
    made: Made, hands: Hands, capsys: pytest.CaptureFixture[str]
) -> None:
    out = _backup(made, hands)
    assert hands.run("backup", "--config", str(made.config), "--out", str(out))[0] == 2
    with alone(made.directory, "custody.lock"):
        assert hands.run("backup", "--config", str(made.config), "--out", str(out.with_name("b")))[0] == 5
    (made.directory / "recovery.json.new").touch()
    assert hands.run("backup", "--config", str(made.config), "--out", str(out.with_name("b")))[0] == 5
    assert "a rotation of the root key was cut short" in capsys.readouterr().err
    assert hands.run("backup", "--out", str(out.with_name("b")))[0] == 2
    assert not [path for path in made.config.parent.iterdir() if "partial" in path.name or path.name == "b"]


def test_restored_on_a_new_machine_and_opened_by_a_recovery_key(
    made: Made, hands: Hands, capsys: pytest.CaptureFixture[str]
) -> None:
    out = _backup(made, hands)
    trust = (made.directory / "trust.json").read_bytes()
    shutil.rmtree(made.directory)
    made.directory.mkdir(mode=0o700)
    restore = ("restore", "--backup", str(out), "--directory", str(made.directory))
    assert hands.run(*restore)[0] == 2  # nobody said what was published since
    assert "--nothing-published-since" in capsys.readouterr().err
    assert list(made.directory.iterdir()) == []
    told = hands.json(*restore, "--nothing-published-since")
    assert "while the broker served" not in capsys.readouterr().err
    assert (told["frozen"], told["logged"], told["files"]) == (None, True, ["recovery.json", "trust.json"])
    assert (made.directory / "trust.json").read_bytes() == trust
    with closing(Reader(made.directory / "store.db")) as reader:
        entry = parse_leaf(reader.entries(1, 2)[0][1]).body
    assert (entry["type"], entry["kind"]) == ("log.incident", "restored")
    custody = ("--config", str(made.config), "--recovery-key", _key(made, 2))
    assert hands.json("custody", "recover", *custody)["keys_opened"] == 6
    assert hands.run(*restore, "--nothing-published-since")[0] == 2  # a store is there now


def test_what_was_logged_after_a_backup_of_a_broker_that_served_is_warned_of(
    made: Made, hands: Hands, capsys: pytest.CaptureFixture[str]
) -> None:
    with alone(made.directory):
        out = _backup(made, hands)
    shutil.rmtree(made.directory)
    made.directory.mkdir(mode=0o700)
    restore = ("restore", "--backup", str(out), "--directory", str(made.directory), "--nothing-published-since")
    assert hands.json(*restore)["frozen"] is None
    assert "this backup was made while the broker served" in capsys.readouterr().err


def _noted(made: Made, version: int, *, root: int = 3) -> bytes:
    """An offline key is adopted and a note of this version installed."""
    site = Site(directory=made.directory, deployment="keys.example.com")
    signer = SignerKey.from_seed(root_name(site.deployment), bytes([root] * 32))
    adopt(site, signer.verifier_key.encode())
    note = sign_text(replace(draft(site), version=version).text(), signer).encode()
    install(site, note)
    return note


def test_the_note_of_log_keys_goes_with_it_and_comes_back(made: Made, hands: Hands) -> None:
    assert hands.json("backup", "verify", str(_backup(made, hands)))["log_keys_version"] is None
    shutil.rmtree(made.config.parent / "kept")
    note = _noted(made, 4)
    out = _backup(made, hands)
    assert {"log-root.pub", "log-keys"} <= {path.name for path in out.iterdir()}
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert hands.json("backup", "verify", str(out))["log_keys_version"] == 4
    assert "The note of log keys is version 4" in hands.run("backup", "verify", str(out))[1]
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    root = (made.directory / "log-root.pub").read_bytes()
    shutil.rmtree(made.directory)
    made.directory.mkdir(mode=0o700)
    told = hands.json("restore", "--backup", str(out), "--directory", str(made.directory), "--nothing-published-since")
    assert told["files"] == ["recovery.json", "trust.json", "log-root.pub", "log-keys"]
    assert (made.directory / "log-root.pub").read_bytes() == root
    assert (made.directory / "log/log-keys").read_bytes() == note


def test_the_newer_note_of_log_keys_stays_in_force(made: Made, hands: Hands) -> None:
    """What the published log kept meanwhile is not taken back; what is no note gives way."""
    place = made.directory / "log/log-keys"
    older = _noted(made, 2)
    _noted(made, 4)
    out = _backup(made, hands)
    _noted(made, 6)
    notes = {2: older, 4: (out / "log-keys").read_bytes(), 6: place.read_bytes(), 0: b"nonsense"}
    for there, left in ((2, 4), (4, 4), (6, 6), (0, 4)):
        place.write_bytes(notes[there])
        for path in made.directory.glob("store.db*"):
            path.unlink()
        words = ("restore", "--backup", str(out), "--directory", str(made.directory), "--nothing-published-since")
        hands.json(*words)
        assert place.read_bytes() == notes[left], there


# name: (what is done to the site before it is backed up, what is said)
UNBELIEVED: dict[str, tuple[Callable[[Made], object], str]] = {
    "a note by another key": (
        lambda made: (made.directory / "log-root.pub").write_text(
            SignerKey.from_seed("keys.example.com/log-keys", bytes([5] * 32)).verifier_key
        ),
        "NOTE_UNSIGNED",
    ),
    "no offline key": (lambda made: (made.directory / "log-root.pub").unlink(), "nobody can tell whose it is"),
    "a note that is none": (lambda made: (made.directory / "log/log-keys").write_bytes(b"x"), "NOTE_FORMAT"),
}


def test_a_note_that_nobody_will_believe_is_said(made: Made, hands: Hands, capsys: pytest.CaptureFixture[str]) -> None:
    _noted(made, 1)
    files = {path: path.read_bytes() for path in (made.directory / "log-root.pub", made.directory / "log/log-keys")}
    for name, (spoil, said) in UNBELIEVED.items():
        for path, data in files.items():
            path.write_bytes(data)
        spoil(made)
        out = _backup(made, hands)  # a backup is made of whatever there is
        assert hands.run("backup", "verify", str(out))[0] == 5, name
        assert said in capsys.readouterr().err, name
        shutil.rmtree(out)


def test_other_files_of_the_site_are_not_written_over(made: Made, hands: Hands) -> None:
    out = _backup(made, hands)
    (made.directory / "store.db").unlink()
    (made.directory / "recovery.json").write_text("{}")
    restore = ("restore", "--backup", str(out), "--directory", str(made.directory), "--nothing-published-since")
    assert hands.run(*restore)[0] == 2
    assert not (made.directory / "store.db").exists()


async def _behind(site: SimulatedSite, kept: Path) -> None:
    """A backup, two releases that are published after it, and the machine is gone but for a copy of the log."""
    with site.open(repeats=unslowed()) as running:
        assert command("backup", "--directory", site.directory, "--out", kept).code == 0
        for _ in range(2):
            await ask(site, running)
        running.publisher.publish()
    shutil.copytree(site.site.log, kept.with_name("mirror"))
    shutil.rmtree(site.site.log)
    for path in site.directory.glob("store.db*"):
        path.unlink()


async def test_a_checkpoint_from_elsewhere_shows_that_a_backup_is_behind(site: SimulatedSite, tmp_path: Path) -> None:
    await _behind(site, tmp_path / "kept")
    mirror, store = tmp_path / "mirror", site.site.store
    restore = ("restore", "--backup", tmp_path / "kept", "--directory", site.directory)
    assert command(*restore, "--published", tmp_path).code == 2  # no checkpoint is there
    assert not store.exists()
    assert command(*restore, "--published", mirror / "checkpoint").code == 10
    mark = read_mark(store)
    assert mark is not None
    assert mark.seen is not None
    assert mark.seen.size == int((mirror / "checkpoint").read_text().splitlines()[1])
    # The site has no log of its own: the mark alone remembers what was published, and resolving does not forget it.
    resolve = ("incident", "--directory", site.directory, "--out", tmp_path / "i.json", "--resolve")
    assert command(*resolve).code == 10
    assert mark_path(store).exists()


async def test_a_checkpoint_from_elsewhere_lets_the_last_backup_serve(site: SimulatedSite, tmp_path: Path) -> None:
    kept, mirror = tmp_path / "kept", tmp_path / "mirror"
    with site.open(repeats=unslowed()) as running:
        await ask(site, running)
        size = running.publisher.publish()
    assert command("backup", "--directory", site.directory, "--out", kept).code == 0
    site.site.log.rename(mirror)
    for path in site.directory.glob("store.db*"):
        path.unlink()
    restore = ("restore", "--backup", kept, "--directory", site.directory, "--published", mirror, "--json")
    done = await asyncio.to_thread(command, *restore)
    assert (done.code, json.loads(done.out)["logged"]) == (0, True)
    with site.open(repeats=unslowed()) as running:
        assert await ask(site, running) == "granted"
        assert running.publisher.publish() > size
        published = (site.site.log / "tile" / "entries").rglob("*")
        assert any(path.is_file() for path in published)
        outcome = (await running.door.commit([Unit(verdict=Verdict(draft=running.joined.verdict.draft))]))[0]
        assert isinstance(outcome, Committed)
