"""`sealgate-broker`: the edge where the clock is read."""

from __future__ import annotations

import sys
import time

from kbs.serve.commands import Doors, main

__all__ = ["run"]


def run() -> None:
    """The entry point."""
    sys.exit(main(sys.argv[1:], Doors(clock=lambda: time.time_ns() // 1_000_000, say=_say)))


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    run()
