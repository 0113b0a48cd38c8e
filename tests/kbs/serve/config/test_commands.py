"""`sealgate-broker config`, and that its reference is what the code says."""

from __future__ import annotations

import json
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
    for unknown in ("wep", "web.prot"):
        assert _run("config", "explain", unknown)[0] == 2


def test_no_such_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("config", "check", "--config", str(tmp_path / "none.toml"))[0] == 5
    assert "none.toml: No such file" in capsys.readouterr().err


def test_the_reference_is_what_the_code_says() -> None:
    assert (ROOT / "docs/configuration.md").read_text() == render()
