"""No environment variable changes what the broker does: nobody reads the environment but the edge, for one thing."""

from __future__ import annotations

import ast
import subprocess
import sys
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


def test_grpc_is_told_nothing_by_the_environment_either() -> None:
    """It reads variables by itself, and one of them has it print messages; the workers go the same way."""
    command = (
        "import kbs.serve.commands, os, kbs.__main__ as edge\n"
        "kbs.serve.commands.main = lambda *_: os.system('echo $GRPC_VERBOSITY $GRPC_TRACE') and 0\n"
        "edge.run()"
    )
    given = {"GRPC_VERBOSITY": "DEBUG", "GRPC_TRACE": "all", "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", command], cwd=ROOT, env=given, capture_output=True, check=True)
    assert done.stdout == b"ERROR\n"
