"""A device is under live leases of one machine, whatever comes in whatever order and however it is batched."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from tempfile import TemporaryDirectory

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from kbs.model.effect import Effect, EndLease, PutLease, PutLeaseDevice, RenewLease
from kbs.model.lease import Elsewhere, Machine
from kbs.model.unit import Committed, Moved, Unit, Verdict
from kbs.store.door import WriteDoor
from kbs.store.leases import Leases
from kbs.store.read import Reader
from tests.kbs.store.opened import NOW, Clock, check_log, count, draft, opened, rows, unit, verdict

HOUR = 3_600_000


def _devices(lease_id: str, machine: Machine, until: int) -> tuple[Effect, ...]:
    return tuple(
        PutLeaseDevice(lease_id=lease_id, device=f"acme-{d}", place=n, serial=d, machine=machine.name, until=until)
        for n, d in enumerate(machine.devices)
    )


def grant(lease_id: str, name: str, devices: str, *, until: int = NOW + HOUR) -> Unit:
    """A lease of the devices that these letters stand for."""
    machine = Machine(name=name, devices=tuple(devices))
    lease = PutLease(
        lease_id=lease_id, tenant="acme", node=f"node-{name}", start=NOW, end=until,
        purpose="p", platform="snp", guest="g", holder_key=b"k",
    )  # fmt: skip
    return Unit(
        verdict=Verdict(draft=draft(lease_id), effects=(lease, *_devices(lease_id, machine, until))), machine=machine
    )


def renew(lease_id: str, name: str, devices: str, *, until: int) -> Unit:
    machine = Machine(name=name, devices=tuple(devices))
    effects = (RenewLease(lease_id=lease_id, end=until), *_devices(lease_id, machine, until))
    return Unit(verdict=Verdict(draft=draft(f"{lease_id} renewed"), effects=effects), machine=machine)


def end(lease_id: str, at: int) -> Unit:
    ended = EndLease(lease_id=lease_id, ended=at, reason="REVOKED_REATTEST")
    return Unit(verdict=Verdict(draft=draft(f"{lease_id} ended"), effects=(ended,)))


LATER = NOW + 2 * HOUR
OVER_BUDGET = dataclasses.replace(grant("2", "a", "x"), counts=(count("m", "a", limit=0),), over_budget=verdict("over"))
# name: (calls of the door with their units, and whether each is written; the clock stands still)
TABLE: dict[str, list[tuple[Unit, bool]]] = {
    "another machine": [(grant("1", "a", "x"), True), (grant("2", "b", "x"), False)],
    "another device": [(grant("1", "a", "x"), True), (grant("2", "b", "y"), True)],
    "one of several": [(grant("1", "a", "xy"), True), (grant("2", "b", "zy"), False), (grant("3", "b", "z"), True)],
    "the same machine": [(grant("1", "a", "x"), True), (grant("2", "a", "xy"), True)],
    "the same machine renews": [(grant("1", "a", "x"), True), (renew("1", "a", "x", until=LATER), True)],
    "an end that has come": [(grant("1", "a", "x", until=NOW), True), (grant("2", "b", "x"), True)],
    "an end a millisecond away": [(grant("1", "a", "x", until=NOW + 1), True), (grant("2", "b", "x"), False)],
    "renewed after its end": [
        (grant("1", "a", "x", until=NOW), True),
        (renew("1", "a", "x", until=LATER), True),
        (grant("2", "b", "x"), False),
    ],
    "renewed after another took it": [
        (grant("1", "a", "x", until=NOW), True),
        (grant("2", "b", "x"), True),
        (renew("1", "a", "x", until=LATER), False),
    ],
    "one of two leases is over": [
        (grant("1", "a", "x", until=NOW), True),
        (grant("2", "a", "x"), True),
        (grant("3", "b", "x"), False),
    ],
    "refused by a count": [(OVER_BUDGET, True), (grant("3", "b", "x"), True)],
    "no devices": [(grant("1", "a", "x"), True), (unit("2"), True)],
}


# Within one batch nothing runs out: a lease that the batch itself wrote holds its devices to the end of it.
RUNS_OUT = {
    "an end that has come",
    "renewed after its end",
    "renewed after another took it",
    "one of two leases is over",
}
WAYS = [(name, together) for name in TABLE for together in (False, True) if not together or name not in RUNS_OUT]


@pytest.mark.parametrize(("name", "together"), WAYS)
async def test_who_may_have_it(tmp_path: Path, name: str, *, together: bool) -> None:
    asked = TABLE[name]
    with opened(tmp_path / "s") as door:
        if together:
            outcomes = await door.commit([each for each, _ in asked])
        else:
            outcomes = [(await door.commit([each]))[0] for each, _ in asked]
    assert [type(outcome) for outcome in outcomes] == [Committed if fine else Moved for _, fine in asked]
    assert check_log(tmp_path / "s") == sum(fine for _, fine in asked)


async def test_a_lease_that_was_ended_holds_nothing(tmp_path: Path) -> None:
    with opened(tmp_path / "s") as door:
        await door.commit([grant("1", "a", "x"), grant("2", "a", "y")])
        await door.commit([end("1", NOW)])
        outcomes = await door.commit([grant("3", "b", "x"), grant("4", "b", "y")])
    assert [type(outcome) for outcome in outcomes] == [Committed, Moved]


async def test_what_is_told_of_another_machines_lease(tmp_path: Path) -> None:
    with opened(tmp_path / "s") as door:
        await door.commit([grant("1", "a", "xy"), grant("2", "c", "z", until=NOW + 1)])
    reader = Reader(tmp_path / "s")
    leases, asking = Leases(reader), Machine(name="b", devices=("z", "w", "x"))
    [z, x] = leases.elsewhere(asking, NOW)
    assert x == Elsewhere(device="x", tenant="acme", lease_id="1", node="node-a")
    assert z == Elsewhere(device="z", tenant="acme", lease_id="2", node="node-c")
    assert leases.elsewhere(asking, NOW + 1) == [x]
    assert leases.elsewhere(asking, NOW + HOUR) == []
    assert leases.elsewhere(dataclasses.replace(asking, name="a"), NOW) == [z]
    assert leases.elsewhere(Machine(name="a", devices=()), NOW) == []
    plan = " ".join(str(row) for row in rows(tmp_path / "s", "EXPLAIN QUERY PLAN SELECT DISTINCT serial, machine "
        "FROM lease_device WHERE serial = 'x' AND until >= 1"))  # fmt: skip
    assert "COVERING INDEX lease_device_serial" in plan
    reader.close()


_GRANTS = st.tuples(st.sampled_from("abc"), st.sets(st.sampled_from("xyz"), min_size=1), st.sampled_from([1, 60, 600]))
_RENEWALS = st.tuples(st.just("renew"), st.integers(0, 9), st.sampled_from([60, 600]))
_ENDS = st.tuples(st.just("end"), st.integers(0, 9))
_STEPS = st.lists(
    st.tuples(st.sampled_from([0, 1_000, 61_000]), st.lists(_GRANTS | _RENEWALS | _ENDS, min_size=1, max_size=4)),
    max_size=8,
)


@given(steps=_STEPS)
@settings(max_examples=25, deadline=None, derandomize=True)
def test_no_device_has_two_machines(steps: list[tuple[int, list[tuple[object, ...]]]]) -> None:
    with TemporaryDirectory(prefix="sealgate-devices-") as name:
        asyncio.run(_play(Path(name) / "s", steps))


async def _play(path: Path, steps: list[tuple[int, list[tuple[object, ...]]]]) -> None:
    clock, made = Clock(), list[tuple[str, str]]()  # (machine, devices) of each lease, by its number
    with opened(path, clock) as door:
        for step, batch in steps:
            clock.now += step
            changed: set[object] = set()
            units: list[Unit] = []
            for move in batch:
                if move[0] not in {"renew", "end"}:
                    machine, devices, seconds = str(move[0]), "".join(sorted(move[1])), int(str(move[2]))  # type: ignore[call-overload]
                    made.append((machine, devices))
                    until = clock.now + seconds * 1_000
                    units.append(grant(str(len(made) - 1), machine, devices, until=until))
                    continue
                number = int(str(move[1]))
                if number >= len(made) or number in changed or not _exists(path, number):
                    continue
                changed.add(number)
                if move[0] == "end":
                    units.append(end(str(number), clock.now))
                else:
                    until = clock.now + int(str(move[2])) * 1_000
                    units.append(renew(str(number), *made[number], until=until))
            if units:
                await _commit(door, path, units, clock.now)


def _exists(path: Path, number: int) -> bool:
    """It was granted and nobody ended it: kbs/release renews no other."""
    return bool(rows(path, "SELECT 1 FROM lease WHERE lease_id = ? AND ended = 0", str(number)))


async def _commit(door: WriteDoor, path: Path, units: list[Unit], now: int) -> None:
    """What is refused had a reason before the batch or in it, and afterwards every device has one machine."""
    held = _holders(path, now)
    outcomes = await door.commit(units)
    for each, outcome in zip(units, outcomes, strict=True):
        if each.machine is None:
            assert isinstance(outcome, Committed)
            continue
        mine = each.machine.name
        elsewhere = any(held.get(device, set()) - {mine} for device in each.machine.devices)
        assert isinstance(outcome, Moved if elsewhere else Committed)
        if not elsewhere:
            for device in each.machine.devices:
                held.setdefault(device, set()).add(mine)
    assert all(len(machines) == 1 for machines in _holders(path, now).values())


def _holders(path: Path, now: int) -> dict[str, set[str]]:
    """By the leases themselves, not by what the guard reads."""
    found: dict[str, set[str]] = {}
    live = "SELECT device, node FROM lease_device JOIN lease USING (lease_id) WHERE ended = 0 AND end > ?"
    for device, node in rows(path, live, now):
        found.setdefault(device.removeprefix("acme-"), set()).add(node.removeprefix("node-"))
    return found
