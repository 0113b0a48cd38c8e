"""The `sealgate-broker` command of a simulated deployment: the real one, handed other roots in code.

What it makes says *simulated* from its first entry on. The ordinary command serves none of it, and this one serves
nothing that is real, nor anywhere but on loopback.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kbs.serve.commands import Doors, main
from kbs.serve.wiring import wall_clock
from tests.makers import amd

__all__ = ["run"]


def run(directory: Path, program: Path, arguments: Sequence[str]) -> int:
    """One command under the throwaway AMD in `directory`; `program` is the file that runs it, and its children."""
    anchors = amd.anchors_of("Milan", (directory / "vendor" / "ark.der").read_bytes())
    return main(arguments, Doors(clock=wall_clock, say=_say, anchors=anchors, program=("-I", str(program))))


def _say(text: str) -> None:
    print(text, flush=True)
