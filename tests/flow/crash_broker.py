"""A broker that dies, as by kill -9, when it reaches a point for the nth time: ... crash_broker DIR POINT [N]"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import uvloop

from deploy.demo.broker import serve_directory
from tests.makers.site import unslowed


def main() -> None:
    directory, wanted = Path(sys.argv[1]), sys.argv[2]
    left = int(sys.argv[3]) if len(sys.argv) > 3 else 1
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
    main()
