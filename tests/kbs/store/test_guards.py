"""Guards are judged unit by unit, against what is true under the head's lock, and in their order."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import pytest

from attest.tlog.merkle import leaf_hash
from attest.tlog.proofs import verify_inclusion
from kbs.model.effect import PutObject, PutTicket
from kbs.model.unit import AlreadyUsed, Committed, Conflict, Count, Expired, Moved, Outcome, Unit, Verdict
from kbs.store.read import Reader
from tests.kbs.store.opened import (
    NOW,
    Clock,
    challenge,
    check_log,
    committed,
    count,
    draft,
    names,
    opened,
    rows,
    unit,
    verdict,
)

HOUR = 3_600_000


def put(name: str, data: bytes, *, replaces: bytes = b"", **more: Any) -> Unit:
    """A change of the catalogue, as kbs.catalog makes them."""
    effect = PutObject(name=name, kind="k", digest=hashlib.sha256(data).digest())
    made = Verdict(draft=draft(name, governance=True), blobs=(data,), effects=(effect,))
    return dataclasses.replace(Unit(verdict=made, expects=((name, replaces),)), **more)


async def test_outcomes_come_in_the_order_of_the_units(tmp_path: Path) -> None:
    used, old = challenge("used"), challenge("old", issued_at=NOW - 120_001)
    with opened(tmp_path / "s") as door:
        await door.commit([unit("first", challenge=used), put("o", b"1")])
        outcomes = await door.commit(
            [
                unit("a"),
                unit("b", challenge=used),
                unit("c", challenge=old),
                unit("d", revision=0),
                put("o", b"2"),
                unit("e", revision=1),
                unit("f", counts=(count("m", "x", limit=0),), over_budget=verdict("f!")),
            ]
        )
    kinds = [type(o) for o in outcomes]
    assert kinds == [Committed, AlreadyUsed, Expired, Moved, Conflict, Committed, Committed]
    assert [o.over_budget for o in outcomes if isinstance(o, Committed)] == [False, False, True]
    assert names(tmp_path / "s") == ["first", "o", "a", "e", "f!"]
    assert check_log(tmp_path / "s") == 5


async def test_a_used_challenge_gives_what_was_stored(tmp_path: Path) -> None:
    path = tmp_path / "s"
    use = challenge("c", bound=b"mine")
    with opened(path) as door:
        made = Verdict(draft=draft("granted"), reply=b"the reply")
        await door.commit([unit(n) for n in range(5)])
        place = committed((await door.commit([Unit(verdict=made, challenge=use)]))[0])
        other = dataclasses.replace(use, bound=b"another's")
        [outcome] = await door.commit([unit("never", challenge=other)])
    assert isinstance(outcome, AlreadyUsed)
    assert (outcome.stored.bound, outcome.stored.reply, outcome.stored.place) == (b"mine", b"the reply", place)
    verify_inclusion(leaf_hash(place.leaf), place.index, place.size, place.proof, place.root)
    reader = Reader(path)
    assert reader.used_challenge(use.digest) == outcome.stored
    assert reader.used_challenge(bytes(32)) is None
    reader.close()


async def test_one_challenge_twice_in_one_call(tmp_path: Path) -> None:
    """The second is judged in the next batch, so that the proof of the first exists."""
    use = challenge("c")
    with opened(tmp_path / "s") as door:
        outcomes = await door.commit([unit(n, challenge=use) for n in range(20)] + [unit("other")])
        place = committed(outcomes[0])
        for outcome in outcomes[1:20]:
            assert isinstance(outcome, AlreadyUsed)
            assert outcome.stored.place == place
        committed(outcomes[20])
    assert check_log(tmp_path / "s") == 2


# name: (how far the clock moves after the log's last entry, issued how long before the clock's time, fine)
AGES = {
    "fresh": (0, 0, True),
    "120 s": (0, 120_000, True),
    "120 s and a millisecond": (0, 120_001, False),
    "issued in the future": (0, -5_000, True),
    "clock one hour back, issued by that clock": (-HOUR, 0, False),
    "clock one hour back, issued before it went back": (-HOUR, -HOUR, True),
    "clock 60 s back, issued by that clock": (-60_000, 0, True),
    "clock 60 s back, 61 s old by that clock": (-60_000, 61_000, False),
    "clock one hour forward, issued before": (HOUR, HOUR, False),
    "clock one hour forward, issued by that clock": (HOUR, 0, True),
}


@pytest.mark.parametrize("name", AGES)
async def test_expiry_is_by_the_logs_own_time(tmp_path: Path, name: str) -> None:
    step, before, fine = AGES[name]
    clock = Clock()
    with opened(tmp_path / "s", clock) as door:
        await door.commit([unit("earlier")])
        clock.now += step
        [outcome] = await door.commit([unit("it", challenge=challenge(issued_at=clock.now - before))])
    assert isinstance(outcome, Committed if fine else Expired)
    if isinstance(outcome, Expired):
        assert outcome.age_ms == max(NOW, clock.now) - clock.now + before
    assert check_log(tmp_path / "s") == 1 + fine


async def test_the_logs_time_never_goes_back(tmp_path: Path) -> None:
    clock = Clock()
    times = []
    with opened(tmp_path / "s", clock) as door:
        for step in (0, 10, -HOUR, 5, HOUR, 0, -2 * HOUR):
            clock.now += step
            times.append(committed((await door.commit([unit("x")]))[0]).time)
    assert times == sorted(times)
    assert times[-1] == NOW + 15
    check_log(tmp_path / "s")


async def test_no_step_of_the_clock_revives_a_challenge(tmp_path: Path) -> None:
    """Used, pruned an hour later, and the clock goes back to where it was used."""
    clock, use = Clock(), challenge("c")
    with opened(tmp_path / "s", clock) as door:
        await door.commit([unit("a", challenge=use)])
        clock.now += HOUR
        await door.commit([unit("b")])
        assert rows(tmp_path / "s", "SELECT COUNT(*) FROM challenge_used") == [(0,)]
        clock.now = NOW
        [outcome] = await door.commit([unit("again", challenge=use)])
    assert isinstance(outcome, Expired)


@pytest.mark.parametrize(("later", "kept"), [(0, 1), (125_000, 1), (125_001, 0)])
async def test_a_used_challenge_is_kept_for_125_seconds(tmp_path: Path, later: int, kept: int) -> None:
    clock = Clock()
    with opened(tmp_path / "s", clock) as door:
        await door.commit([unit("a", challenge=challenge("c"))])
        clock.now += later
        await door.commit([unit("b")])
    assert rows(tmp_path / "s", "SELECT COUNT(*) FROM challenge_used") == [(kept,)]


async def test_what_moves_the_revision(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with opened(path) as door:
        reader = Reader(path)
        await door.commit([unit("query"), unit("joined", governance=True)])
        assert reader.revision() == (0, 1)
        await door.commit([put("o", b"1")])
        assert reader.revision() == (1, 2)
        # Within one batch: who was decided before the change does not pass behind it.
        outcomes = await door.commit([unit("before", revision=1), put("p", b"1"), unit("behind", revision=1)])
        assert [type(o) for o in outcomes] == [Committed, Committed, Moved]
        assert outcomes[2] == Moved(revision=2)
        assert reader.revision() == (2, 4)
        # An object moves the revision also where the entry is not one of governance; that chain's newest stays.
        quiet = dataclasses.replace(put("q", b"1").verdict, draft=draft("q"))
        await door.commit([Unit(verdict=quiet)])
        assert reader.revision() == (3, 4)
        reader.close()
    check_log(path)


async def test_etags(tmp_path: Path) -> None:
    one, two = (hashlib.sha256(data).digest() for data in (b"1", b"2"))
    # name: (the digest that is expected, after which the object's digest is)
    cases = [(b"", b"1", True), (b"", b"2", False), (two, b"3", False), (one, b"2", True), (one, b"3", False)]
    with opened(tmp_path / "s") as door:
        for expected, data, fine in cases:
            [outcome] = await door.commit([put("o", data, replaces=expected)])
            assert isinstance(outcome, Committed if fine else Conflict)
            if isinstance(outcome, Conflict):
                assert outcome.name == "o"
        racing = await door.commit([put("o", bytes([n]), replaces=two) for n in range(10)])
    assert [type(o) for o in racing] == [Committed] + [Conflict] * 9
    assert rows(tmp_path / "s", "SELECT revision FROM state") == [(3,)]
    # What was refused left no blob.
    assert rows(tmp_path / "s", "SELECT COUNT(*) FROM blob") == [(3,)]


def counted(name: str, *counts: Count, **more: Any) -> Unit:
    return unit(name, counts=counts, over_budget=verdict(f"{name} refused", reply=b"refused"), **more)


def budget(outcomes: list[Outcome]) -> list[bool]:
    """For each outcome, if it was within its limits."""
    return [isinstance(o, Committed) and not o.over_budget for o in outcomes]


# name: (the counts of each unit in turn, which are within, the totals at the end)
METERS: dict[str, tuple[list[tuple[Count, ...]], list[bool], dict[str, int]]] = {
    "the third of two": ([(count("m", "a"),), (count("m", "b"),), (count("m", "c"),)], [True, True, False], {"m": 2}),
    "a member counts once": ([(count("m", "a"),)] * 5, [True] * 5, {"m": 1}),
    "a member of a full meter": (
        [(count("m", "a"),), (count("m", "b"),), (count("m", "c"),), (count("m", "a"),)],
        [True, True, False, True],
        {"m": 2},
    ),
    "another window": (
        [(count("m", "a", limit=1),), (count("m", "b", limit=1, window=NOW + 1),)],
        [True, True],
        {"m": 2},
    ),
    "exactly the limit": ([(count("m", "a", add=7, limit=7),)], [True], {"m": 7}),
    "one above it": ([(count("m", "a", add=8, limit=7),)], [False], {}),
    "a limit of nothing": ([(count("m", "a", limit=0),)], [False], {}),
    "nothing added": ([(count("m", "a", add=0, limit=0),)], [True], {"m": 0}),
    "all or nothing": (
        [(count("m", "a"), count("n", "a", limit=0), count("o", "a")), (count("m", "b"),)],
        [False, True],
        {"m": 1},
    ),
    "two members of one meter in one unit": (
        [(count("m", "a"), count("m", "b")), (count("m", "c"),)], [True, False], {"m": 2},
    ),
    "one member of one meter twice in one unit": ([(count("m", "a"), count("m", "a"))], [True], {"m": 1}),
    "two that cross only together": ([(count("m", "a", add=2, limit=3), count("m", "b", add=2, limit=3))], [False], {}),
    "a lowered limit does not lock who is in": (
        [(count("m", "a", limit=2),), (count("m", "b", limit=2),), (count("m", "a", limit=1),)],
        [True, True, True],
        {"m": 2},
    ),
}  # fmt: skip


@pytest.mark.parametrize("together", [True, False], ids=["one batch", "one by one"])
@pytest.mark.parametrize("name", METERS)
async def test_counters(tmp_path: Path, name: str, together: bool) -> None:
    units, within, totals = METERS[name]
    made = [counted(f"u{n}", *counts) for n, counts in enumerate(units)]
    with opened(tmp_path / "s") as door:
        outcomes = await door.commit(made) if together else [(await door.commit([u]))[0] for u in made]
    assert budget(outcomes) == within
    assert dict(rows(tmp_path / "s", "SELECT meter, SUM(total) FROM meter GROUP BY meter")) == totals
    members = {(m, w, who) for m, w, who in rows(tmp_path / "s", "SELECT * FROM meter_member")}
    assert members == {
        (c.meter, c.window, c.member) for counts, fine in zip(units, within, strict=True) if fine for c in counts
    }
    assert [n.endswith("refused") for n in names(tmp_path / "s")] == [not fine for fine in within]
    check_log(tmp_path / "s")


async def test_a_crossed_ceiling_uses_the_challenge_up(tmp_path: Path) -> None:
    use = challenge("c")
    with opened(tmp_path / "s") as door:
        over = verdict("no", reply=b"refused", effects=(PutTicket(ticket="t", tenant="acme"),))
        granted = verdict("yes", reply=b"granted", effects=(PutTicket(ticket="u", tenant="acme"),))
        crossing = Unit(verdict=granted, challenge=use, counts=(count("m", "a", limit=0),), over_budget=over)
        first, second = await door.commit([crossing, unit("again", challenge=use)])
    assert isinstance(first, Committed)
    assert first.over_budget
    assert isinstance(second, AlreadyUsed)
    assert second.stored.reply == b"refused"
    assert rows(tmp_path / "s", "SELECT ticket, idx FROM ticket") == [("t", 0)]


async def test_guards_are_judged_in_their_order(tmp_path: Path) -> None:
    """A used challenge is told whatever else is wrong, then age, revision, objects; counts are last."""
    used, old = challenge("used"), challenge("old", issued_at=0)
    crossed = {"counts": (count("m", "a", limit=0),), "over_budget": verdict("over")}
    cases: list[tuple[type, dict[str, Any]]] = [
        (AlreadyUsed, {"challenge": used, "revision": 9, "expects": (("o", b"x"),), **crossed}),
        (Expired, {"challenge": old, "revision": 9, "expects": (("o", b"x"),), **crossed}),
        (Moved, {"challenge": challenge("fresh"), "revision": 9, "expects": (("o", b"x"),), **crossed}),
        (Conflict, {"challenge": challenge("fresh"), "revision": 0, "expects": (("o", b"x"),), **crossed}),
        (Committed, {"challenge": challenge("fresh"), "revision": 0, "expects": (("o", b""),), **crossed}),
    ]
    clock = Clock()
    with opened(tmp_path / "s", clock) as door:
        await door.commit([unit("x", challenge=used)])
        for kind, guards in cases:
            assert isinstance((await door.commit([unit("y", **guards)]))[0], kind)


async def test_meters_are_kept_for_two_days(tmp_path: Path) -> None:
    clock, day = Clock(), 24 * HOUR
    with opened(tmp_path / "s", clock) as door:
        await door.commit([counted("a", count("m", "a", window=NOW))])
        clock.now += 2 * day
        await door.commit([unit("b")])
        assert rows(tmp_path / "s", "SELECT COUNT(*) FROM meter") == [(1,)]
        clock.now += 60_000  # they are looked through once a minute
        await door.commit([unit("c")])
        for table in ("meter", "meter_member"):
            assert rows(tmp_path / "s", f"SELECT COUNT(*) FROM {table}") == [(0,)]  # a name of ours
