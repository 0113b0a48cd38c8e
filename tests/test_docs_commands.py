"""Commands, options, paths, metrics and schemas that the documents name are there."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from clients.cli.main import full_parser
from kbs.serve import commands
from kbs.serve.metrics import Meters
from kbs.store.schema import SCHEMA_VERSION

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "deploy").glob("*/README.md")),
]
PROGRAMS = {"sealgate": full_parser(), "sealgate-broker": commands._parser()}


def _blocks(text: str) -> Iterator[str]:
    """The lines of code blocks, joined where a line goes on."""
    fenced = re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    indented = re.findall(r"(?:^    .*\n)+", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE), re.M)
    for block in (*fenced, *indented):
        yield from (line.strip() for line in block.replace("\\\n", " ").splitlines())


def _commands(page: Path) -> Iterator[tuple[str, bool]]:
    """Every command of ours, and whether it is written out in a block."""
    text = page.read_text(encoding="utf-8")
    for told in _blocks(text):
        line = re.sub(r"^\.venv/bin/", "", re.split(r"\s{2,}(?=[a-z])|\s#|\s[|&<>]", told)[0])
        if re.match(r"sealgate(-broker)? ", line):
            yield " ".join(line.split()), "..." not in line and not re.search(r"[\[|]", line)
    for code in re.findall(r"(?<!`)`([^`]+)`(?!`)", text):
        if re.match(r"sealgate(-broker)? [a-z]", code) and "|" not in code.split("--")[0]:
            yield " ".join(code.split()), False


COMMANDS = sorted({(page.name, *found) for page in PAGES for found in _commands(page)})


def _leaf(parser: argparse.ArgumentParser, words: list[str]) -> argparse.ArgumentParser:
    """The parser of the deepest verb."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction) and words and not words[0].startswith(("-", ".")):
            if words[0].isupper():
                return parser
            assert words[0] in action.choices, f"there is no {words[0]}"
            return _leaf(action.choices[words[0]], words[1:])
    return parser


def test_the_pages_have_commands() -> None:
    assert len(COMMANDS) > 100
    assert sum(whole for _, _, whole in COMMANDS) > 40


@pytest.mark.parametrize(("page", "line", "whole"), COMMANDS)
def test_every_command_of_the_documents_is_one(page: str, line: str, whole: bool) -> None:
    program, *words = shlex.split(re.sub(r"[\[\]]", "", line))
    parser = PROGRAMS[program]
    leaf = _leaf(parser, words)
    for word in words:
        if re.match(r"--[a-z]", word):
            assert word.split("=")[0] in leaf._option_string_actions, f"{page}: {line}: there is no {word}"
    if whole:
        try:
            parser.parse_args([word for word in words if word != "[...]"])
        except SystemExit:
            pytest.fail(f"{page}: does not parse: {line}")


def test_every_path_that_the_documents_name_is_there() -> None:
    tops = "|".join(("attest", "clients", "kbs", "proto", "tests", "deploy", "docs", "requirements"))
    for page in PAGES:
        for path in re.findall(rf"`((?:{tops})/[\w./-]+)`", page.read_text(encoding="utf-8")):
            assert (ROOT / path).exists(), f"{page.name}: {path}"


def test_every_metric_that_the_documents_name_is_exported() -> None:
    told = {sample.name for family in Meters().registry.collect() for sample in family.samples}
    told |= {family.name for family in Meters().registry.collect()} | {"sealgate_worker_up"}
    named = {name for page in PAGES for name in re.findall(r"`[^`]*?\b(sealgate_(?!verify)[a-z_]+)", page.read_text())}
    assert len(named) > 5
    assert {name for name in named if name not in told and name.removesuffix("_total") not in told} == set()


def test_every_schema_has_its_row() -> None:
    table = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8").partition("| schema |")[2]
    rows = re.findall(r"^\| (\d+) \|", table.partition("\n\n")[0], re.MULTILINE)
    assert [int(row) for row in rows] == list(range(1, SCHEMA_VERSION + 1))
