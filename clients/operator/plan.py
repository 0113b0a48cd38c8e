"""What documents would change, as the broker judges it, and then the change: `sealgate plan` and `sealgate apply`.

A plan writes nothing. Each change is made upon the etag that the plan saw, so that what somebody else did meanwhile is
found and not overwritten; a document may also name the etag that it was written against.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sealgate.v1 import catalog_pb2 as pb

from clients.errors import ClientError, Denied
from clients.operator.catalog import delete, get, to_document, write
from clients.operator.documents import Wanted
from clients.transport import Channel
from kbs.model.words import counted

__all__ = ["Step", "apply", "plan", "refusals"]

_CEILINGS = frozenset({"new_nodes_per_hour", "bytes_per_day", "lease_seconds"})
_NOT_SHOWN = frozenset({"etag", "pdi", "pseudonym"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One document's change. `action` is create, update, delete, unchanged or refused.

    `differences` are (path, before, after) of an update; `why` says what refuses it.
    """

    wanted: Wanted
    action: str
    etag: str
    why: str = ""
    differences: tuple[tuple[str, Any, Any], ...] = ()


def plan(channel: Channel, wanted: Sequence[Wanted]) -> list[Step]:
    """What each document would come to if all were applied in order; raises Denied, Unavailable."""
    steps: dict[int, Step] = {}
    for tenant in dict.fromkeys(w.name.split("/")[1] for w in wanted):
        mine = [(n, w) for n, w in enumerate(wanted) if w.name.split("/")[1] == tenant]
        request = pb.PlanChangesRequest(parent=f"tenants/{tenant}", changes=[_planned(w) for _, w in mine])
        answer = channel.call("/sealgate.v1.Catalog/PlanChanges", request, pb.PlanChangesResponse)
        for (number, each), outcome in zip(mine, answer.outcomes, strict=True):
            steps[number] = _step(channel, each, outcome)
    return [steps[n] for n in sorted(steps)]


def refusals(steps: Sequence[Step]) -> list[Step]:
    """The steps that would be refused."""
    return [step for step in steps if step.action == "refused"]


def apply(channel: Channel, steps: Sequence[Step], told: Callable[[Step], None]) -> None:
    """Makes every change of a plan that holds none that would be refused, and says which after each.

    Stops at the first that fails, which raises: Denied ETAG_MISMATCH if somebody else changed it since the plan.
    """
    wrong = refusals(steps)
    if wrong:
        raise Denied(f"{len(wrong)} of {counted(len(steps), 'change')} would be refused; nothing was applied", {})
    done = 0
    for step in steps:
        if step.action == "unchanged":
            continue
        try:
            _make(channel, step)
        except ClientError as error:
            error.args = (f"{step.wanted.where}: {step.wanted.name}: {error} ({done} changes before it were applied)",)
            raise
        done += 1
        told(step)


def _make(channel: Channel, step: Step) -> None:
    if step.action == "delete":
        delete(channel, step.wanted.name, step.etag)
        return
    message = type(step.wanted.message)()
    message.CopyFrom(step.wanted.message)
    message.etag = step.etag
    write(channel, message, new=step.action == "create")


def _planned(wanted: Wanted) -> pb.PlannedChange:
    if wanted.delete:
        return pb.PlannedChange(delete=wanted.name)
    return pb.PlannedChange(**{wanted.type.field: wanted.message})


def _step(channel: Channel, wanted: Wanted, outcome: pb.PlannedOutcome) -> Step:
    present, after = outcome.present_etag, outcome.change.etag
    if wanted.delete and outcome.reason == "NOT_FOUND":
        return Step(wanted=wanted, action="unchanged", etag="")
    if wanted.delete and not outcome.reason and wanted.message.etag not in {"", present}:
        return Step(wanted=wanted, action="refused", etag=present, why="ETAG_MISMATCH: somebody changed it meanwhile")
    if outcome.reason:
        return Step(
            wanted=wanted, action="refused", etag="", why=f"{outcome.message} ({outcome.reason} {outcome.check})"
        )
    if wanted.delete or not present:
        return Step(wanted=wanted, action="delete" if wanted.delete else "create", etag=present)
    if present == after:
        return Step(wanted=wanted, action="unchanged", etag=present)
    differences = tuple(_differences(to_document(get(channel, wanted.name)), to_document(wanted.message), ""))
    return Step(wanted=wanted, action="update", etag=present, differences=differences)


def _differences(before: Any, after: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            inner = f"{path}.{key}" if path else key
            if (key in _CEILINGS and not after.get(key)) or (not path and key in _NOT_SHOWN):
                continue  # the tier's, or what no document holds
            yield from _differences(before.get(key), after.get(key), inner)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from _differences(one, other, f"{path}[{number}]")
    elif before != after:
        yield path, before, after
