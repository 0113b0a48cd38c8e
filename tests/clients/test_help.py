"""The command explains itself: help with examples that parse, JSON, completion, and a sentence if it cannot start."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from clients.cli.completion import Command, walk
from clients.cli.main import Doors, full_parser, main

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = {command.path: command for command in walk(full_parser())}
LEAVES = {path: c for path, c in COMMANDS.items() if "run" in c.parser._defaults}


def examples(command: Command) -> list[list[str]]:
    """The command lines in a command's help, as a shell would take them apart."""
    text = (command.parser.epilog or "").replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines() if line.startswith("  sealgate ")]
    return [_until_shell(shlex.split(line, comments=True)) for line in lines]


def _until_shell(words: list[str]) -> list[str]:
    """Without pipes and redirections."""
    ends = [at for at, word in enumerate(words) if word in {"|", ";"} or re.match("[0-9]?[<>]", word)]
    return words[: min(ends, default=len(words))]


def test_the_walk_sees_the_commands() -> None:
    assert {"sealgate keys get", "sealgate seal", "sealgate open", "sealgate audit verify"} <= LEAVES.keys()


@pytest.mark.parametrize("path", LEAVES)
def test_every_command_has_help_with_an_example_that_parses(path: str) -> None:
    command = LEAVES[path]
    assert command.parser.description, path
    assert command.help, path
    found = examples(command)
    assert not re.search(r"\\\n\s*\\?\n", f"{command.parser.epilog}\n"), (
        f"{path}: an example goes on with an empty line"
    )
    assert any(" ".join(words).startswith(path) for words in found), f"{path}: no example of it in its help"
    for words in found:
        try:
            full_parser().parse_args(words[1:])
        except SystemExit:
            pytest.fail(f"the example does not parse: {shlex.join(words)}")


@pytest.mark.parametrize("path", LEAVES)
def test_every_command_speaks_json(path: str) -> None:
    assert any("--json" in option.flags for option in LEAVES[path].options), path


@pytest.mark.parametrize("path", COMMANDS)
def test_every_option_says_what_it_is_for(path: str) -> None:
    for option in COMMANDS[path].options:
        assert option.help, f"{path} {option.flags}"


def run(*arguments: str) -> int:
    return main(arguments, Doors(now=datetime.now(UTC)))


def complete(script: Path, line: str) -> set[str]:
    """What bash offers for the line, whose last word is the one being typed."""
    words = [*shlex.split(line), *([""] if line.endswith(" ") else [])]
    code = f"""source {shlex.quote(str(script))}
COMP_WORDS=({shlex.join(words)}); COMP_CWORD={len(words) - 1}
_sealgate; printf '%s\\n' "${{COMPREPLY[@]}}" """
    done = subprocess.run(["bash", "--norc", "-c", code], capture_output=True, text=True, check=True, cwd=script.parent)
    assert done.stderr == ""
    return set(done.stdout.split())


def test_bash_completes_every_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("completion", "bash") == 0
    script = tmp_path / "sealgate"
    script.write_text(capsys.readouterr().out)
    assert complete(script, "sealgate ") >= {path.split()[1] for path in LEAVES}
    assert complete(script, "sealgate keys g") == {"get"}
    assert complete(script, "sealgate keys get --tr") == {"--trust"}
    assert complete(script, "sealgate completion ") >= {"bash", "zsh", "fish"}
    (tmp_path / "model.safetensors").touch()
    assert complete(script, "sealgate seal mod") == {"model.safetensors"}
    assert complete(script, "sealgate seal --recipient mod") == {"model.safetensors"}
    assert complete(script, "sealgate seal --asset mod") == set()


def test_the_script_knows_each_option_of_each_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("completion", "bash")
    text = capsys.readouterr().out
    for command in COMMANDS.values():
        line = next(each for each in text.splitlines() if each.strip().startswith(f'"{command.path}") words='))
        for option in command.options:
            assert any(flag in line for flag in option.flags), (command.path, option.flags)


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells(tmp_path: Path, shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Where the shell is installed it reads the script; everywhere each command is in it."""
    assert run("completion", shell) == 0
    text = capsys.readouterr().out
    for command in LEAVES.values():
        assert command.path in text
    (tmp_path / "script").write_text(text)
    if program := shutil.which(shell):
        subprocess.run([program, "-n", str(tmp_path / "script")], check=True)


def test_completion_speaks_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("completion", "bash", "--json") == 0
    assert {each["command"] for each in json.loads(capsys.readouterr().out)} == COMMANDS.keys()


# --- where it cannot start ---


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)


def test_an_old_python_is_a_sentence() -> None:
    done = python("import sys; sys.version_info = (3, 9, 2); import clients.cli.main")
    assert done.returncode != 0
    assert "needs Python 3.11 or later; this is 3.9" in done.stderr
    assert "Traceback" not in done.stderr


ABSENT = """
import sys
sys.modules["grpc"] = None
sys.argv = ["sealgate", "keys", "get", "--trust", "{trust}", "--broker", "127.0.0.1:1", "--purpose", "p",
            "--asset", "tenants/t/assets/a", "--dir", "/dev/shm", "--unsafe-write-keys-to-disk"]
from clients.cli.main import run
run()
"""


def test_a_missing_extra_is_named(tmp_path: Path) -> None:
    (tmp_path / "assets.yaml").write_text("name: tenants/t")
    words = [
        "plan",
        "-f",
        str(tmp_path / "assets.yaml"),
        "--trust",
        "t",
        "--broker",
        "b:1",
        "--key",
        "k",
        "--cert",
        "c",
    ]
    program = f"import sys; sys.modules['yaml'] = None; sys.argv = ['sealgate', *{words}]"
    done = python(f"{program}; from clients.cli.main import run; run()")
    assert done.returncode == 2
    assert f"It comes with {sys.prefix}/bin/pip install 'sealgate[operator]'" in done.stderr


def test_a_missing_package_is_a_sentence(tmp_path: Path) -> None:
    trust = tmp_path / "trust.json"
    key = "a.example/audit/1+0be9ccb6+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx"
    document = {"v": "sealgate.trust/1", "origin": "a.example", "broker_ca": "x", "log_keys": [key], "tenant": "t"}
    trust.write_text(json.dumps({**document, "simulated": False}))
    done = python(ABSENT.format(trust=trust))
    assert done.returncode == 2
    assert "the package grpc is not installed" in done.stderr
    assert "Traceback" not in done.stderr


def test_packages_of_another_environment_are_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "attest").mkdir()
    (tmp_path / "attest" / "__init__.py").touch()
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); sys.argv = ['sealgate', '--help']\n"
    done = python(code + "from clients.cli.main import run\nrun()")
    assert done.returncode == 2
    assert "an environment of its own" in done.stderr


def test_help_of_every_command_is_short_enough_to_read(capsys: pytest.CaptureFixture[str]) -> None:
    for path in LEAVES:
        assert run(*path.split()[1:], "--help") == 0
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) < 80, path
        assert max(map(len, lines)) <= 140, path


def test_options_of_one_meaning_have_one_name() -> None:
    """A path that is written is --out, one that is trusted is --trust, wherever they are."""
    kinds: dict[str, set[type | None]] = {}
    for command in LEAVES.values():
        for action in command.parser._actions:
            for flag in action.option_strings:
                if flag in {"--trust", "--out", "--json", "--asset"}:
                    kinds.setdefault(flag, set()).add(action.type if isinstance(action.type, type) else None)
    assert kinds["--trust"] == {Path}
    assert isinstance(full_parser(), argparse.ArgumentParser)
