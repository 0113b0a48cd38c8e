"""Brokers in processes of their own that begin with everything imported.

One process imports, and does nothing else; each broker is forked from it, before anything of its own has begun. Then a
broker costs what it does, not the second that its imports take.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from deploy.demo.stage import Ports
from tests.flow.crash_broker import run

__all__ = ["PATIENCE_S", "broker"]

PATIENCE_S = 60
_FORKED = multiprocessing.get_context("forkserver")
_FORKED.set_forkserver_preload(["tests.flow.nursery"])


@contextmanager
def broker(directory: Path, point: str = "") -> Iterator[tuple[Ports, ForkServerProcess]]:
    """Where it listens, and its process. It serves the site in `directory`, until it reaches `point`, if any.

    What it logs is in `broker.err` there.
    """
    life, ours = _FORKED.Pipe(duplex=False)
    told, tells = _FORKED.Pipe(duplex=False)
    process = _FORKED.Process(target=_begin, args=(directory, point, life, tells), daemon=True)
    process.start()
    life.close()
    tells.close()
    try:
        with open(told.fileno(), closefd=False) as lines:
            ports = Ports(**json.loads(lines.readline()))
        yield ports, process
    finally:
        process.terminate()
        process.join(PATIENCE_S)
        assert process.exitcode in {0, -signal.SIGKILL}, f"the broker ended with {process.exitcode}"
        ours.close()
        told.close()


def _begin(directory: Path, point: str, life: Connection, tells: Connection) -> None:
    """In the new process: what a broker reads and writes is where a shell would have put it."""
    os.dup2(life.fileno(), 0)
    os.dup2(tells.fileno(), 1)
    tells.close()
    with (directory / "broker.err").open("w") as errors:
        os.dup2(errors.fileno(), 2)
    sys.stdin, sys.stdout = open(0), open(1, "w")  # noqa: SIM115  # for as long as it lives
    run(directory, point)
