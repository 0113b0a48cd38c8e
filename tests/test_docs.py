"""What the documents say is what the code does."""

from __future__ import annotations

import os
import re
import shlex
from datetime import UTC, datetime
from pathlib import Path

import pytest

from clients.cli.main import Doors, main
from deploy.demo.breaks import BREAKS
from kbs.rpc.errors_doc import render
from tests.measure.__main__ import TOPICS
from tests.vectors import VECTORS, absent, needs_vectors, not_run

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_errors_are_those_of_the_table() -> None:
    assert (ROOT / "docs" / "errors.md").read_text(encoding="utf-8") == render()


def test_every_make_target_of_the_readme_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = re.findall(r"^make ([a-z]+)$", README, re.MULTILINE)
    assert named == ["demo", "play", "test"]
    for target in named:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_help_of_make_lists_every_topic_and_break() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    [topics] = re.findall(r"TOPIC=([a-z|]+)", makefile)
    assert sorted(topics.split("|")) == sorted(TOPICS)
    [named] = re.findall(r"BREAK=replay` shows[^;]*: ([^;]*);", README)
    assert re.findall(r"`([a-z-]+)`", named) == list(BREAKS)


def test_every_link_of_the_documents_leads_somewhere() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *(ROOT / "docs").rglob("*.md")]
    links = [(page, link) for page in pages for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8"))]
    assert len(links) > 8
    for page, link in links:
        assert (page.parent / link).exists(), f"{page.name}: {link}"


@needs_vectors(1)
def test_the_command_of_the_readme_on_a_real_report(capsys: pytest.CaptureFixture[str]) -> None:
    block = next(b for b in re.findall(r"```\w*\n(.*?)```", README, re.DOTALL) if "evidence verify" in b)
    lines = block.replace("\\\n", " ").strip().splitlines()
    assert lines[0].startswith("V=${SEALGATE_VECTORS:-../shared/vectors}")
    folder = f"{VECTORS}{lines[0].split('}', 1)[1]}"
    words = [os.path.expandvars(w.replace("$V", folder)) for w in shlex.split(lines[1])]
    assert words[0] == ".venv/bin/sealgate"
    assert main(words[1:], Doors(now=datetime.now(UTC))) == 0
    assert '"verdict": "authentic"' in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["--help"], ["keys"], ["keys", "get", "--help"], ["no-such-command"]])
def test_help_and_usage_never_trace(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code = main(arguments, Doors(now=datetime.now(UTC)))
    told = capsys.readouterr()
    assert code == (0 if "--help" in arguments else 2)
    assert "usage: sealgate" in told.out + told.err
    assert "Traceback" not in told.out + told.err


def test_the_ordinary_command_refuses_what_is_simulated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trust = tmp_path / "trust.json"
    key = "a.example/audit/1+0be9ccb6+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx"
    trust.write_text(
        f'{{"v":"sealgate.trust/1","origin":"a.example","broker_ca":"x","log_keys":["{key}"],"tenant":"t","simulated":true}}'
    )
    where = ["--trust", str(trust), "--broker", "127.0.0.1:1"]
    commands = {
        "keys": ["keys", "get", *where, "--purpose", "p", "--asset", "tenants/t/assets/a", "--dir", str(tmp_path)],
        "explain": ["explain", "00", *where, "--key", str(trust), "--cert", str(trust)],
        "audit": ["audit", "verify", str(tmp_path), "--trust", str(trust)],
    }
    for name, command in commands.items():
        assert main(command, Doors(now=datetime.now(UTC))) == 4, name
        assert "simulated" in capsys.readouterr().err, name


def test_the_table_of_attacks_names_tests_that_exist() -> None:
    table = (ROOT / "docs" / "log.md").read_text("utf-8").partition("## Attacks")[2]
    named = set(re.findall(r"`(tests/[\w/]+\.py)`", table))
    assert len(named) > 8
    assert [path for path in sorted(named) if not (ROOT / path).is_file()] == []
    numbers = {int(n) for row in re.findall(r"^\| ([\d, to]+) \|", table, re.M) for n in _numbers(row)}
    assert numbers == set(range(1, 37))


def _numbers(row: str) -> list[int]:
    found: list[int] = []
    for part in row.split(","):
        first, _, last = part.partition(" to ")
        found += range(int(first), int(last or first) + 1)
    return found


def test_cases_that_were_not_run_are_counted() -> None:
    reasons = [f"Skipped: {absent(3)}", f"Skipped: {absent(40)}", "Skipped: SEALGATE_AGE names no age"]
    assert not_run(reasons) == 43
