"""What every demonstration stands on: the broker's process, commands that are shown, run and checked."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from clients.cli.main import Doors, main
from tests.makers.site import ASSET, PURPOSE

__all__ = [
    "MEMORY",
    "DemoFailed",
    "Ports",
    "broker",
    "command",
    "edit",
    "get",
    "here",
    "node",
    "operator",
    "say",
    "sealgate",
    "step",
    "ticket",
]

MEMORY = Path("/dev/shm")  # keys are written to memory alone


class DemoFailed(Exception):
    """A step did not do what the demonstration says it does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where the broker listens on loopback."""

    workload: int
    people: int


@contextmanager
def broker(directory: Path) -> Iterator[Ports]:
    """The broker in a process of its own, until the block ends."""
    words = [sys.executable, "-m", "deploy.demo.broker", str(directory)]
    with (
        (directory / "broker.err").open("w") as errors,
        subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        try:
            yield _ports(process.stdout)
        finally:
            process.terminate()
            if process.wait(timeout=20) != 0:
                raise DemoFailed(f"the broker ended with code {process.returncode}")


def _ports(stdout: IO[str] | None) -> Ports:
    line = stdout.readline() if stdout else ""
    if not line:
        raise DemoFailed("the broker did not start")
    return Ports(**json.loads(line))


def get(directory: Path, ports: Ports, keys: Path, *, trust: str = "trust.json") -> list[str]:
    """The arguments with which a node asks for the demo's key."""
    where = ["--trust", str(directory / trust), "--broker", f"127.0.0.1:{ports.workload}"]
    disk = [] if keys.is_relative_to(MEMORY) else ["--unsafe-write-keys-to-disk"]
    return ["keys", "get", *where, "--purpose", PURPOSE, "--asset", ASSET, "--dir", str(keys), *disk]


def operator(directory: Path, ports: Ports) -> list[str]:
    """The arguments with which a person is the demo's operator."""
    identity = ["--key", str(directory / "operator.key"), "--cert", str(directory / "operator.pem")]
    return ["--trust", str(directory / "trust.json"), "--broker", f"127.0.0.1:{ports.people}", *identity]


def node(directory: Path, measurement: bytes, *arguments: str, code: int = 0) -> str:
    """One `sealgate` command on a simulated node, shown with what it printed. It must end with `code`."""
    command(directory, arguments)
    printed = sealgate("deploy.demo.node", str(directory), measurement.hex(), *arguments, code=code)
    for line in printed.splitlines():
        print(f"    {line}")
    return printed


def here(directory: Path, arguments: Sequence[str], doors: Doors, *, code: int = 0) -> str:
    """One `sealgate` command in this process, through these doors, shown with what it printed. It must end so."""
    command(directory, arguments)
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        ended = main(arguments, doors)
    for line in output.getvalue().splitlines():
        print(f"    {line}")
    if ended != code:
        raise DemoFailed(f"`sealgate {arguments[0]}` ended with code {ended}, expected {code}")
    return output.getvalue()


def sealgate(module: str, first: str, second: str, *arguments: str, code: int = 0) -> str:
    """What a simulated machine's command printed, without its being shown. It must end with `code`."""
    words = [sys.executable, "-m", module, first, second, *arguments]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    printed = (done.stdout + done.stderr).strip()
    if done.returncode != code:
        raise DemoFailed(f"`sealgate {arguments[0]}` ended with code {done.returncode}, expected {code}: {printed}")
    return printed


def command(directory: Path, arguments: Sequence[str]) -> None:
    """Shows the command as a person would type it: file names without their folder."""
    short = [a.removeprefix(f"{directory}/") for a in arguments]
    print(f"  $ sealgate {' '.join(short)}", flush=True)


def ticket(refused: str) -> str:
    """The ticket in what a refused node printed."""
    match = re.search(r"Ticket: ([0-9a-f]{32})", refused)
    if match is None:
        raise DemoFailed(f"the refusal has no ticket: {refused}")
    return match[1]


def edit(log: Path, copy: Path) -> Path:
    """A copy of a published log in which one byte of one entry is another."""
    shutil.copytree(log, copy)
    bundles = [path for path in (copy / "tile" / "entries").rglob("*") if path.is_file()]
    bundle = max(bundles, key=lambda path: path.stat().st_size)  # smaller ones are of earlier, smaller trees
    data = bytearray(bundle.read_bytes())
    data[len(data) // 2] ^= 1
    bundle.write_bytes(data)
    return copy


def step(title: str) -> None:
    """A headline."""
    print(f"\n== {title}", flush=True)


def say(text: str) -> None:
    """A line."""
    print(f"  {text}", flush=True)
