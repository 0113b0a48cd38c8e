"""No environment variable changes what the broker does: nobody reads the environment but the edge, for one thing."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
NAMES = {"environ", "environb", "getenv", "getenvb", "expandvars"}


def _reads(package: str) -> Iterator[str]:
    for module in sorted((ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(module.read_text())):
            name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
            if name in NAMES:
                yield module.relative_to(ROOT).as_posix()


def test_the_environment_says_where_credentials_are_and_nothing_else() -> None:
    assert set(_reads("kbs")) == {"kbs/__main__.py"}
    text = (ROOT / "kbs/__main__.py").read_text()
    assert text.count("environ") == 1
    assert 'os.environ.get("CREDENTIALS_DIRECTORY")' in text
