"""`attest` has no world: what its modules may import is a list, and clocks and prints are not among their calls."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import attest

ROOT = Path(attest.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))
STANDARD = {
    "__future__", "base64", "binascii", "collections", "contextlib", "dataclasses", "datetime", "enum", "functools",
    "hashlib", "itertools", "json", "math", "operator", "re", "struct", "typing", "unicodedata", "warnings",
}  # fmt: skip
THIRD_PARTY = {"cryptography"}
ELSEWHERE = {"awscrt": {"ecdsa.py"}, "lxml": {"gpu/rim_xml.py"}}
CALLS = {"open", "print", "input", "eval", "exec", "compile", "globals", "__import__", "breakpoint"}
CLOCKS = {"now", "utcnow", "today", "fromtimestamp"}


def _imported(tree: ast.AST) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names.add(node.module or "")
    return names


def test_there_are_modules() -> None:
    assert len(MODULES) > 20


@pytest.mark.parametrize("module", MODULES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_imports_are_on_the_list(module: Path) -> None:
    own = module.relative_to(ROOT).as_posix()
    allowed = STANDARD | THIRD_PARTY | {"attest"} | {name for name, files in ELSEWHERE.items() if own in files}
    found = _imported(ast.parse(module.read_text()))
    assert {name.split(".")[0] for name in found} <= allowed
    assert "cryptography.x509.verification" not in found


@pytest.mark.parametrize("module", MODULES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_nothing_reads_a_clock_or_keeps_state(module: Path) -> None:
    tree = ast.parse(module.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            function = node.func
            assert not (isinstance(function, ast.Name) and function.id in CALLS), ast.unparse(node)
            assert not (isinstance(function, ast.Attribute) and function.attr in CLOCKS), ast.unparse(node)
        assert not isinstance(node, (ast.Global, ast.Assert)), ast.unparse(node)
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            assert not any("cache" in ast.unparse(decorator) for decorator in node.decorator_list), node.name
