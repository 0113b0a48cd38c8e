"""The write door: many units in few transactions, each on its own merits; a unit that cannot be written is alone."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from attest.tlog.entry import MAX_BODY
from kbs.model.effect import PutBrokerKey, PutKeyMaterial, PutLease, PutObject, PutTicket
from kbs.model.log import Draft
from kbs.model.unit import AlreadyUsed, Committed, Moved, Unit, Unwritten, Verdict
from kbs.store.errors import StoreUnavailable
from tests.kbs.store.opened import (
    NOW,
    Clock,
    challenge,
    check_log,
    committed,
    count,
    draft,
    make_store,
    names,
    opened,
    rows,
    unit,
    verdict,
)
from tests.soak.writers import write_together


async def test_many_units_share_few_transactions(tmp_path: Path) -> None:
    """While a batch is being written the next gathers; no timer, no transaction of its own for each."""
    held = threading.Event()
    points: list[str] = []

    def hold(point: str, /) -> None:
        if point in {"before-commit", "after-commit"}:
            points.append(point)
        held.wait(10)

    with opened(tmp_path / "s", faults=hold) as door:
        waiting = [asyncio.ensure_future(door.commit([unit(n, challenge=challenge(n))])) for n in range(1_200)]
        await asyncio.sleep(0)
        held.set()
        places = [committed(o) for outcomes in await asyncio.gather(*waiting) for o in outcomes]
    assert [p.index for p in places] == list(range(1_200))
    batches = [size for (size,) in rows(tmp_path / "s", "SELECT size FROM log_root ORDER BY size")]
    assert len(batches) <= 4
    assert max(b - a for a, b in zip([0, *batches], batches, strict=False)) <= 512
    assert points == ["before-commit", "after-commit"] * len(batches)
    assert check_log(tmp_path / "s") == 1_200


async def test_nothing_is_written_for_nothing(tmp_path: Path) -> None:
    with opened(tmp_path / "s") as door:
        assert await door.commit([]) == []
        await door.commit([unit("a", revision=7)])
    assert check_log(tmp_path / "s") == 0
    assert rows(tmp_path / "s", "SELECT COUNT(*) FROM log_root") == [(0,)]


async def test_chains_within_a_batch(tmp_path: Path) -> None:
    with opened(tmp_path / "s") as door:
        for _ in range(3):
            await door.commit([unit(n, "a", "b", governance=n % 2 == 0) for n in range(4)] + [unit("x", "b")])
    assert check_log(tmp_path / "s") == 15
    assert rows(tmp_path / "s", "SELECT chain, seq FROM chain_head ORDER BY 1") == [("a", 12), ("b", 15), ("gov", 6)]


LEASE = PutLease(
    lease_id="l", tenant="acme", node="n", start=0, end=1, purpose="p", platform="snp", guest="g", holder_key=b"k"
)
TICKET = PutTicket(ticket="t", tenant="acme")
KEY = PutKeyMaterial(name="tenants/acme/kek", parent="", wrapped=b"first")
BROKER_KEY = PutBrokerKey(purpose="log", serial=1, not_before=0, wrapped=b"first")


def _bad(**more: Any) -> Unit:
    made: dict[str, Any] = {"draft": draft("bad", "bad-chain", governance=True), "blobs": (b"bad blob",)} | more
    return Unit(verdict=Verdict(**made), challenge=challenge("bad"))


# name: a unit that cannot be written
UNWRITABLE: dict[str, Callable[[], Unit]] = {
    "a ticket that exists": lambda: _bad(effects=(TICKET,)),
    "a lease that exists": lambda: _bad(effects=(LEASE,)),
    "a key's material that exists": lambda: _bad(effects=(dataclasses.replace(KEY, wrapped=b"second"),)),
    "a broker key that exists": lambda: _bad(effects=(dataclasses.replace(BROKER_KEY, wrapped=b"second"),)),
    "an object without its document": lambda: _bad(effects=(PutObject(name="o", kind="k", digest=bytes(32)),)),
    "the second of two effects": lambda: _bad(effects=(PutTicket(ticket="new", tenant="acme"), LEASE)),
    "an effect that nobody knows": lambda: _bad(effects=(object(),)),
    "an effect with a field of another type": lambda: _bad(effects=(PutTicket(ticket=b"t", tenant="x"),)),  # type: ignore[arg-type]
    "a number that no column holds": lambda: _bad(effects=(dataclasses.replace(LEASE, lease_id="m", end=2**63),)),
    "a blob that is a text": lambda: _bad(blobs=(b"bad blob", "text")),
    "a blob that is nothing": lambda: _bad(blobs=(b"bad blob", None)),
    "a reply that is a text": lambda: _bad(reply="text"),
    "a body over the limit": lambda: _bad(draft=draft("bad", "bad-chain", governance=True, size=59_900)),
    "a body that is a text": lambda: _bad(draft=Draft(body="{}", assets=("bad-chain",))),  # type: ignore[arg-type]
    "an asset no chain is named like": lambda: _bad(draft=draft("bad", "bad-chain", 'a"b')),
    "an asset twice": lambda: _bad(draft=draft("bad", "bad-chain", "bad-chain")),
    "too many assets": lambda: _bad(draft=draft("bad", *(f"bad-chain{n}" for n in range(65)))),
    "a count without what is written when it is crossed": lambda: dataclasses.replace(
        _bad(), counts=(count("bad meter", "a", add=1, limit=2), count("bad meter 2", "a", limit=0))
    ),
    "a challenge's digest that is a text": lambda: dataclasses.replace(
        _bad(), challenge=dataclasses.replace(challenge("bad"), digest="text")  # type: ignore[arg-type]
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", UNWRITABLE)
async def test_what_cannot_be_written_takes_no_neighbour_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    path = tmp_path / "s"
    with opened(path) as door:
        start = unit("start", governance=True)
        effects = (LEASE, TICKET, KEY, BROKER_KEY)
        await door.commit([dataclasses.replace(start, verdict=dataclasses.replace(start.verdict, effects=effects))])
        before = _everything_but_the_log(path)
        held = asyncio.gather(
            door.commit([unit("left", "good", counts=(count("m", "a"),), over_budget=verdict("over"))]),
            door.commit([UNWRITABLE[name]()]),
            door.commit([unit("right", "good", challenge=challenge("good"))]),
            return_exceptions=True,
        )
        left, bad, right = await asyncio.wait_for(held, 20)
        assert isinstance(left, list)
        assert isinstance(right, list)
        assert isinstance(bad, StoreUnavailable), bad
        assert [committed(left[0]).index, committed(right[0]).index] == [1, 2]
        assert committed((await asyncio.wait_for(door.commit([unit("later")]), 20))[0]).index == 3
    assert check_log(path) == 4
    after = _everything_but_the_log(path)
    assert {t: v for t, v in after.items() if before[t] != v}.keys() <= {
        "chain_head",
        "meter",
        "meter_member",
        "challenge_used",
    }
    assert [chain for chain, *_ in after["chain_head"]] == ["good", "gov"]
    assert [meter for meter, *_ in after["meter"]] == ["m"]
    assert [digest for digest, *_ in after["challenge_used"]] == [challenge("good").digest]


def _everything_but_the_log(path: Path) -> dict[str, list[Any]]:
    tables = [name for (name,) in rows(path, "SELECT name FROM sqlite_master WHERE type = 'table'")]
    kept = [t for t in tables if t not in {"log_entry", "log_head", "log_root"}]
    return {t: rows(path, f"SELECT * FROM {t} ORDER BY 1") for t in kept}  # names of ours


async def test_each_unit_of_one_call_has_an_outcome_of_its_own(tmp_path: Path) -> None:
    """One that cannot be written among eleven: the ten are written, in order, and their caller is told."""
    path = tmp_path / "s"
    with opened(path) as door:
        units = [unit(n, "a", challenge=challenge(n)) for n in range(11)]
        units[6] = _bad(reply="text")
        outcomes = await door.commit(units)
        again = await door.commit([units[0], _bad(reply="text"), unit("late", revision=9)])
        with pytest.raises(StoreUnavailable):
            await door.commit([_bad(reply="text"), _bad(effects=(object(),))])
    unwritten = outcomes.pop(6)
    assert isinstance(unwritten, Unwritten)
    assert "could not be written" in unwritten.why
    assert [committed(each).index for each in outcomes] == list(range(10))
    assert [type(each) for each in again] == [AlreadyUsed, Unwritten, Moved]
    assert check_log(path) == 10


async def test_one_that_cannot_be_written_costs_its_neighbours_few_transactions(tmp_path: Path) -> None:
    begun: list[str] = []
    with opened(tmp_path / "s", faults=begun.append) as door:
        await door.commit([unit(n) if n != 300 else _bad(reply="text") for n in range(512)])
    assert begun.count("begun") <= 19  # halves: two for each power of two
    assert check_log(tmp_path / "s") == 511


async def test_a_key_that_is_stored_is_never_replaced(tmp_path: Path) -> None:
    """Two changes that each make the tenant's first key-encryption key: the second is not written, nothing is lost."""
    path = tmp_path / "s"
    with opened(path) as door:
        await door.commit([Unit(verdict=verdict("a", effects=(KEY,)))])
        with pytest.raises(StoreUnavailable):
            await door.commit([Unit(verdict=verdict("b", effects=(dataclasses.replace(KEY, wrapped=b"other"),)))])
    assert rows(path, "SELECT wrapped FROM key_material") == [(b"first",)]


