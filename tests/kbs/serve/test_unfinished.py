"""An init that is killed: nobody accepts what it left, the next one clears it and makes a whole deployment."""

from __future__ import annotations

import os
import signal
from contextlib import closing
from pathlib import Path

import pytest

from kbs.custody.recovery import RecoveryKey
from kbs.custody.rotation import opens
from kbs.serve import root_life, unfinished
from kbs.serve.config.load import load as load_config
from kbs.serve.lock import alone
from kbs.serve.secrets import open_root
from kbs.store.read import Reader
from tests.kbs.serve.deployment import Hands, configure

NOW = 1_790_000_000_000
MARK = "init.unfinished"
# Before the mark nothing has its own name; from the mark on nothing counts until it is gone.
BEFORE = ["init-root", "init-staged"]
AFTER = [
    "init-marked",
    "init-keys",
    "init-empty-store",
    "begun",
    "after-commit",
    "init-store",
    "init-trust",
    "init-told",
]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    hands = Hands(now=NOW)
    for number in (1, 2):
        hands.json("custody", "keygen", "--out", str(tmp_path / f"recovery-{number}"))
    (tmp_path / "codes").mkdir()
    return configure(tmp_path, '[custody]\nrecovery = ["recovery-1.pub", "recovery-2.pub"]\n')


def _init(config: Path, point: str = "") -> tuple[int, str]:
    def die(reached: str, /) -> None:
        if reached == point:
            os.kill(os.getpid(), signal.SIGKILL)

    codes = str(config.parent / "codes")
    hands = Hands(now=NOW, faults=die)
    return hands.run("init", "--config", str(config), "--founder", "alice:operator", "--codes", codes)


def _killed_at(config: Path, point: str) -> None:
    """A process of its own is killed there, with all that SQLite has not written yet."""
    child = os.fork()
    if child == 0:
        _init(config, point)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def _whole(config: Path) -> None:
    """The root key in place, its recovery wraps, every key below it and the trust file belong together."""
    site = config.parent / "site"
    names = {path.name for path in site.iterdir()} - {"store.db-wal", "store.db-shm", "custody.lock"}
    assert names == {"recovery.json", "root.key", "serving.lock", "store.db", "trust.json"}
    read = load_config(config).config
    for number in (1, 2):
        key = RecoveryKey.parse((config.parent / f"recovery-{number}.key").read_text(), name="key")
        assert root_life.drill(read, key) == 6
    with closing(Reader(site / "store.db")) as reader:
        assert reader.head().size == 1
        assert opens(open_root(read, None, lambda prompt: ""), reader) == 6
    again = config.parent / "again.json"
    assert Hands(now=NOW).run("trust", "--config", str(config), "--out", str(again))[0] == 0
    assert again.read_bytes() == (site / "trust.json").read_bytes()
    again.unlink()
    assert [path.name for path in (config.parent / "codes").iterdir()] == ["alice.code"]


@pytest.mark.parametrize("point", [*BEFORE, *AFTER])
def test_killed_anywhere_it_is_run_again(point: str, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _killed_at(config, point)
    site = config.parent / "site"
    assert (site / MARK).exists() == (point in AFTER)
    for refused in (
        ("serve", "--config", str(config)),
        ("trust", "--config", str(config), "--out", str(config.parent / "t.json")),
        ("custody", "rotate", "--config", str(config)),
        ("doctor", "--config", str(config)),
        *((("backup", "--directory", str(site), "--out", str(config.parent / "b.db")),) if point in AFTER else ()),
    ):
        code, said = Hands(now=NOW).run(*refused)
        assert code == 5
        said += capsys.readouterr().err
        assert "sealgate-broker init" in said or point in BEFORE
    assert _init(config)[0] == 0
    _whole(config)
    assert _init(config)[0] == 2  # once
    _whole(config)


def test_what_fails_without_a_crash_leaves_nothing(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def full(reached: str, /) -> None:
        if reached == "init-told":
            raise OSError(28, "No space left on device", "store.db")

    codes = str(config.parent / "codes")
    hands = Hands(now=NOW, faults=full)
    assert hands.run("init", "--config", str(config), "--founder", "alice:operator", "--codes", codes)[0] == 5
    assert "No space left" in capsys.readouterr().err
    assert [path.name for path in (config.parent / "site").iterdir()] == ["serving.lock"]
    assert list((config.parent / "codes").iterdir()) == []
    assert _init(config)[0] == 0
    _whole(config)


def test_a_deployment_that_was_served_is_not_cleared_whatever_the_mark_says(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As if the mark came back with an old directory, under a store that has moved on."""
    _killed_at(config, "init-told")
    site = config.parent / "site"
    mark = (site / MARK).read_bytes()
    unfinished.finish(site)
    assert Hands(now=NOW).run("custody", "rotate", "--config", str(config))[0] == 0  # a second entry
    (site / MARK).write_bytes(mark)
    before = {path.name: path.read_bytes() for path in site.iterdir() if not path.name.endswith("-shm")}
    assert _init(config)[0] == 2
    assert "was served, since its log has 2 entries" in capsys.readouterr().err
    assert {name: (site / name).read_bytes() for name in before} == before


# name: the file that is not what the unfinished init made
STRANGE = {
    "a root key of another": "site/root.key",
    "wraps of another": "site/recovery.json",
    "no code": "codes/alice.code",
    "no store": "site/store.db",
}


@pytest.mark.parametrize("name", STRANGE)
def test_what_somebody_put_there_meanwhile_is_kept_and_named(
    name: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _killed_at(config, "init-told")
    path = config.parent / STRANGE[name]
    path.write_bytes(b"of use to somebody")
    assert _init(config)[0] == 2
    assert str(path) in capsys.readouterr().err
    assert path.read_bytes() == b"of use to somebody"
    path.unlink()
    assert _init(config)[0] == 0
    _whole(config)


def test_two_at_once_are_one(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (config.parent / "site").mkdir(mode=0o700)
    with alone(config.parent / "site"):
        assert _init(config)[0] == 5
    assert "stop it first" in capsys.readouterr().err
