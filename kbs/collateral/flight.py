"""Many who want the same thing at once wait for one fetch of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from kbs.collateral.errors import CollateralError

__all__ = ["Flights"]

T = TypeVar("T")


class Flights(Generic[T]):
    """At most one fetch for a name is under way, at most `flights` in all, and at most `waiters` wait.

    A waiter that goes away, or has waited `seconds`, leaves the fetch to the others. What begins is ended by `close`.
    """

    def __init__(self, *, flights: int, waiters: int, seconds: float) -> None:
        self._most_flights = flights
        self._most_waiters = waiters
        self._seconds = seconds
        self._flying: dict[str, asyncio.Task[T]] = {}
        self._waiting = 0

    @property
    def waiting(self) -> int:
        """How many wait now."""
        return self._waiting

    def under_way(self, name: str) -> bool:
        """Whether `name` is being fetched."""
        return name in self._flying

    async def join(self, name: str, fetch: Callable[[], Awaitable[T]]) -> T:
        """What the fetch under way for `name` brings, or this one. Raises what it raises, or CollateralError."""
        if self._waiting >= self._most_waiters:
            raise _busy(name, f"{self._most_waiters} wait already")
        task = self._flying.get(name) or self._start(name, fetch)
        self._waiting += 1
        try:
            return await asyncio.wait_for(asyncio.shield(task), self._seconds)
        except TimeoutError:
            if task.done():
                raise
            raise CollateralError(
                "COLLATERAL_SLOW", name, expected=f"an answer within {self._seconds:g} s", got="none yet"
            ) from None
        finally:
            self._waiting -= 1

    async def close(self) -> None:
        """Ends every fetch and waits for its end."""
        tasks = list(self._flying.values())
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, name: str, fetch: Callable[[], Awaitable[T]]) -> asyncio.Task[T]:
        if len(self._flying) >= self._most_flights:
            raise _busy(name, f"{self._most_flights} fetches are under way")

        async def fly() -> T:
            return await fetch()

        def landed(task: asyncio.Task[T]) -> None:
            del self._flying[name]
            if not task.cancelled():
                task.exception()  # a failure that nobody waited for: the next who wants it meets it again

        task = asyncio.get_running_loop().create_task(fly())
        task.add_done_callback(landed)
        self._flying[name] = task
        return task


def _busy(name: str, got: str) -> CollateralError:
    return CollateralError("COLLATERAL_BUSY", name, expected="a place to wait", got=got, retry_after=2.0)
