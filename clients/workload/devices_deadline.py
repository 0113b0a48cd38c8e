"""Calls into a driver, which may never come back: made in threads that can be left behind, and named if they are.

A call that hangs cannot be ended, in C or in the kernel. The threads are daemons, so that the process can end all the
same; whoever starts it again starts from nothing. It is not asked again here: each try would leave more threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

from clients.errors import Unavailable

__all__ = ["DEADLINE_S", "Watch", "all_at_once", "within"]

DEADLINE_S = 45.0  # a challenge is good for a minute: what comes later would be refused
T = TypeVar("T")


class Watch:
    """Which calls are under way, one for each thread."""

    def __init__(self) -> None:
        self._calls: dict[int, str] = {}

    @contextmanager
    def over(self, call: str) -> Iterator[None]:
        """`call` is under way inside."""
        me = threading.get_ident()
        self._calls[me] = call
        try:
            yield
        finally:
            del self._calls[me]

    def names(self) -> str:
        """Those that are under way now."""
        return ", ".join(sorted(set(self._calls.copy().values()))) or "nothing that has a name"


def within(seconds: float, watch: Watch, work: Callable[[], T]) -> T:
    """What `work` returns or raises; raises Unavailable with the calls under way if it takes longer."""
    thread = _Thread(work)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise Unavailable(f"the GPUs' driver hangs: {watch.names()} did not return within {seconds:g} s")
    return thread.outcome()


def all_at_once(works: Sequence[Callable[[], T]]) -> list[T]:
    """What each returns, in their order; all of them are over when the first failure in that order is raised."""
    threads = [_Thread(work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [thread.outcome() for thread in threads]


class _Thread(threading.Thread, Generic[T]):
    """A thread whose function's outcome is kept."""

    def __init__(self, work: Callable[[], T]) -> None:
        super().__init__(name="gpu", daemon=True)
        self._work = work
        self._returned: list[T] = []
        self._raised: BaseException | None = None

    def run(self) -> None:
        """As threading.Thread."""
        try:
            self._returned.append(self._work())
        except BaseException as error:  # noqa: BLE001  # it is raised in the thread that waits
            self._raised = error

    def outcome(self) -> T:
        """Once it is over."""
        if self._raised is not None:
            raise self._raised
        return self._returned[0]