async def test_the_same_blob_twice_is_one(tmp_path: Path) -> None:
    with opened(tmp_path / "s") as door:
        await door.commit([Unit(verdict=verdict(n, blobs=(b"same", b"same"))) for n in range(3)])
    assert rows(tmp_path / "s", "SELECT data, idx FROM blob") == [(b"same", 0)]


async def test_the_longest_body_fits(tmp_path: Path) -> None:
    assets = [f"tenants/{'t' * 63}/assets/{'a' * 60}{n:03}" for n in range(64)]
    body = draft("x", size=MAX_BODY - len(draft("x").body))
    assert len(body.body) == MAX_BODY
    with opened(tmp_path / "s") as door:
        made = dataclasses.replace(body, assets=tuple(assets), governance=True)
        committed((await door.commit([Unit(verdict=Verdict(draft=made))]))[0])
    check_log(tmp_path / "s")


def wait(held: threading.Event) -> None:
    held.wait(10)


async def test_a_caller_that_goes_away_takes_nothing_back(tmp_path: Path) -> None:
    held = threading.Event()
    with opened(tmp_path / "s", faults=lambda point, /: wait(held)) as door:
        gone = asyncio.ensure_future(door.commit([unit("gone")]))
        stays = asyncio.ensure_future(door.commit([unit("stays")]))
        await asyncio.sleep(0)
        gone.cancel()
        held.set()
        assert committed((await stays)[0]).index == 1
    assert names(tmp_path / "s") == ["gone", "stays"]


