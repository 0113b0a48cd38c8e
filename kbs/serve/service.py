"""A broker that serves: both listeners, the publication of the log, and an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kbs.log.publish import Publisher
from kbs.rpc import decisions, key_release
from kbs.rpc.handler import service
from kbs.rpc.server import Listeners, Tls, start
from kbs.serve.wiring import Running

__all__ = ["serve"]

_log = logging.getLogger("sealgate.serve")
_GRACE_S = 5.0


@asynccontextmanager
async def serve(
    running: Running,
    tls: Tls,
    *,
    host: str,
    workload_port: int,
    people_port: int,
    publish_every_s: float = 1.0,
) -> AsyncIterator[Listeners]:
    """Says in the log that this broker serves, then serves until the block ends; the log is then published whole."""
    await running.door.commit([running.joined])
    listeners = await start(
        [service(key_release.NAME, key_release.methods(running.broker))],
        [service(decisions.NAME, decisions.methods(running.broker, running.reader))],
        tls,
        host=host,
        workload_port=workload_port,
        people_port=people_port,
    )
    stopping = asyncio.Event()
    publishing = asyncio.create_task(_publish_until(stopping, running.publisher, publish_every_s))
    try:
        yield listeners
    finally:
        await listeners.stop(_GRACE_S)
        stopping.set()
        await publishing


async def _publish_until(stopping: asyncio.Event, publisher: Publisher, every_s: float) -> None:
    """Publishes now and then, and once more at the end. It never stands in the way of a release; a failure is said
    and tried again. One publication at a time: the thread that writes is waited for, never left behind."""
    last = False
    while not last:
        last = stopping.is_set()
        try:
            await asyncio.to_thread(publisher.publish)
        except OSError as error:
            _log.error("the log could not be published: %s", error)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), every_s)
