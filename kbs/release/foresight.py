"""The forecast of a whole fleet, made without holding up the event loop; and the notices that it gives rise to."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import Final, Protocol

from attest.azure.verify import hardware_of
from attest.devices import prove_devices
from attest.errors import AttestError
from attest.gpu.prove import ProvenDevice
from kbs.model.asset import Snapshot
from kbs.model.collateral import Coming, Gathered, Lifetime
from kbs.model.words import counted
from kbs.release.fleet import Fleet
from kbs.release.port import Broker
from kbs.release.preflight import Forecast, Outlook, Refusal, Seen, forecast, outlook_of

__all__ = ["NOTICE_DAYS", "Kept", "foresee", "watch"]

_log = logging.getLogger("sealgate.collateral")
NOTICE_DAYS: Final = (30, 7, 1)
DAY_MS: Final = 86_400_000
_LOOK_S: Final = 60.0


async def foresee(
    broker: Broker,
    ends: Sequence[Lifetime],
    fleet: Fleet,
    *,
    at: int,
    tenants: Collection[str] | None = None,
) -> Forecast:
    """Who will be refused at `at` (ms), of `tenants` or of all, with the collateral that is at hand.

    `ends` is what there is of that collateral, with its ends.
    """
    await fleet.follow()
    now, snapshot = broker.clock(), broker.catalogue.current()
    found: list[tuple[Seen, Outlook]] = []
    later: list[tuple[Seen, Coming, tuple[Refusal, ...]]] = []
    for seen in fleet.seen(tenants):
        hardware = hardware_of(seen.evidence)
        outlook = _outlook(seen, broker.collateral.at_hand(hardware, now), broker, snapshot, now, at)
        found.append((seen, outlook))
        foretold = broker.collateral.foretell(hardware, now)
        if foretold is not None:
            changed = _outlook(seen, foretold.gathered, broker, snapshot, now, at)
            later.append((seen, foretold.coming, tuple(r for r in changed.refusals if r not in outlook.refusals)))
        await asyncio.sleep(0)
    return forecast(found, ends, now=now, at=at, later=later)


def _outlook(seen: Seen, gathered: Gathered, broker: Broker, snapshot: Snapshot, now: int, at: int) -> Outlook:
    """With what there is without a fetch, for the CPU in `gathered` and for the devices."""
    keeper, hardware = broker.collateral, hardware_of(seen.evidence)
    proven: list[ProvenDevice] = []
    with contextlib.suppress(AttestError):  # told by verification
        moment = datetime.fromtimestamp(now / 1_000, UTC)
        proven += prove_devices(seen.devices, broker.anchors, nonce=None, now=moment)
    return outlook_of(
        seen,
        keeper.at_hand_for_devices(gathered, proven, now),
        broker.anchors,
        snapshot,
        now=now,
        at=at,
        curable=lambda error: keeper.curable(hardware, error) or keeper.curable_for_devices(error),
    )


class Kept(Protocol):
    """The collateral that is at hand, as far as a look ahead needs it."""

    @property
    def generation(self) -> int:
        """Moves whenever a piece is not what it was."""

    def ends(self) -> list[Lifetime]:
        """Every piece, with its end."""

    def overdue(self, now: int) -> frozenset[str]:
        """The names of those that should have been renewed by now and have not ended; cheap."""


async def watch(
    broker: Broker,
    kept: Kept,
    fleet: Fleet,
    tell: Callable[[int, Forecast], object],
    *,
    look_s: float = _LOOK_S,
) -> None:
    """Foresees 30, 7 and 1 days, daily and after every change of collateral, for ever; to be cancelled at the end.

    It looks again as soon as a piece's renewal is overdue, too: what lives for a day would end before the next look.
    `tell` gets the days and the forecast: for a metric. Who will be refused is also said in the process's log.
    """
    known, due, late = -1, 0, frozenset[str]()
    while True:
        now, before = broker.clock(), late
        late = kept.overdue(now)
        if kept.generation != known or now >= due or late - before:
            known, due = kept.generation, now + DAY_MS
            try:
                for days in NOTICE_DAYS:
                    found = await foresee(broker, kept.ends(), fleet, at=now + days * DAY_MS)
                    tell(days, found)
                    _say(days, found)
            except Exception:  # noqa: BLE001  # a forecast that fails harms no release; the next one is a day away
                _log.exception("who will be refused could not be foreseen")
        await asyncio.sleep(look_s)


def _say(days: int, found: Forecast) -> None:
    ahead, known = counted(days, "day"), counted(found.platforms, "platform")
    for refusal, nodes in found.refusals:
        _log.warning(
            "in %s %d of %s will be refused: %s %s %s: expected %s, got %s",
            ahead,
            len(nodes),
            known,
            refusal.product,
            refusal.asset,
            refusal.check,
            refusal.expected,
            refusal.got,
        )
    for leave, nodes in found.leaves:
        _log.info("in %s %d of %s pass %s", ahead, len(nodes), known, leave.leave)
    for missing, nodes in found.missing:
        who = counted(len(nodes), "platform")
        _log.warning("%s cannot be judged until it is fetched or imported: %s", who, missing.expected)
    for change in found.changes if days == NOTICE_DAYS[0] else ():
        _log.log(
            logging.WARNING if change.refused else logging.INFO,
            "when tcbEvaluationDataNumber %d is the standard, %d of %s of %s will be refused",
            change.coming.evaluation,
            change.refused,
            counted(change.platforms, "platform"),
            change.coming.family,
        )
    for ending in found.endings:
        why = "its renewal is overdue" if ending.overdue else "it must be renewed or imported before"
        _log.warning("in %s %s will have ended; %s", ahead, ending.name, why)
