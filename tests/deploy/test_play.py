"""The walk of README.md and the ten things of `make play`, as a person would paste them; and what breaks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.demo.beside import beside
from deploy.demo.breaks import BREAKS
from deploy.demo.play import invite, played
from deploy.demo.run import main
from deploy.demo.stage import Ports
from deploy.demo.things import REFUSED, Thing, things
from deploy.demo.walk import WALK, Place
from tests.flow import nursery

ROOT = Path(__file__).resolve().parents[2]
README_BLOCKS = [
    [re.sub(r"\s+", " ", line) for line in block.replace("\\\n", " ").strip().splitlines()]
    for block in re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
]
NUMBERED = re.compile(r"^  # \d+\. (.*)\n  (.*)$", re.MULTILINE)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The walk itself: it fails here if any command does not end as it should."""
    with played(tmp_path_factory.mktemp("play") / "site", usual_ports=False) as place:
        yield place


def shell(place: Place, command: str) -> tuple[int, str]:
    environment = {**os.environ, "PATH": f"{place.folder / 'bin'}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", command], cwd=place.folder, env=environment, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_the_walk_is_short() -> None:
    commands = [part for line in WALK for part in line.split("&& ")]
    assert len(commands) <= 15


def test_the_walk_is_that_of_the_readme() -> None:
    [walk] = [block for block in README_BLOCKS if block[0] == WALK[0]]
    assert tuple(walk) == WALK


def test_every_command_of_the_readme(place: Place) -> None:
    """In order, after the walk: what is not of a shell (the first commands, the picture) has no `sh`."""
    ticket = re.search(r"Ticket: ([0-9a-f]{32})", shell(place, place.here(REFUSED))[1])
    assert ticket is not None
    commands = [command for block in README_BLOCKS if block[0] != WALK[0] for command in block]
    assert len(commands) == 13
    for command in commands:
        code, said = shell(place, place.here(command.replace("TICKET", ticket[1])))
        assert code == 0, (command, said)
        assert "Traceback" not in said


def test_the_ten_things(place: Place) -> None:
    """As they are printed, in order: each prints what it is for and ends as it says."""
    text = invite(place)
    printed = NUMBERED.findall(text)
    meant: tuple[Thing, ...] = things("")
    assert [what for what, _ in printed] == [thing.what for thing in meant]
    assert len(meant) == 10
    for (_, command), thing in zip(printed, meant, strict=True):
        code, said = shell(place, command)
        assert code == thing.code, (command, said)
        assert thing.shows in said, (command, said)
        assert "Traceback" not in said


def test_what_it_makes_says_simulated_and_the_ordinary_commands_refuse_it(place: Place) -> None:
    log, trust = str(place.folder / "site" / "log"), str(place.folder / "site" / "trust.json")
    ordinary = [sys.executable, "-m", "clients.cli.main", "audit", "verify", log, "--trust", trust]
    done = subprocess.run(ordinary, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert "simulated" in done.stderr
    serve = [sys.executable, "-m", "kbs", "serve", "--config", str(place.folder / "broker.toml")]
    done = subprocess.run(serve, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 5
    listed = shell(place, "sealgate audit list site/log")[1].splitlines()
    assert all(line.endswith("(simulated)") for line in listed)


def test_a_simulated_deployment_is_served_on_loopback_alone(place: Place, tmp_path: Path) -> None:
    text = (place.folder / "broker.toml").read_text().replace('host = "127.0.0.1"', 'host = "0.0.0.0"')
    (place.folder / "open.toml").write_text(text)
    code, said = shell(place, "sealgate-broker serve --config open.toml")
    assert code == 5
    assert "on loopback alone" in said


def test_simulated_roots_serve_nothing_that_is_real(place: Place) -> None:
    """A real deployment, made by the ordinary command beside the one that plays."""
    folder = place.folder / "real"
    folder.mkdir(mode=0o700)
    text = (place.folder / "broker.toml").read_text()
    (folder / "broker.toml").write_text(re.sub(r"(workload_|people_)?port = \d+", r"\1port = 0", text))
    for name in ("recovery-1.pub", "recovery-2.pub"):
        (folder / name).write_bytes((place.folder / name).read_bytes())
    (folder / "collateral").mkdir()
    make = [sys.executable, "-m", "kbs", "init", "--config", str(folder / "broker.toml"), "--founder", "a:operator"]
    done = subprocess.run(make, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    code, said = shell(place, "sealgate-broker serve --config real/broker.toml")
    assert code == 5
    assert "never served under simulated roots" in said


@contextmanager
def forked(directory: Path) -> Iterator[Ports]:
    with nursery.broker(directory) as (ports, _):
        yield ports


@pytest.mark.parametrize("name", BREAKS)
def test_what_breaks_is_shown_to_both(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if name != "replay":  # which has the very process that `make demo` starts
        monkeypatch.setattr("deploy.demo.breaks.broker", forked)
    assert main(["--break", name]) == 0, capsys.readouterr()
    told = capsys.readouterr().out
    assert re.search(r"the node sees +\| the operator sees", told)
    for word in (BREAKS[name].node_sees, BREAKS[name].operator_sees):
        assert word in told
    assert "Traceback" not in told


def test_what_nobody_knows_how_to_break_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--break", "everything"]) == 2
    said = capsys.readouterr().err
    assert said == f"there is no BREAK=everything; there are: {', '.join(BREAKS)}\n"
    assert list(BREAKS) == ["debug", "old-tcb", "replay", "wrong-key", "stale-crl", "edited-log"]


def test_two_texts_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = beside("left", "a\n  " + "word " * 20, "right", "b").splitlines()
    assert {len(line.partition("|")[0]) for line in lines if "|" in line} == {39}
    assert max(map(len, lines)) <= 80
