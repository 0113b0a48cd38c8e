"""docs/snp.md names every check that the room can raise or find and every key of a profile; its example is read."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import attest.snp
from attest.profile import Profile
from attest.snp.profile import PLATFORM_BITS, RESTRICTIONS, SnpProfile

PAGE = (Path(__file__).resolve().parents[3] / "docs/snp.md").read_text(encoding="utf-8")
ROOM = Path(attest.snp.__file__).parent
CHECK = re.compile(r"(SNP|VEK|CHAIN|CERT|CRL|CHIP|PRODUCT|TCB|FW|POLICY|PLATFORM|MITIGATION)_[A-Z_]+")
# What passes whenever anything does; a table's name.
ELSEWHERE = {"SNP_FORMAT", "PLATFORM_BITS"}


def _named() -> set[str]:
    """Every text in the room's code that has the form of a check's name."""
    trees = (ast.parse(module.read_text(encoding="utf-8")) for module in ROOM.glob("*.py"))
    nodes = (node for tree in trees for node in ast.walk(tree))
    texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return {text for text in texts if CHECK.fullmatch(text)} - ELSEWHERE


def test_every_check_is_on_the_page() -> None:
    composed = {f"POLICY_{name.upper()}" for name in (*RESTRICTIONS, "smt", "cxl")} | set(PLATFORM_BITS.values())
    named = _named() | composed
    assert named > {"SNP_SIGNATURE", "TCB_BELOW_MIN"}
    assert {name for name in named if f"`{name}`" not in PAGE} == set()


def test_every_key_of_a_profile_is_on_the_page() -> None:
    names = {*SnpProfile.__dataclass_fields__, *RESTRICTIONS, *PLATFORM_BITS}
    assert {name for name in names if f"`{name}`" not in PAGE} == set()


def test_the_example_is_read() -> None:
    [text] = re.findall(r"```json\n(.*?)\n```", PAGE)
    assert Profile.parse(json.loads(text)).snp is not None
