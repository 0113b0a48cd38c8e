"""Where the captured evidence and the public test vectors are.

They are large and carry the licences of others, so they are not in this repository: `SEALGATE_VECTORS` names the
folder, else `../shared/vectors` beside it is looked for. Tests that need them skip and say how many cases that leaves
out.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

__all__ = ["VECTORS", "absent", "manifest", "needs_vectors", "not_run", "vectors"]

_CASES = re.compile(r"no vectors .*: (\d+) cases not run$")

_BESIDE = Path(__file__).resolve().parents[2] / "shared" / "vectors"


@cache
def vectors() -> Path | None:
    """The folder of vectors, or None. A folder that was named but does not exist is an error, not an absence."""
    named = os.environ.get("SEALGATE_VECTORS")
    if named is not None:
        folder = Path(named)
        if not folder.is_dir():
            raise FileNotFoundError(f"SEALGATE_VECTORS={named} is not a directory")
        return folder
    return _BESIDE if _BESIDE.is_dir() else None


VECTORS: Path | None = vectors()


@cache
def manifest() -> dict[str, dict[str, Any]]:
    """The entries of MANIFEST.json by path; empty when there are no vectors."""
    if VECTORS is None:
        return {}
    entries = json.loads((VECTORS / "MANIFEST.json").read_bytes())["entries"]
    return {entry["path"]: entry for entry in entries}


def absent(cases: int) -> str:
    """The reason given by a test that skips because the vectors are not here."""
    return f"no vectors (SEALGATE_VECTORS is unset and {_BESIDE} does not exist): {cases} cases not run"


def not_run(reasons: Iterable[str]) -> int:
    """How many cases these reasons for skipping leave out."""
    return sum(int(found[1]) for found in map(_CASES.search, reasons) if found)


def needs_vectors(cases: int) -> pytest.MarkDecorator:
    """A mark that skips when the vectors are absent and says how many cases that leaves out."""
    return pytest.mark.skipif(VECTORS is None, reason=absent(cases))
