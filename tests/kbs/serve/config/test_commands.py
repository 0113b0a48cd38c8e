"""`sealgate-broker config`, and that its reference is what the code says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kbs.serve.commands import Doors, main
from kbs.serve.config.reference import render
from tests.kbs.serve.config.test_load import LEAST

ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "broker.toml"
    path.write_text(LEAST)
    return path


def _run(*arguments: str) -> tuple[int, list[str]]:
    said: list[str] = []
    return main(arguments, Doors(clock=lambda: 0, say=said.append)), said


def test_check(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("config", "check", "--config", str(file)) == (
        0,
        [f"{file} is fine. What it means: sealgate-broker config show"],
    )
    file.write_text(LEAST + "\n[web]\nprot = 1\n")
    assert _run("config", "check", "--config", str(file))[0] == 2
    assert f"{file}:10: [web] has no key prot; the nearest is port" in capsys.readouterr().err
    code, [line] = _run("config", "check", "--config", str(file), "--json")
    assert (code, json.loads(line)["fine"], len(json.loads(line)["problems"])) == (2, False, 1)


def test_show_tells_references_and_defaults(file: Path) -> None:
    file.write_text(LEAST + '[custody]\nkind = "passphrase"\npassphrase = "credential:root"\n')
    code, [line] = _run("config", "show", "--config", str(file), "--json")
    shown = json.loads(line)
    assert code == 0
    assert shown["custody"]["passphrase"] == "credential:root"
    assert shown["listen"]["workload_port"] == 8443
    assert "workers = 2" in _run("config", "show", "--config", str(file))[1][0]


def test_explain() -> None:
    assert "terminal" in _run("config", "explain", "custody.passphrase")[1][0]
    assert "[web]" in _run("config", "explain")[1][0]
    code, [line] = _run("config", "explain", "web.port", "--json")
    [told] = json.loads(line)
    assert (code, told["section"], told["key"], told["default"]) == (0, "web", "port", "`8080`")
    assert len(json.loads(_run("config", "explain", "--json")[1][0])) > 20


@pytest.mark.parametrize(
    ("unknown", "said"),
    [("wep", "the nearest is web"), ("web.prot", "the nearest is web.port"), ("12345", "the sections are deployment,")],
)
def test_what_cannot_be_explained(unknown: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("config", "explain", unknown)[0] == 2
    assert f"there is no {unknown}; {said}" in capsys.readouterr().err


@pytest.mark.parametrize("json_too", [[], ["--json"]])
def test_no_such_file(tmp_path: Path, capsys: pytest.CaptureFixture[str], json_too: list[str]) -> None:
    code, said = _run("config", "check", "--config", str(tmp_path / "none.toml"), *json_too)
    assert code == 2
    told = json.loads(said[0])["problems"][0] if json_too else capsys.readouterr().err
    assert "none.toml: it cannot be read: No such file" in told


def test_the_reference_is_what_the_code_says() -> None:
    assert (ROOT / "docs/configuration.md").read_text() == render()


@pytest.mark.parametrize("redirection", [">&-", ">/dev/full"])
def test_what_cannot_be_printed_does_not_trace(file: Path, redirection: str) -> None:
    command = f'exec "$0" -m kbs config show --config "$1" {redirection}'
    done = subprocess.run(
        ["sh", "-c", command, sys.executable, str(file)], cwd=ROOT, stderr=subprocess.PIPE, text=True, check=False
    )
    full = "sealgate-broker: what it prints cannot be written: No space left on device\n"
    assert (done.returncode, done.stderr) == ((5, full) if "full" in redirection else (0, ""))
