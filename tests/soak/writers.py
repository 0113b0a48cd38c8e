"""Many processes write one log at once: contiguous, one root, every chain whole, every challenge used once.

Attack 36 of facts/log.md, section 3, on SQLite: each process has its own door, thread and connection, as the workers
of a broker have. A tenth of the challenges is everybody's; whoever comes first has the entry. Each process keeps what
its commits were told of the tree; all of it must lie on the one log that is recomputed from the leaves.
`python -m tests.soak.writers 8 100000`
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from attest.tlog.entry import check_place, parse_leaf
from attest.tlog.merkle import Frontier, extend, leaf_hash
from kbs.model.unit import AlreadyUsed, Committed
from kbs.store.errors import StoreUnavailable
from tests.kbs.store.opened import ORIGIN, challenge, make_store, opened, unit

__all__ = ["Written", "write_together"]

_WAITING = 512  # units of one process that wait at any moment
_CONTESTED = 10  # every tenth challenge is the same in all processes
_STEP = 4_096


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What all processes wrote, in how many seconds by the clock, and what is wrong with it."""

    entries: int
    batches: int
    refused: int
    seconds: float
    wrongs: tuple[str, ...]


def write_together(processes: int, each: int) -> Written:
    """`processes` at once, with `each` units each."""
    with tempfile.TemporaryDirectory(prefix="sealgate-writers-") as name:
        path = make_store(Path(name) / "store.db")
        started = time.monotonic()
        command = [sys.executable, "-m", "tests.soak.writers", "--one", str(path), str(each)]
        running = [
            subprocess.Popen([*command, str(number)], stdout=subprocess.PIPE, text=True) for number in range(processes)
        ]
        told = [
            json.loads(process.communicate()[0] or '{"written": 0, "refused": 0, "trees": {}}') for process in running
        ]
        seconds = time.monotonic() - started
        wrongs = [f"a process ended with {p.returncode}" for p in running if p.returncode]
        entries = processes * (each - each // _CONTESTED) + each // _CONTESTED
        if sum(one["written"] for one in told) != entries:
            wrongs.append(f"{[one['written'] for one in told]} were written, {entries} expected")
        batches, more = _recompute(path, entries, [one["trees"] for one in told])
        return Written(
            entries=entries,
            batches=batches,
            refused=sum(one["refused"] for one in told),
            seconds=seconds,
            wrongs=(*wrongs, *more),
        )


def _recompute(path: Path, entries: int, trees: list[dict[str, str]]) -> tuple[int, list[str]]:
    """The number of batches, and what in the store or in anybody's answers is not of one log."""
    connection = sqlite3.connect(path)
    try:
        roots = dict(connection.execute("SELECT size, root FROM log_root").fetchall())
        expected = {size: root.hex() for size, root in roots.items()}
        wrongs = [
            f"a process was told another tree at {size}"
            for one in trees
            for size, root in one.items()
            if expected.get(int(size)) != root
        ]
        frontier, chains, uses = Frontier(), dict[str, tuple[int, int]](), set[str]()
        for index, leaf in connection.execute("SELECT idx, leaf FROM log_entry ORDER BY idx"):
            parsed = parse_leaf(leaf)
            check_place(parsed.header, ORIGIN, frontier.size)
            if index != frontier.size:
                wrongs.append(f"entry {frontier.size} is missing")
            for link in parsed.header.chains:
                before = chains.get(link.asset)
                if (link.prev, link.seq) != ((before[0], before[1] + 1) if before else (None, 1)):
                    wrongs.append(f"the chain of {link.asset} breaks at {index}")
                chains[link.asset] = (index, link.seq)
            uses.add(str(parsed.body["name"]))
            frontier = extend(frontier, [leaf_hash(leaf)]).frontier
            if frontier.size in roots and roots[frontier.size] != frontier.root():
                wrongs.append(f"the root at {frontier.size} is not that of the entries")
        if frontier.size != entries or len(uses) != entries:
            wrongs.append(f"{frontier.size} entries under {len(uses)} names, {entries} expected")
        [(size, root)] = connection.execute("SELECT size, root FROM log_head").fetchall()
        if (size, root) != (frontier.size, frontier.root()):
            wrongs.append("the head is not the log's")
        stored = connection.execute("SELECT chain, idx, seq FROM chain_head").fetchall()
        if {chain: (idx, seq) for chain, idx, seq in stored} != chains:
            wrongs.append("the heads of the chains are not the log's")
        used = connection.execute("SELECT count(*), count(DISTINCT idx) FROM challenge_used").fetchone()
        if used != (entries, entries):
            wrongs.append(f"{used} challenges and entries of them, {entries} expected")
        return len(roots), wrongs
    finally:
        connection.close()


async def _write(path: Path, each: int, number: int) -> dict[str, object]:
    """One process. A store that is busy is asked again with the same challenge, as a client does."""
    written, refused, trees = 0, 0, dict[int, str]()
    free = asyncio.Semaphore(_WAITING)

    async def one(n: int) -> None:
        nonlocal written, refused
        name = f"all-{n}" if n % _CONTESTED == 0 else f"{number}-{n}"
        ours = b"%d" % number
        made = unit(name, f"asset-{n % 7}", challenge=challenge(name, bound=ours))
        async with free:
            while True:
                try:
                    [outcome] = await door.commit([made])
                except StoreUnavailable:
                    refused += 1
                    continue
                break
        if isinstance(outcome, Committed):
            written += 1
            trees[outcome.place.size] = outcome.place.root.hex()
        elif not isinstance(outcome, AlreadyUsed):
            raise TypeError(f"{outcome}")
        elif outcome.stored.bound == ours:  # committed, and the answer was lost
            written += 1

    with opened(path) as door:
        for first in range(0, each, _STEP):
            await asyncio.gather(*(one(n) for n in range(first, min(first + _STEP, each))))
    return {"written": written, "refused": refused, "trees": trees}


def main(arguments: list[str]) -> int:
    """One writer, or all of them."""
    if arguments[0] == "--one":
        path, each, number = arguments[1:]
        print(json.dumps(asyncio.run(_write(Path(path), int(each), int(number)))))
        return 0
    found = write_together(int(arguments[0]), int(arguments[1]))
    rate = found.entries / found.seconds
    print(f"{found.entries} entries in {found.batches} batches, {rate:.0f} per second; wrong: {found.wrongs[:5]}")
    return bool(found.wrongs)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
