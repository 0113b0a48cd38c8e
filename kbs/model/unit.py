"""What goes through the write door: one change, judged on its own, with its entry.

A unit is written whole or not at all. Its guards are judged under the head's lock, against what is true there; a guard
that fails concerns this unit alone, never its neighbours in the batch. Nothing changes without its entry, since there
is no other way in.
"""

from __future__ import annotations

from dataclasses import dataclass

from kbs.model.effect import Effect
from kbs.model.lease import Machine
from kbs.model.log import Draft, Place

__all__ = [
    "AlreadyUsed",
    "ChallengeUse",
    "Committed",
    "Conflict",
    "Count",
    "Expired",
    "LeaseUse",
    "Moved",
    "Outcome",
    "Stored",
    "Unit",
    "Unwritten",
    "Verdict",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChallengeUse:
    """Uses a challenge up, or finds that it was. `digest` is its SHA-256, `bound` what it was used for."""

    digest: bytes
    bound: bytes
    issued_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """Adds to the bucket of a meter that begins at `window`, unless all from `since` on would then exceed `limit`.

    `member` makes the addition count once: a node that was counted from `since` on adds nothing. Times in ms since
    1970; `back` is how far the meter looks back, 0 for a window of its own.
    """

    meter: str
    window: int
    add: int
    limit: int
    member: str
    back: int = 0

    @property
    def since(self) -> int:
        """The oldest moment whose additions count."""
        return self.window - self.back


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseUse:
    """A lease that must be as it was read: `newest` is the index of the entry that had changed it last."""

    lease_id: str
    newest: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One way in which a unit can end: its entry, what its digests stand for, its rows and the reply to store.

    `own` are documents that no other entry will name, kept beside this one; `blobs` those that others share.
    """

    draft: Draft
    blobs: tuple[bytes, ...] = ()
    own: tuple[bytes, ...] = ()
    effects: tuple[Effect, ...] = ()
    reply: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """Guards and what follows from them.

    `revision` is the state's revision that the verdict was made under, None where none was read; `lease` the lease that
    it was made about, which counts as moved when it changed; `machine` whose devices a lease is to be of, which counts
    as moved while one of them is under a live lease of another machine; `expects` are objects
    with the digest they must have (empty: must not exist). `over_budget` is written instead of `verdict` if a count
    would cross its limit.
    """

    verdict: Verdict
    challenge: ChallengeUse | None = None
    revision: int | None = None
    lease: LeaseUse | None = None
    machine: Machine | None = None
    expects: tuple[tuple[str, bytes], ...] = ()
    counts: tuple[Count, ...] = ()
    over_budget: Verdict | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What a used challenge left behind: whom it answered, with what, and where that is logged."""

    bound: bytes
    reply: bytes
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """Durable. `over_budget` tells which verdict was written."""

    place: Place
    over_budget: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AlreadyUsed:
    """The challenge was used before; nothing was written."""

    stored: Stored


@dataclass(frozen=True, slots=True, kw_only=True)
class Expired:
    """The challenge is too old by the log's own time; nothing was written."""

    age_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """The revision, the lease or who holds a device moved since the verdict was made; nothing was written."""

    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """An object is not what the change expected; nothing was written."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unwritten:
    """This unit could not be written, or it is unknown whether it was, while others of the same call were.

    A call whose units all fail raises instead, so that a caller with one unit never sees it.
    """

    why: str


Outcome = Committed | AlreadyUsed | Expired | Moved | Conflict | Unwritten
