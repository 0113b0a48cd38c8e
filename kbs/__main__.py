"""`sealgate-broker`: the edge where the clock is read."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from kbs.serve.commands import Doors, main

__all__ = ["run"]


def run() -> None:
    """The entry point."""
    doors = Doors(clock=lambda: time.time_ns() // 1_000_000, say=_say, credentials=_credentials())
    sys.exit(main(sys.argv[1:], doors))


def _credentials() -> Path | None:
    """Where systemd put the unit's credentials. It is read only if the configuration names one."""
    named = os.environ.get("CREDENTIALS_DIRECTORY")
    return Path(named) if named else None


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    run()
