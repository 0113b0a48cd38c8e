"""A broker that dies, as by kill -9, the first time it reaches a point: python -m tests.flow.crash_broker DIR POINT"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import uvloop

from deploy.demo.broker import serve_directory


def main() -> None:
    directory, wanted = Path(sys.argv[1]), sys.argv[2]

    def die(point: str, /) -> None:
        # The point counts from the first release on: the start of a broker commits an entry of its own.
        if point == "after-wrap":
            armed.append(point)
        if point == wanted and armed:
            os.kill(os.getpid(), signal.SIGKILL)

    armed: list[str] = []
    uvloop.run(serve_directory(directory, faults=die))


if __name__ == "__main__":
    main()
