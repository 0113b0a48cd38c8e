"""A broker that dies, as by kill -9, when it reaches a point for the nth time: ... crash_broker DIR POINT [N]"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import uvloop

from deploy.demo.broker import serve_directory
from tests.makers.site import unslowed


def run(directory: Path, wanted: str, left: int = 1) -> None:
    """Serves until it dies, or, where no point is wanted, until it is told to end."""
    armed = False

    def die(point: str, /) -> None:
        # Points count from the first release on: the start of a broker commits an entry of its own.
        nonlocal left, armed
        armed = armed or point == "challenged"
        if armed and point == wanted:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    uvloop.run(serve_directory(directory, faults=die, repeats=unslowed()))


if __name__ == "__main__":
    run(Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:]))
