"""The one write door on SQLite: one thread, one transaction for all units that wait, one fsync.

Group commit without a timer: while a batch is being written the next one gathers. A unit that cannot be written alone
does not take its neighbours with it: if a batch fails it is tried again in halves, until that unit is alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from attest.errors import AttestError
from kbs.model.log import LogHead, Place
from kbs.model.unit import Committed, Outcome, Unit, Unwritten, Verdict
from kbs.store import statements as sql
from kbs.store.connect import SHARD, open_writer
from kbs.store.errors import LogFrozen, StoreUnavailable
from kbs.store.freeze import Mark, Point
from kbs.store.judge import Written, judge, write
from kbs.store.ledger import Ledger
from kbs.store.port import Clock, Faults, Sequencer, no_fault
from kbs.store.writer import Connect, Writer

__all__ = ["WriteDoor"]

_BATCH = 512
_SHARED = 32
_CHALLENGE_KEPT_MS = 125_000
_PRUNE_EVERY_MS = 60_000
_METER_KEPT_MS = 2 * 24 * 3_600_000
Result = Outcome | Exception


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    unit: Unit
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Result]


class WriteDoor:
    """The only writer. `commit` may be called from the event loop; everything else happens on the door's thread."""

    def __init__(
        self,
        path: Path,
        sequencer: Sequencer,
        clock: Clock,
        faults: Faults = no_fault,
        *,
        connect: Connect = open_writer,
        seen: LogHead | None = None,
        resolving: bool = False,
    ) -> None:
        """`seen` is the head that the self-check found; the first batch must extend it, too. `resolving` as Writer."""
        self._sequencer = sequencer
        self._clock = clock
        self._faults = faults
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._waiting: list[_Job] = []
        self._pruned = 0
        self._seen = seen
        self._writer = Writer(path, connect, resolving=resolving)
        self._thread = threading.Thread(target=self._run, name="write-door", daemon=True)
        self._thread.start()

    async def commit(self, units: Sequence[Unit]) -> list[Outcome]:
        """Writes each unit on its own merits and returns an outcome for each, in order.

        When it returns, what is `Committed` is durable, and what is `Unwritten` is not or nobody knows. Raises
        StoreUnavailable if no unit has another outcome, LogFrozen if the log is not what it was.
        """
        if not self._thread.is_alive():
            raise StoreUnavailable("the write door is closed")
        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[Result]] = [loop.create_future() for _ in units]
        self._waiting += [_Job(unit, loop, future) for unit, future in zip(units, futures, strict=True)]
        if len(self._waiting) >= _SHARED:
            self._hand_over()
        elif len(self._waiting) == len(units):
            loop.call_soon(self._hand_over)
        return _outcomes(await asyncio.gather(*futures))

    def _hand_over(self) -> None:
        """Gives the thread what came to wait in one turn of the loop: under load these share one transaction, which
        would otherwise hold one unit each, since a unit takes longer to make than to write."""
        waiting, self._waiting = self._waiting, []
        for job in waiting:
            self._jobs.put(job)

    def close(self) -> None:
        """Writes what waits, then stops the thread."""
        self._hand_over()
        self._jobs.put(None)
        self._thread.join()
        self._writer.close()

    def _run(self) -> None:
        deferred: list[_Job] = []
        while True:
            jobs, stop = self._gather(deferred)
            batch, deferred = _distinct(jobs)
            if batch:
                self._settle(batch)
            if stop and not deferred and self._jobs.empty():
                return
            if stop:
                self._jobs.put(None)

    def _gather(self, deferred: list[_Job]) -> tuple[list[_Job], bool]:
        jobs = list(deferred)
        while len(jobs) < _BATCH:
            try:
                job = self._jobs.get(block=not jobs)
            except queue.Empty:
                return jobs, False
            if job is None:
                return jobs, True
            jobs.append(job)
        return jobs, False

    def _settle(self, jobs: list[_Job]) -> None:
        try:
            results = self._transact([job.unit for job in jobs])
        except StoreUnavailable as error:  # the log or the database: no unit's fault
            results = [error] * len(jobs)
        except Exception as error:  # noqa: BLE001  # whatever a unit holds, the thread lives on and its callers are told
            if len(jobs) > 1:
                half = len(jobs) // 2
                self._settle(jobs[:half])
                self._settle(jobs[half:])
                return
            results = [StoreUnavailable(f"the entry could not be written: {error}")]
        _tell(jobs, results)

    def _transact(self, units: Sequence[Unit]) -> list[Result]:
        connection = self._writer.begin()
        try:
            self._faults("begun")
            results, head = self._write(connection, units)
            self._faults("before-commit")
            self._writer.commit()
        except BaseException as error:
            self._writer.rollback(error)
            if isinstance(error, LogFrozen):
                stored, seen = Point.of(error.stored), Point.of(self._seen)
                self._writer.freeze(Mark(at=self._clock(), reason=str(error), stored=stored, seen=seen))
            raise
        self._seen = head
        self._faults("after-commit")
        return results

    def _write(self, connection: sqlite3.Connection, units: Sequence[Unit]) -> tuple[list[Result], LogHead]:
        head = self._head(connection)
        now = max(head.last_time, self._clock())
        try:
            batch = self._sequencer.begin(head, now)
        except AttestError as error:
            raise LogFrozen(f"the log's head is damaged: {error}", head) from error
        ledger = Ledger(connection, units, now)
        verdicts: list[Written | Outcome] = []
        for unit in units:
            judged = judge(ledger, unit, now)
            verdicts.append(write(ledger, unit, judged, batch) if isinstance(judged, Verdict) else judged)
        self._faults("judged")
        written = [v for v in verdicts if isinstance(v, Written)]
        if not written:
            return [v for v in verdicts if not isinstance(v, Written)], head
        closed = batch.close()
        new = closed.head
        places = {id(w): _finish(ledger, w, proof, new, now) for w, proof in zip(written, closed.proofs, strict=True)}
        ledger.write()
        row = {"size": new.size, "root": new.root, "frontier": new.frontier, "last_time": new.last_time}
        connection.execute(sql.SET_HEAD, {"key": SHARD, **row})
        self._faults("placed")
        connection.execute(sql.ADD_ROOT, {"size": new.size, "root": new.root, "committed_at": now})
        self._prune(connection, now)
        return [
            Committed(place=places[id(v)], over_budget=v.over_budget) if isinstance(v, Written) else v for v in verdicts
        ], new

    def _prune(self, connection: sqlite3.Connection, now: int) -> None:
        """Drops what can no longer matter. Meters are looked through whole, hence once a minute."""
        connection.execute(sql.PRUNE_CHALLENGES, {"before": now - _CHALLENGE_KEPT_MS})
        if now - self._pruned >= _PRUNE_EVERY_MS:
            connection.execute(sql.PRUNE_METERS, {"before": now - _METER_KEPT_MS})
            connection.execute(sql.PRUNE_MEMBERS, {"before": now - _METER_KEPT_MS})
            self._pruned = now

    def _head(self, connection: sqlite3.Connection) -> LogHead:
        found = connection.execute(sql.GET_HEAD, {"shard": SHARD}).fetchone()
        if found is None:
            raise LogFrozen("the log's head is gone")
        head = LogHead(size=found[0], root=found[1], frontier=found[2], last_time=found[3])
        seen = self._seen
        if seen is not None and seen.size > 0:
            row = connection.execute(sql.GET_ROOT, {"size": seen.size}).fetchone()
            if head.size < seen.size or row is None or row[0] != seen.root:
                raise LogFrozen(f"the log was at {seen.size} entries and is now another log of {head.size}", head)
        return head


