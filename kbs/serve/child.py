"""What a supervisor and a process of its own say to each other: two inherited pipes.

Down goes one line, with the root key where it is needed, and then nothing: the pipe stays open as long as the
supervisor lives, so that its end is the end of the child, too. Up comes one line, when the child serves.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kbs.custody.root import HeldRoot
from kbs.custody.secret import Secret

__all__ = ["Handoff", "announce", "receive", "watch_life"]

_MAX_LINE = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Handoff:
    """What a worker starts from: the configuration's own bytes, the root key, its number, the ports all share."""

    raw: bytes
    path: Path
    root: HeldRoot
    index: int
    workload_port: int
    people_port: int

    def line(self) -> bytes:
        """As it goes down the pipe, and nowhere else."""
        document = {
            "config": self.raw.decode("utf-8"),
            "path": str(self.path),
            "root": self.root.key.reveal().hex(),
            "index": self.index,
            "ports": [self.workload_port, self.people_port],
        }
        return json.dumps(document).encode() + b"\n"


def receive(descriptor: int) -> Handoff:
    """Reads the line; the descriptor stays open. Raises ValueError if the supervisor is gone."""
    data = _line(descriptor)
    document = json.loads(data)
    return Handoff(
        raw=document["config"].encode("utf-8"),
        path=Path(document["path"]),
        root=HeldRoot(Secret(bytes.fromhex(document["root"]))),
        index=document["index"],
        workload_port=document["ports"][0],
        people_port=document["ports"][1],
    )


def announce(descriptor: int, document: dict[str, object]) -> None:
    """Says, once, that the process serves, and where."""
    os.write(descriptor, json.dumps(document).encode() + b"\n")
    os.close(descriptor)


def watch_life(descriptor: int, stop: Callable[[], object]) -> None:
    """Calls `stop` when the supervisor is gone."""
    loop = asyncio.get_running_loop()

    def ended() -> None:
        if not os.read(descriptor, 1):
            loop.remove_reader(descriptor)
            stop()

    loop.add_reader(descriptor, ended)


def _line(descriptor: int) -> bytes:
    data = b""
    while not data.endswith(b"\n"):
        piece = os.read(descriptor, 1 << 16)
        if not piece or len(data) > _MAX_LINE:
            raise ValueError("the supervisor ended before it said what to do")
        data += piece
    return data
