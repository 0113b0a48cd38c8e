"""The Python of docs/workload.md runs, on a set that is made for it."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from clients.cli.main import Doors, main
from clients.workload.age_recipient import KeyPair

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "workload.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_page_has_both_ways() -> None:
    assert len(BLOCKS) == 2


@pytest.mark.parametrize("block", BLOCKS)
def test_the_examples_run(block: str, tmp_path: Path) -> None:
    pair = KeyPair.generate(bytes(32))
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / "000.tar").write_bytes(bytes(10_240))
    (tmp_path / "model.safetensors").write_bytes(bytes(100))
    (tmp_path / "llm.pub").write_text(pair.recipient.text())
    (tmp_path / "llm.key").write_bytes(pair.seed)
    sources = [str(tmp_path / "shards"), str(tmp_path / "model.safetensors")]
    where = [
        "--out",
        str(tmp_path / "sealed"),
        "--recipient",
        str(tmp_path / "llm.pub"),
        "--state",
        str(tmp_path / "s"),
    ]
    arguments = ["seal", "--asset", "tenants/acme/assets/llm", *where, *sources]
    assert main(arguments, Doors(now=datetime(2026, 6, 1, tzinfo=UTC))) == 0
    (tmp_path / "llm.content").write_text(
        hashlib.sha256((tmp_path / "sealed" / "manifest.json").read_bytes()).hexdigest()
    )
    code = block.replace("/run/sealgate-keys", str(tmp_path)).replace('"sealed"', repr(str(tmp_path / "sealed")))
    exec(compile(code, "docs/workload.md", "exec"), {})
