"""A broker that serves: both listeners, the publication of the log, and an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial

from attest.errors import AttestError
from kbs.guard.bucket import Attempts
from kbs.log.bodies import refusals
from kbs.log.calls import refused_calls
from kbs.log.publish import LogForked
from kbs.model.unit import Unit, Verdict
from kbs.rpc import catalog, decisions, enrolment, health, key_release, key_versions, leases
from kbs.rpc.handler import Observe, Service, service, unobserved
from kbs.rpc.server import Listeners, Tls, start
from kbs.serve.clock_watch import ClockWatch
from kbs.serve.people import access_of
from kbs.serve.wiring import Running
from kbs.store.errors import StoreUnavailable

__all__ = ["log_flood", "log_refused_calls", "serve"]

_log = logging.getLogger("sealgate.serve")
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
    certificates: Callable[[], Tls] | None = None,
    share_ports: bool = False,
    grace_s: float = 5.0,
    observe: Observe = unobserved,
) -> AsyncIterator[Listeners]:
    """Says in the log that this broker serves, then serves until the block ends; the log is then published whole.

    `people` are services for the people port besides those that every broker has. `tls` lasts unless `certificates`
    tells of new ones. Before the end health says that nothing is served any more, and calls in flight have `grace_s`.
    """
    await running.door.commit([running.joined])
    access = access_of(running.broker, running.reader, running.keyring.issuer, certificate_life)
    draining, stopping = asyncio.Event(), asyncio.Event()
    made = partial(service, observe=observe)

    def serving() -> bool:
        return not draining.is_set() and _readable(running)

    listeners = await start(
        [
            made(key_release.NAME, key_release.methods(running.broker, running.receipts)),
            made(health.NAME, health.methods(serving, (key_release.NAME, enrolment.NAME))),
            made(enrolment.NAME, enrolment.methods(running.broker, access, Attempts(attempts_per_minute))),
        ],
        [
            made(decisions.NAME, decisions.methods(running.broker, running.reader)),
            made(catalog.NAME, catalog.methods(running.broker)),
            made(key_versions.NAME, key_versions.methods(running.broker)),
            made(leases.NAME, leases.methods(running.broker, running.leases, running.receipts)),
            *people,
        ],
        certificates or (lambda: tls),
        host=host,
        workload_port=workload_port,
        people_port=people_port,
        share_ports=share_ports,
    )
    publishing = asyncio.create_task(_publish_until(stopping, running, publish_every_s))
    watching = asyncio.create_task(_watch(stopping, running, ClockWatch(running)))
    try:
        yield listeners
    finally:
        draining.set()
        await listeners.stop(grace_s)
        stopping.set()
        await watching
        await publishing


def _readable(running: Running) -> bool:
    """A log that is frozen or cannot be read releases nothing."""
    try:
        running.reader.head()
    except StoreUnavailable:
        return False
    return True


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


async def log_refused_calls(running: Running, now: int, *, last: bool = False) -> None:
    """Writes one entry for each person who was refused more often than there is an entry for each time."""
    for person, flood in running.broker.refusals.close_windows(now, last=last):
        draft = refused_calls(
            entry_id=running.broker.random(16).hex(),
            actor=person,
            broker=running.broker.identity,
            start=flood.start,
            end=flood.end,
            counts=flood.counts,
            root=flood.root,
        )
        try:
            await running.door.commit([Unit(verdict=Verdict(draft=draft))])
        except StoreUnavailable as error:
            _log.error("%d refused calls of %s could not be logged: %s", flood.total, person, error)


async def _watch(stopping: asyncio.Event, running: Running, clock: ClockWatch) -> None:
    """Looks at the clock and at the meters of refusals every few seconds, and at the meters once more at the end."""
    while not stopping.is_set():
        await clock.look()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), _LOOK_S)
        now, last = running.broker.clock(), stopping.is_set()
        await log_flood(running, now, last=last)
        await log_refused_calls(running, now, last=last)


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
        running.publish()
    except LogForked:
        running.recheck()
        raise
