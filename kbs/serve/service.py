"""A broker that serves: both listeners, the publication of the log, and an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from attest.errors import AttestError
from kbs.guard.bucket import Attempts
from kbs.log.bodies import refusals
from kbs.log.publish import LogForked
from kbs.model.unit import Unit, Verdict
from kbs.rpc import catalog, decisions, enrolment, key_release, key_versions
from kbs.rpc.handler import Service, service
from kbs.rpc.server import Listeners, Tls, start
from kbs.serve.clock_watch import ClockWatch
from kbs.serve.people import access_of
from kbs.serve.wiring import Running
from kbs.store.errors import StoreUnavailable

__all__ = ["log_flood", "serve"]

_log = logging.getLogger("sealgate.serve")
_GRACE_S = 5.0
_LOOK_S = 5.0


@asynccontextmanager
async def serve(
    running: Running,
    tls: Tls,
    *,
    host: str,
    workload_port: int,
    people_port: int,
    publish_every_s: float = 1.0,
    certificate_life: int = 24 * 3_600_000,
    attempts_per_minute: int = 60,
    people: Sequence[Service] = (),
) -> AsyncIterator[Listeners]:
    """Says in the log that this broker serves, then serves until the block ends; the log is then published whole.

    `people` are services for the people port besides those that every broker has.
    """
    await running.door.commit([running.joined])
    access = access_of(running.broker, running.reader, running.keyring.issuer, certificate_life)
    listeners = await start(
        [
            service(key_release.NAME, key_release.methods(running.broker)),
            service(enrolment.NAME, enrolment.methods(running.broker, access, Attempts(attempts_per_minute))),
        ],
        [
            service(decisions.NAME, decisions.methods(running.broker, running.reader)),
            service(catalog.NAME, catalog.methods(running.broker)),
            service(key_versions.NAME, key_versions.methods(running.broker)),
            *people,
        ],
        tls,
        host=host,
        workload_port=workload_port,
        people_port=people_port,
    )
    stopping = asyncio.Event()
    publishing = asyncio.create_task(_publish_until(stopping, running, publish_every_s))
    watching = asyncio.create_task(_watch(stopping, running, ClockWatch(running)))
    try:
        yield listeners
    finally:
        await listeners.stop(_GRACE_S)
        stopping.set()
        await watching
        await publishing


async def log_flood(running: Running, now: int, *, last: bool = False) -> None:
    """Writes the entry of a window of refusals that has passed, if there were more than the limit."""
    flood = running.broker.floods.close_window(now, last=last)
    if flood is None:
        return
    draft = refusals(
        entry_id=running.broker.random(16).hex(),
        broker=running.broker.identity,
        start=flood.start,
        end=flood.end,
        counts=flood.counts,
        root=flood.root,
    )
    try:
        await running.door.commit([Unit(verdict=Verdict(draft=draft))])
    except StoreUnavailable as error:
        _log.error("%d refusals could not be logged: %s", flood.total, error)


async def _watch(stopping: asyncio.Event, running: Running, clock: ClockWatch) -> None:
    """Looks at the clock and at the meter of refusals every few seconds, and at the meter once more at the end."""
    while not stopping.is_set():
        await clock.look()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), _LOOK_S)
        await log_flood(running, running.broker.clock(), last=stopping.is_set())


async def _publish_until(stopping: asyncio.Event, running: Running, every_s: float) -> None:
    """Publishes now and then, and once more at the end. It never stands in the way of a release; a failure is said
    and tried again. One publication at a time: the thread that writes is waited for, never left behind."""
    last = False
    while not last:
        last = stopping.is_set()
        try:
            await asyncio.to_thread(_publish, running)
        except (OSError, AttestError, LogForked, StoreUnavailable) as error:
            _log.error("the log could not be published: %s", error)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), every_s)


def _publish(running: Running) -> None:
    """What does not continue the published log is not published; the self-check then says if it is to be frozen."""
    try:
        running.publisher.publish()
    except LogForked:
        running.recheck()
        raise
