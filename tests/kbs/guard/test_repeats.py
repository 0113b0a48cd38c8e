"""Repeats are slowed, never locked, and never by anybody else."""

from __future__ import annotations

from itertools import count

import hypothesis.strategies as st
import pytest
from hypothesis import given

from kbs.guard.repeats import RepeatMeter


class Asking:
    """Requests that are each another."""

    def __init__(self, meter: RepeatMeter) -> None:
        self.meter = meter
        self._numbers = count()

    def wait(self, key: object, now: int) -> int:
        return self.meter.wait(key, str(next(self._numbers)).encode(), now)


def test_a_burst_and_then_one_in_an_interval() -> None:
    asking = Asking(RepeatMeter(burst=3, every_ms=100))
    assert [asking.wait("a", 1_000) for _ in range(5)] == [0, 0, 0, 100, 100]
    assert asking.wait("b", 1_000) == 0
    assert [asking.wait("a", now) for now in (1_099, 1_100, 1_100, 1_200)] == [1, 0, 100, 0]
    assert [asking.wait("a", 10_000) for _ in range(4)] == [0, 0, 0, 100]


def test_the_same_request_is_not_another() -> None:
    meter = RepeatMeter(burst=2, every_ms=100)
    assert [meter.wait("a", b"1", 0) for _ in range(9)] == [0] * 9
    assert [meter.wait("a", request, 0) for request in (b"2", b"3", b"1", b"2")] == [0, 100, 0, 0]


@given(st.lists(st.integers(0, 400), max_size=100), st.integers(1, 5))
def test_whoever_waits_as_told_is_served(steps: list[int], burst: int) -> None:
    """However often it asked before, and asking early never makes the wait longer."""
    asking, now = Asking(RepeatMeter(burst=burst, every_ms=100)), 0
    served: list[int] = []
    for step in steps:
        now += step
        wait = asking.wait("a", now)
        assert 0 <= wait <= 100
        if wait:
            assert asking.wait("a", now + wait - 1) == 1
            now += wait
            assert asking.wait("a", now) == 0
        served.append(now)
    for first in served:
        assert sum(first <= at < first + 1_000 for at in served) <= burst + 10


def test_memory_is_bounded() -> None:
    asking = Asking(RepeatMeter(burst=1, every_ms=1_000, keys=3))
    for key in range(10):
        assert asking.wait(key, 0) == 0
    assert len(asking.meter._asked) == 3
    assert (asking.wait(9, 0), asking.wait(0, 0)) == (1_000, 0)
    assert asking.wait("later", 5_000) == 0
    assert list(asking.meter._asked) == ["later"]


@pytest.mark.parametrize("given_", [{"burst": 0}, {"every_ms": 0}, {"keys": 0}])
def test_a_meter_that_would_lock_is_none(given_: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="lock"):
        RepeatMeter(**given_)
