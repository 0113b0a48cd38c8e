"""Asking again, where it helps: what is unavailable for a while, never what was refused."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

from clients.errors import Unavailable

__all__ = ["Patience"]

_FIRST_S, _LONGEST_S = 1.0, 30.0
T = TypeVar("T")


class Patience:
    """Waits up to `wait_s` seconds in all, longer each time and never shorter than the broker asks for.

    A thousand nodes start at once and would come back at once: each pause is drawn from its second half. `told` is
    called with the error and the pause before each.
    """

    def __init__(
        self,
        wait_s: float,
        *,
        told: Callable[[Unavailable, float], object] = lambda _error, _pause: None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
        draw: Callable[[], float] = lambda: os.urandom(1)[0] / 256,
    ) -> None:
        self._wait_s = wait_s
        self._told = told
        self._clock = clock
        self._sleep = sleep
        self._draw = draw

    def until(self, ask: Callable[[], T]) -> T:
        """What `ask` returns; raises what it raises, Unavailable only when no time is left or it would not help."""
        end, longest = self._clock() + self._wait_s, _FIRST_S
        while True:
            try:
                return ask()
            except Unavailable as error:
                if error.retry_after is None:
                    raise
                pause = max(error.retry_after, longest * (0.5 + self._draw() / 2))
                if self._clock() + pause > end:
                    raise
                self._told(error, pause)
                self._sleep(pause)
                longest = min(longest * 2, _LONGEST_S)
