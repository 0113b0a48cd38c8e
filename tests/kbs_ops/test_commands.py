"""`sealgate-broker` as people meet it: help that is whole, sentences instead of tracebacks, exit codes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kbs.serve.lock import alone
from kbs.store.errors import StoreUnusable
from tests.kbs_ops.hands import command, drop_triggers
from tests.kbs_ops.test_selfcheck import fill

COMMANDS = ("migrate", "backup", "restore", "incident")


def _run(*arguments: object) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "kbs", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, check=False)


def test_the_process(tmp_path: Path) -> None:
    fill(tmp_path / "store.db", 3)
    good = _run("incident", "--directory", tmp_path, "--out", tmp_path / "e.json")
    assert (good.returncode, good.stderr) == (0, "")
    assert "The log is sound." in good.stdout
    drop_triggers(tmp_path / "store.db")
    bad = _run("backup", "--directory", tmp_path, "--out", tmp_path / "b.db")
    assert (bad.returncode, bad.stdout) == (5, "")
    assert bad.stderr.startswith("sealgate-broker: the copy")
    assert bad.stderr.count("\n") == 1


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(name, "--help").code == 0
    told = capsys.readouterr().out
    assert f"sealgate-broker {name} --" in told
    assert max(map(len, told.splitlines())) <= 120


def test_what_is_not_for_people_is_named_to_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (("nope",), ("--help",), ()):
        command(*words)
        said = capsys.readouterr()
        assert "worker" not in (said.out + said.err).replace("workers", "")
    assert command("nope").code == 2
    assert "invalid choice: 'nope' (choose from 'init', 'serve', 'config'" in capsys.readouterr().err


def test_a_backup_that_has_no_place_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(tmp_path / "store.db", 3)
    out = tmp_path / "no" / "where"
    assert command("backup", "--directory", tmp_path, "--out", out).code == 5
    said = capsys.readouterr().err
    assert said == f"sealgate-broker: the backup {out} could not be made: {out.parent}: No such file or directory\n"


def test_help_of_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("--help").code == 0
    told = capsys.readouterr().out
    assert all(name in told for name in COMMANDS)
    assert "10 the log is not what it was" in told


def test_a_site_that_is_not_there_is_no_busy_one(tmp_path: Path) -> None:
    with pytest.raises(StoreUnusable, match="none is not there: sealgate-broker init"), alone(tmp_path / "none"):
        pass


# name: (arguments, the exit code, a word of the sentence)
WRONG: dict[str, tuple[tuple[str, ...], int, str]] = {
    "nothing": ((), 2, "usage"),
    "no such command": (("sevre",), 2, "invalid choice"),
    "no directory given": (("backup", "--out", "x"), 2, "--directory"),
    "no such directory": (("migrate", "--directory", "{}/none"), 2, "is not a directory"),
    "a directory without a store": (("migrate", "--directory", "{}"), 5, "sealgate-broker init makes a deployment"),
    "a backup that is not there": (("restore", "--directory", "{}", "--backup", "{}/none"), 5, "is not there"),
    "a place that is not there": (("incident", "--directory", "{}", "--out", "{}/none/e"), 5, "No such file"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, code, word = WRONG[name]
    assert command(*(each.format(tmp_path) for each in arguments)).code == code
    told = capsys.readouterr().err
    assert word in told
    assert "Traceback" not in told


# name: (what is wrong with the interpreter, what is said)
CANNOT_START = {
    "an old Python": ("sys.version_info = (3, 9, 2)", "needs Python 3.11 or later; this is 3.9"),
    "a missing package": ("sys.modules['cryptography'] = None", "the package cryptography is not installed in"),
}


@pytest.mark.parametrize("name", CANNOT_START)
def test_what_cannot_start_is_a_sentence_with_the_remedy(name: str) -> None:
    wrong, said = CANNOT_START[name]
    code = (
        f"import sys; {wrong}; sys.argv = ['sealgate-broker', 'serve', '--help']\nfrom kbs.__main__ import run\nrun()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert "make " in done.stderr
    assert "Traceback" not in done.stderr