def _finish(ledger: Ledger, written: Written, proof: tuple[bytes, ...], head: LogHead, now: int) -> Place:
    """The rows that need the closed batch: the entry, and the used challenge with its reply and proof."""
    placed = written.placed
    ledger.put(sql.ADD_ENTRY, (placed.index, placed.leaf, placed.leaf_hash))
    use = written.unit.challenge
    if use is not None:
        place = (placed.index, head.size, b"".join(proof))
        ledger.put(sql.ADD_CHALLENGE, (use.digest, use.bound, use.issued_at, written.reply, *place))
    return Place(index=placed.index, leaf=placed.leaf, proof=proof, size=head.size, root=head.root, time=now)


def _distinct(jobs: Sequence[_Job]) -> tuple[list[_Job], list[_Job]]:
    """A challenge is used at most once in a batch, so that its proof exists when it is asked for again."""
    used: set[bytes] = set()
    batch: list[_Job] = []
    deferred: list[_Job] = []
    for job in jobs:
        use = job.unit.challenge
        if use is not None and use.digest in used:
            deferred.append(job)
            continue
        if use is not None:
            used.add(use.digest)
        batch.append(job)
    return batch, deferred


def _outcomes(results: Sequence[Result]) -> list[Outcome]:
    """A unit's error is its own outcome beside its neighbours'; where nothing was written the first is raised."""
    errors = [each for each in results if isinstance(each, Exception)]
    if errors and len(errors) == len(results):
        raise errors[0]
    return [Unwritten(why=str(each)) if isinstance(each, Exception) else each for each in results]


def _tell(jobs: Sequence[_Job], results: Sequence[Result]) -> None:
    """Hands each caller its result, with one wake-up for each event loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Result], Result]]] = {}
    for job, result in zip(jobs, results, strict=True):
        by_loop.setdefault(job.loop, []).append((job.future, result))
    for loop, settled in by_loop.items():
        # The callers' loop may be gone by now; the entry stays, and their clients ask again.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_settle_futures, settled)


def _settle_futures(settled: Sequence[tuple[asyncio.Future[Result], Result]]) -> None:
    for future, result in settled:
        if not future.cancelled():
            future.set_result(result)
