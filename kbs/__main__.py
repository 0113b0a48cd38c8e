"""`sealgate-broker`: the edge where the clock is read."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

__all__ = ["run"]

if sys.version_info < (3, 11):  # noqa: UP036  # a clone may be run with whatever python3 is
    sys.exit(
        "sealgate-broker: it needs Python 3.11 or later; this is %d.%d. Make a place for it with a newer one: "  # noqa: UP031
        "make PYTHON=python3.12 .venv/run.stamp" % tuple(sys.version_info[:2])
    )
_REMEDY = "Make one: python3 -m venv DIR, then DIR/bin/pip install 'sealgate[server]'; in a clone: make .venv/run.stamp"


def run() -> None:
    """The entry point. What the server's extra would have brought and is not there is a sentence."""
    os.putenv("GRPC_VERBOSITY", "ERROR")  # gRPC reads it: strangers' failed handshakes are not lines of our log
    os.unsetenv("GRPC_TRACE")  # it would print messages
    try:
        from kbs.serve.commands import Doors, main  # noqa: PLC0415

        doors = Doors(clock=lambda: time.time_ns() // 1_000_000, say=_say, credentials=_credentials())
        code = main(sys.argv[1:], doors)
        _let_go()
        sys.exit(code)
    except ModuleNotFoundError as error:
        name = (error.name or "of some name").partition(".")[0]
        sys.stderr.write(f"sealgate-broker: the package {name} is not installed in {sys.prefix}. {_REMEDY}\n")
        sys.exit(2)


def _credentials() -> Path | None:
    """Where systemd put the unit's credentials. It is read only if the configuration names one."""
    named = os.environ.get("CREDENTIALS_DIRECTORY")
    return Path(named) if named else None


def _say(text: str) -> None:
    if sys.stdout is None:  # it was closed before the start
        return
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _let_go() -> None:
    """What could not be written is not tried again by the interpreter, which would say so in words of its own."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    run()
