"""What the tests of operations share: an attempt to get a key over the handler, and raw looks at a store."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attest.errors import AttestError
from kbs.model.refusal import Refused
from kbs.rpc.handler import Call
from kbs.rpc.key_release import methods
from kbs.serve.commands import Doors, main
from kbs.serve.wiring import Running
from tests.makers.site import SimulatedSite
from tests.makers.workload import wire_request

NOW = 1_790_000_000_000
GRANTED = "granted"


class Clock:
    """ms since 1970, as told."""

    def __init__(self, now: int) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


def request(site: SimulatedSite, running: Running) -> bytes:
    """A request for the site's key as it goes over the wire, under a challenge of now."""
    challenge = running.broker.challenges.issue(running.broker.clock(), os.urandom(16))
    return wire_request(site.chip, challenge)


async def ask(site: SimulatedSite, running: Running, data: bytes = b"") -> str:
    """Asks for the key, by default anew: `granted`, or the reason that the caller is told."""
    data = data or request(site, running)
    call: Any = object.__new__(Call)
    try:
        await methods(running.broker, running.receipts)["ReleaseKeys"](data, call)
    except Refused as error:
        return error.reason
    except AttestError as error:
        return error.check
    return GRANTED


def rows(path: Path, statement: str, *parameters: object) -> list[Any]:
    """What a connection of its own reads; writes, too."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return connection.execute(statement, parameters).fetchall()


def counts(path: Path) -> tuple[int, int, int]:
    """(entries, used challenges with their replies, leases): what a release leaves behind."""
    [found] = rows(
        path,
        "SELECT (SELECT count(*) FROM log_entry), (SELECT count(*) FROM challenge_used), (SELECT count(*) FROM lease)",
    )
    return (found[0], found[1], found[2])


def copy_into(source: Path, target: Path) -> None:
    """Page by page, through SQLite, also over a store that is open."""
    with closing(sqlite3.connect(source)) as a, closing(sqlite3.connect(target)) as b:
        a.backup(b)


def drop_triggers(path: Path) -> list[str]:
    """Takes the append-only triggers away, and returns what makes them again."""
    found = rows(path, "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'")
    for name, _ in found:
        rows(path, f"DROP TRIGGER {name}")
    return [text for _, text in found]


def tamper(path: Path, *statements: str) -> None:
    """Changes a store as somebody with the file can, and leaves no other trace."""
    triggers = drop_triggers(path)
    for statement in (*statements, *triggers):
        rows(path, statement)


@dataclass(frozen=True, kw_only=True)
class Ran:
    """How a command went."""

    code: int
    out: str


def command(*arguments: object, **doors: Any) -> Ran:
    """Runs `sealgate-broker` in this process."""
    said: list[str] = []
    clock = doors.pop("clock", Clock(NOW))
    code = main([str(each) for each in arguments], Doors(clock=clock, say=said.append, **doors))
    return Ran(code=code, out="\n".join(said))
