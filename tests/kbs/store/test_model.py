"""The door against a model of it in forty lines of dictionaries: whatever is asked in whatever order, the same answers.

The model knows nothing of batches, SQL or trees; it judges one unit after the other.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from kbs.log.sequence import LogSequencer
from kbs.model.effect import PutObject
from kbs.model.unit import (
    AlreadyUsed,
    ChallengeUse,
    Committed,
    Conflict,
    Count,
    Expired,
    Moved,
    Outcome,
    Unit,
    Unwritten,
    Verdict,
)
from kbs.store.door import WriteDoor
from tests.kbs.store.opened import ORIGIN, Clock, challenge, check_log, draft, make_store, names, rows, verdict

HOUR = 3_600_000
DAY = 24 * HOUR
GONE: tuple[object, ...] = ("used or expired", "whichever it is, depending on when the batch before was pruned")


@dataclass
class Model:
    """What the door should be."""

    time: int = 0
    entries: list[str] = field(default_factory=list)
    used: dict[bytes, tuple[int, int]] = field(default_factory=dict)  # digest: (index, issued_at)
    objects: dict[str, bytes] = field(default_factory=dict)
    revision: int = 0
    members: dict[tuple[str, int], dict[str, int]] = field(default_factory=dict)

    def judge(self, unit: Unit, name: str, now: int) -> tuple[object, ...]:
        now = max(now, self.time)
        use = unit.challenge
        if use is not None and now - use.issued_at > 125_000:
            return GONE
        if use is not None and use.digest in self.used:
            return (AlreadyUsed, self.used[use.digest][0])
        if use is not None and now - use.issued_at > 120_000:
            return (Expired, now - use.issued_at)
        if unit.revision is not None and unit.revision != self.revision:
            return (Moved, self.revision)
        for wanted, digest in unit.expects:
            if self.objects.get(wanted, b"") != digest:
                return (Conflict, wanted)
        counted = self._counted(unit.counts)
        over = counted is None
        if counted is not None:
            self.members = counted
            for effect in unit.verdict.effects:
                assert isinstance(effect, PutObject)
                self.objects[effect.name] = effect.digest
                self.revision = self.revision + 1
        self.time = now
        self.entries.append(f"{name} over" if over else name)
        if use is not None:
            self.used[use.digest] = (len(self.entries) - 1, use.issued_at)
        self._prune()
        return (Committed, len(self.entries) - 1, over)

    def _counted(self, counts: tuple[Count, ...]) -> dict[tuple[str, int], dict[str, int]] | None:
        """The members after these counts; None if one of them crosses its limit."""
        after = {key: dict(members) for key, members in self.members.items()}
        for count in counts:
            seen = [m for (meter, window), m in after.items() if meter == count.meter and window >= count.since]
            if any(count.member in members for members in seen):
                continue
            if sum(sum(members.values()) for members in seen) + count.add > count.limit:
                return None
            after.setdefault((count.meter, count.window), {})[count.member] = count.add
        return after

    def _prune(self) -> None:
        self.used = {d: u for d, u in self.used.items() if u[1] >= self.time - 125_000}
        self.members = {key: m for key, m in self.members.items() if key[1] >= self.time - 2 * DAY}


def _told(outcome: Outcome) -> tuple[object, ...]:
    match outcome:
        case AlreadyUsed(stored=stored):
            return (AlreadyUsed, stored.place.index)
        case Expired(age_ms=age):
            return (Expired, age)
        case Moved(revision=revision):
            return (Moved, revision)
        case Conflict(name=name):
            return (Conflict, name)
        case Committed(place=place, over_budget=over):
            return (Committed, place.index, over)
        case Unwritten(why=why):
            return (Unwritten, why)


_COUNTS = st.lists(
    st.builds(
        Count,
        meter=st.sampled_from("mn"),
        window=st.sampled_from([0, HOUR, 2 * HOUR]),
        back=st.sampled_from([0, HOUR]),
        add=st.integers(0, 3),
        limit=st.integers(0, 6),
        member=st.sampled_from("abcd"),
    ),
    max_size=3,
).map(tuple)
_USES = st.none() | st.tuples(st.integers(0, 5), st.sampled_from([0, 60_000, 120_000, 120_001, -5_000]))
_CHANGES = st.none() | st.tuples(st.sampled_from("op"), st.integers(0, 2), st.booleans())


class DoorAgainstModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="sealgate-door-"))
        self.path = make_store(self.directory / "s")
        self.clock = Clock()
        self.model = Model()
        self.loop = asyncio.new_event_loop()
        self.door = WriteDoor(self.path, LogSequencer(ORIGIN), self.clock)
        self.number = 0

    def teardown(self) -> None:
        self.door.close()
        self.loop.close()
        shutil.rmtree(self.directory)

    def _unit(
        self,
        counts: tuple[Count, ...],
        use: tuple[int, int] | None,
        change: tuple[str, int, bool] | None,
        revision: int | None,
    ) -> tuple[Unit, str]:
        self.number += 1
        name = str(self.number)
        effects: tuple[PutObject, ...] = ()
        blobs: tuple[bytes, ...] = ()
        expects: tuple[tuple[str, bytes], ...] = ()
        if change is not None:
            target, version, honest = change
            data = f"{target}{version}".encode()
            effects = (PutObject(name=target, kind="k", digest=hashlib.sha256(data).digest()),)
            blobs = (data,)
            expects = ((target, self.model.objects.get(target, b"") if honest else b"wrong"),)
        made = Verdict(draft=draft(name, "a", governance=change is not None), blobs=blobs, effects=effects)
        used: ChallengeUse | None = None
        if use is not None:
            issued_at = self.clock.now - use[1]
            used = challenge((use[0], issued_at), issued_at=issued_at)
        today = max(self.clock.now, self.model.time) // DAY * DAY
        counts = tuple(dataclasses.replace(c, window=today - c.window) for c in counts)
        over = verdict(f"{name} over") if counts else None
        at = None if revision is None else self.model.revision + revision
        return Unit(verdict=made, challenge=used, revision=at, expects=expects, counts=counts, over_budget=over), name

    @rule(
        asked=st.lists(
            st.tuples(_COUNTS, _USES, _CHANGES, st.sampled_from([None, None, 0, -1])), min_size=1, max_size=4
        )
    )
    def commit(
        self,
        asked: list[tuple[tuple[Count, ...], tuple[int, int] | None, tuple[str, int, bool] | None, int | None]],
    ) -> None:
        # One challenge twice in one call is judged in two batches: tests/kbs/store/test_door.py.
        seen = [use[0] for _, use, _, _ in asked if use is not None]
        if len(set(seen)) < len(seen):
            asked = asked[:1]
        made = [self._unit(*each) for each in asked]
        expected = [self.model.judge(unit, name, self.clock.now) for unit, name in made]
        outcomes = self.loop.run_until_complete(self.door.commit([unit for unit, _ in made]))
        for outcome, wanted in zip(outcomes, expected, strict=True):
            assert _told(outcome) == wanted or (wanted == GONE and isinstance(outcome, AlreadyUsed | Expired))

    @rule(step=st.sampled_from([1, 1_000, 60_000, 130_000, -1_000, -3_600_000, DAY]))
    def the_clock_moves(self, step: int) -> None:
        self.clock.now += step

    @rule()
    def the_process_restarts(self) -> None:
        self.door.close()
        self.door = WriteDoor(self.path, LogSequencer(ORIGIN), self.clock)

    @invariant()
    def the_store_is_the_model(self) -> None:
        assert names(self.path) == self.model.entries
        assert dict(rows(self.path, "SELECT name, digest FROM object")) == self.model.objects
        assert rows(self.path, "SELECT revision FROM state") == [(self.model.revision,)]
        used = dict(rows(self.path, "SELECT digest, idx FROM challenge_used"))
        assert used == {digest: index for digest, (index, _) in self.model.used.items()}
        totals = {(m, w): t for m, w, t in rows(self.path, "SELECT * FROM meter")}
        kept = {key: total for key, total in totals.items() if key[1] >= self.model.time - 2 * DAY}
        assert kept == {key: sum(members.values()) for key, members in self.model.members.items()}
        assert check_log(self.path) == len(self.model.entries)


TestDoorAgainstModel = DoorAgainstModel.TestCase
TestDoorAgainstModel.settings = settings(
    max_examples=50,
    stateful_step_count=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
