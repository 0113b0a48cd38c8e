"""Notices that the log's time is ahead of the clock, and says so once for each time it happens."""

from __future__ import annotations

import logging

from kbs.log.bodies import incident
from kbs.log.clock import LogTime, log_time
from kbs.model.unit import Unit, Verdict
from kbs.serve.wiring import Running
from kbs.store.errors import StoreUnavailable

__all__ = ["ClockWatch"]

_log = logging.getLogger("sealgate.serve")


class ClockWatch:
    """`look` now and then. The last that was seen is `found`, for health."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._said = False
        self.found = LogTime(ahead_ms=0)

    async def look(self) -> None:
        """Compares head and clock; on the way from agreement to ahead, a line of the error log and an entry."""
        running = self._running
        try:
            now = running.broker.clock()
            self.found = log_time(running.reader.head().last_time, now)
            if self.found.ahead and not self._said:
                _log.error("%s", self.found.sentence())
                await running.door.commit([self._entry(now)])
            self._said = self.found.ahead
        except StoreUnavailable as error:  # said again at the next look
            _log.error("the log's time cannot be compared with the clock: %s", error)

    def _entry(self, now: int) -> Unit:
        broker = self._running.broker
        draft = incident(
            entry_id=broker.random(16).hex(),
            broker=broker.identity,
            kind="clock",
            at=now,
            ahead_ms=self.found.ahead_ms,
            bundle=b"",
        )
        return Unit(verdict=Verdict(draft=draft))
