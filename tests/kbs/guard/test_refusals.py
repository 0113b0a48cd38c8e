"""Refused calls of people: an entry each up to an allowance, then one for each window that counts the rest."""

from __future__ import annotations

from kbs.guard.refusals import RefusalMeter


def test_each_person_has_an_allowance_of_their_own() -> None:
    meter = RefusalMeter(burst=2, every_ms=100)
    assert [meter.wait("a", f"{n}", 0) for n in range(3)] == [0, 0, 100]
    assert meter.wait("b", "0", 0) == 0
    assert [meter.wait("a", f"x{n}", 100) for n in range(2)] == [0, 100]


def test_a_window_tells_each_person_what_was_counted_and_then_forgets() -> None:
    meter = RefusalMeter(window_ms=60)
    for document in (b"1", b"2"):
        meter.count("a", "ACCESS_DENIED", document, 0)
    meter.count("b", "ACCESS_DENIED", b"3", 30)
    assert list(meter.close_windows(59)) == []
    [(person, flood)] = meter.close_windows(60)
    assert (person, flood.counts, flood.start, flood.end) == ("a", (("ACCESS_DENIED", 2),), 0, 60)
    [(person, flood)] = meter.close_windows(61, last=True)
    assert (person, flood.total) == ("b", 1)
    assert list(meter.close_windows(10**9, last=True)) == []