async def test_closing_writes_what_waits_and_then_refuses(tmp_path: Path) -> None:
    with opened(tmp_path / "s") as door:
        waiting = [asyncio.ensure_future(door.commit([unit(n, challenge=challenge(n % 7))])) for n in range(30)]
        await asyncio.sleep(0)
    outcomes = [o for each in await asyncio.gather(*waiting) for o in each]
    assert sum(isinstance(o, Committed) for o in outcomes) == 7
    assert sum(isinstance(o, AlreadyUsed) for o in outcomes) == 23
    with pytest.raises(StoreUnavailable):
        await asyncio.wait_for(door.commit([unit("late")]), 5)
    assert check_log(tmp_path / "s") == 7


async def test_two_doors_on_one_file(tmp_path: Path) -> None:
    """Two writers with a thread and a connection each: one log, contiguous, each challenge once, the meter exact."""
    path = make_store(tmp_path / "s")
    with opened(path) as one, opened(path) as two:

        def of(door: Any, n: int) -> Any:
            name = f"{'one' if door is one else 'two'}-{n}"
            more = {"counts": (count("m", name, limit=150),), "over_budget": verdict(f"{name} refused")}
            return door.commit([unit(name, f"asset-{n % 3}", governance=n % 5 == 0, challenge=challenge(n), **more)])

        outcomes = await asyncio.gather(*(of(door, n) for n in range(200) for door in (one, two)))
    flat = [o for each in outcomes for o in each]
    written = [o for o in flat if isinstance(o, Committed)]
    assert len(written) == 200
    assert sum(not o.over_budget for o in written) == 150
    assert rows(path, "SELECT total FROM meter") == [(150,)]
    assert sorted(o.place.index for o in written) == list(range(200))
    assert all(isinstance(o, Committed | AlreadyUsed) for o in flat)
    assert check_log(path) == 200


def test_eight_processes_at_once() -> None:
    """Attack 36 in small; `make measure TOPIC=log LONG=1` has a hundred thousand units of each."""
    found = write_together(8, 40)
    assert found.wrongs == ()
    assert found.entries == 8 * 36 + 4


async def test_the_same_units_make_the_same_log(tmp_path: Path) -> None:
    """Leaves do not depend on how units fell into batches."""
    units = [unit(n, "a", governance=n % 4 == 0) for n in range(40)]
    with opened(tmp_path / "together") as door:
        await door.commit(units)
    with opened(tmp_path / "alone") as door:
        for each in units:
            await door.commit([each])
    heads = [rows(tmp_path / name, "SELECT root, frontier FROM log_head") for name in ("together", "alone")]
    assert heads[0] == heads[1]


async def test_a_fault_before_the_commit_leaves_nothing(tmp_path: Path) -> None:
    class Fault(Exception):
        pass

    armed = [True]

    def fail(point: str, /) -> None:
        if point == "before-commit" and armed[0]:
            raise Fault

    path = tmp_path / "s"
    with opened(path, Clock(NOW), fail) as door:
        with pytest.raises(StoreUnavailable):
            await asyncio.wait_for(door.commit([unit("a", "c", challenge=challenge("c"))]), 10)
        assert check_log(path) == 0
        armed[0] = False
        assert committed((await door.commit([unit("a", "c", challenge=challenge("c"))]))[0]).index == 0
    assert hashlib.sha256(rows(path, "SELECT leaf FROM log_entry")[0][0]).digest()
    assert check_log(path) == 1
