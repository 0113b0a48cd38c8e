"""Attempts: an address has a share, everybody the whole, and time fills both."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kbs.guard.bucket import Attempts


def test_an_address_takes_its_share_and_no_more() -> None:
    attempts = Attempts(60)
    assert [attempts.take("eve", 0) for _ in range(20)].count(True) == 15
    assert all(attempts.take(f"node-{n}", 0) for n in range(45))
    assert not attempts.take("late", 0)
    assert attempts.take("late", 1_000)
    assert attempts.take("eve", 60_000)


def test_time_that_goes_back_gives_nothing() -> None:
    attempts = Attempts(4)
    assert attempts.take("a", 1_000_000)
    assert not attempts.take("a", 0)


@pytest.mark.parametrize("per_minute", [1, 3, 4])
def test_an_address_has_one_attempt_at_least(per_minute: int) -> None:
    attempts = Attempts(per_minute)
    assert [attempts.take("a", 0) for _ in range(2)] == [True, False]


def test_memory_is_bounded_and_who_asks_most_is_not_forgotten() -> None:
    attempts = Attempts(16)
    assert [attempts.take("eve", 0) for _ in range(5)] == [True] * 4 + [False]
    for number in range(3 * 4_096):
        attempts.take(f"node-{number}", 0)
        if number % 4_000 == 0:
            assert not attempts.take("eve", 0)
    assert not attempts.take("eve", 0)
    assert len(attempts._by_address) == 4_096


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 120_000)), max_size=200))
def test_nobody_takes_more_than_the_bucket_and_what_time_added(tries: list[tuple[str, int]]) -> None:
    attempts = Attempts(40)
    tries.sort(key=lambda each: each[1])
    taken = [at for address, at in tries if attempts.take(address, at)]
    for number, at in enumerate(taken, 1):
        assert number <= 40 + at * 40 / 60_000
