"""How far long work has come: one line on standard error that is written over, for a terminal alone."""

from __future__ import annotations

import sys
import threading
import time
from typing import Self

__all__ = ["Progress"]

_EVERY_S = 0.2
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


class Progress:
    """Adds up what is done, from any thread; shows nothing where nobody watches."""

    def __init__(self, verb: str, total: int, *, shown: bool | None = None) -> None:
        self._verb = verb
        self._total = total
        self._shown = sys.stderr.isatty() if shown is None else shown
        self._done = 0
        self._lock = threading.Lock()
        self._started = self._last = time.monotonic()

    def __call__(self, done: int) -> None:
        """So many bytes more."""
        with self._lock:
            self._done += done
            now = time.monotonic()
            if not self._shown or now - self._last < _EVERY_S:
                return
            self._last = now
            print(f"\r\x1b[K{self._line(now - self._started)}", end="", file=sys.stderr, flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_how: object) -> None:
        """Takes the line away."""
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def _line(self, spent: float) -> str:
        rate = self._done / spent if spent else 0.0
        left = (self._total - self._done) / rate if rate else 0.0
        share = 100 * self._done // self._total if self._total else 100
        sizes = f"{share} % of {size_text(self._total)}"
        return f"{self._verb} {sizes}, {size_text(int(rate))}/s, {int(left) // 60}:{int(left) % 60:02} left"


def size_text(size: float) -> str:
    """A size as people read it."""
    unit = 0
    while size >= 1024 and unit < len(_UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size:.0f} {_UNITS[unit]}" if unit == 0 or size >= 100 else f"{size:.1f} {_UNITS[unit]}"
