"""docs/tdx.md names every check that the room can raise or find, and its examples can be read."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import attest.tdx
from attest.profile import Profile
from attest.tdx.profile import TdxProfile

PAGE = (Path(__file__).resolve().parents[3] / "docs/tdx.md").read_text(encoding="utf-8")
ROOM = Path(attest.tdx.__file__).parent
CHECK = re.compile(r"(QUOTE|QE|QEID|PCK|TCBINFO|TCB|TD|TDX|SGX|CRL|CERT|COLLATERAL|JSON|ATT|TEE)_[A-Z_]+")
# What passes whenever anything does; what a file of the command line is refused with; the name of an enclave.
ELSEWHERE = {"QUOTE_FORMAT", "COLLATERAL_FORMAT", "TD_QE"}


def _named() -> set[str]:
    """Every text in the room's code that has the form of a check's name."""
    found: set[str] = set()
    for module in ROOM.glob("*.py"):
        tree = ast.parse(module.read_text(encoding="utf-8"))
        exported = {
            id(inner)
            for node in tree.body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
            for inner in ast.walk(node)
        }
        for node in ast.walk(tree):
            if id(node) in exported:
                continue
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and CHECK.fullmatch(node.value):
                found.add(node.value)
    return found - ELSEWHERE


def test_every_check_is_on_the_page() -> None:
    assert _named() > {"QUOTE_SIGNATURE", "TCB_NOT_SUPPORTED"}
    assert {name for name in _named() if f"`{name}`" not in PAGE} == set()


def test_every_key_of_a_profile_is_on_the_page() -> None:
    fields = set(TdxProfile.__dataclass_fields__) - {"rtmr1", "rtmr2"}
    assert {name for name in fields if f"`{name}`" not in PAGE} == set()


def test_examples_are_read() -> None:
    profile, grace = (json.loads(text) for text in re.findall(r"```json\n(.*?)\n```", PAGE))
    assert Profile.parse(profile).tdx is not None
    assert TdxProfile.parse({"grace": [grace]}).grace[0].owner == "platform-team"
