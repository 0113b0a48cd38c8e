"""The broker's unit: its command lines, as they stand, check a configuration and serve it until SIGTERM."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.test_commands import ROOT, unit
from tests.flow.test_serve import Served, _made, serving

BROKER = "/opt/sealgate/bin/sealgate-broker"
CONFIG = "/etc/sealgate/broker.toml"


def here(line: str, config: Path) -> list[str]:
    """A command line of the unit with this machine's places."""
    words = [str(config) if word == CONFIG else word for word in shlex.split(line)]
    assert words[0] == BROKER
    return [sys.executable, "-m", "kbs", *words[1:]]


def test_the_broker_starts_and_ends_as_the_unit_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = unit("sealgate-broker.service")
    made = _made(tmp_path, 1)
    (check,), (start,) = settings["ExecStartPre"], settings["ExecStart"]
    done = subprocess.run(here(check, made.config), cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    popen = subprocess.Popen

    def as_the_unit(command: list[str], **given: object) -> subprocess.Popen[str]:
        assert command[:-1] == here(start, made.config)  # and --json, so that its events can be read
        return popen(command, **given)  # type: ignore[call-overload,no-any-return]

    monkeypatch.setattr(subprocess, "Popen", as_the_unit)
    with serving(made) as served:
        assert isinstance(served, Served)
        served.wait_for("^serving$")
        monkeypatch.undo()
        assert served.drain() == 0


def test_a_configuration_that_is_wrong_ends_the_start(tmp_path: Path) -> None:
    """With the exit code after which systemd does not try again."""
    settings = unit("sealgate-broker.service")
    (tmp_path / "broker.toml").write_text("[deployment]\nnmae = 1\n")
    (check,) = settings["ExecStartPre"]
    command = here(check, tmp_path / "broker.toml")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert str(done.returncode) in settings["RestartPreventExitStatus"][0].split()
    assert "name" in done.stderr + done.stdout


def test_the_sandbox_leaves_the_broker_its_state_alone() -> None:
    settings = unit("sealgate-broker.service")
    assert settings["StateDirectory"] == ["sealgate"]
    assert settings["ProtectSystem"] == ["strict"]
    assert settings["CapabilityBoundingSet"] == [""]
    assert settings["KillMode"] == ["mixed"]
