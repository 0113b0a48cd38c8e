"""Which pieces decisions still rest on. What nothing has used for long is neither renewed nor kept.

A device that is gone for good has certificates whose responses live a day: asked for anew for ever, they cost its
vendor and the site a request a day each. Whoever comes back after so long is fetched for like a stranger.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

from kbs.collateral.port import Cache, Clock

__all__ = ["Usage"]

_NOTED_EVERY_MS: Final = 6 * 3_600_000


class Usage:
    """When each piece was last used, by all replicas, to within hours. `unused_ms` is how long one is kept after."""

    def __init__(self, cache: Cache, clock: Clock, *, unused_ms: int) -> None:
        self._cache = cache
        self._clock = clock
        self._unused = unused_ms
        self._noted: dict[str, int] = {}
        self._new: dict[str, int] = {}

    def mark(self, names: Iterable[str]) -> None:
        """A decision rested on these; written down by the next `settle`, and not each time anew."""
        now = self._clock()
        for name in names:
            if now - self._noted.get(name, -_NOTED_EVERY_MS) >= _NOTED_EVERY_MS:
                self._noted[name] = self._new[name] = now

    async def settle(self, known: Sequence[str]) -> frozenset[str]:
        """Writes down what was marked; which of `known` nothing has used for too long, and are no longer kept.

        A piece that is seen here for the first time counts as used: it was just fetched, or imported to be used.
        """
        now, new = self._clock(), self._new
        self._new = {}
        used = await asyncio.to_thread(self._cache.uses)
        new |= {name: now for name in known if name not in used and name not in new}
        if new:
            await asyncio.to_thread(self._cache.note, new)
        gone = frozenset(name for name in known if now - max(used.get(name, now), new.get(name, 0)) >= self._unused)
        if gone:
            await asyncio.to_thread(self._cache.drop, sorted(gone))
            self._noted = {name: at for name, at in self._noted.items() if name not in gone}
        return gone
