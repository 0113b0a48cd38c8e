"""Whoever asks for the same thing again and again is slowed, never locked: after the wait it is served.

In the memory of one process, since it protects the log and the machine and no secret: what must hold across replicas
is a ceiling and lives in the store. Only authenticated nodes are counted, so that nobody can slow another.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

__all__ = ["RepeatMeter"]


@dataclass(frozen=True, slots=True)
class _Asked:
    """When the next request would be on time, and the newest requests that were let through."""

    due: int
    recent: tuple[bytes, ...]


class RepeatMeter:
    """Allows each key `burst` at once and one every `every_ms` after; remembers at most `keys` of them."""

    def __init__(self, *, burst: int = 16, every_ms: int = 10_000, keys: int = 65_536) -> None:
        if burst < 1 or every_ms < 1 or keys < 1:
            raise ValueError("a meter that lets nothing through would be a lock")
        self._tolerance = (burst - 1) * every_ms
        self._every = every_ms
        self._burst = burst
        self._keys = keys
        self._asked: OrderedDict[Hashable, _Asked] = OrderedDict()

    def wait(self, key: Hashable, request: bytes, now: int) -> int:
        """Counts one request: 0 if it may go on, else the ms after which it may. `now` is monotonic, in ms.

        A request that was let through is let through again and not counted: a lost reply is asked for once more. One
        that has to wait is not counted either: asking too early does not push the moment away.
        """
        asked = self._asked.get(key, _Asked(now, ()))
        if request in asked.recent:
            return 0
        due = max(asked.due, now)
        if due - now > self._tolerance:
            return due - now - self._tolerance
        self._asked[key] = _Asked(due + self._every, (*asked.recent, request)[-min(self._burst, 64) :])
        self._asked.move_to_end(key)
        self._forget(now)
        return 0

    def _forget(self, now: int) -> None:
        """Drops, oldest first, whoever may ask a whole burst again, and above the limit of memory the oldest."""
        while self._asked:
            key, asked = next(iter(self._asked.items()))
            if asked.due > now and len(self._asked) <= self._keys:
                return
            del self._asked[key]
