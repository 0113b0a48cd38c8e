"""Which TCB recoveries Intel has announced: `tcbEvaluationDataNumbers`.

Source: Intel "PCS API" version 4, "Retrieve TCB Evaluation Data Numbers". One number stands for a recovery in all that
Intel publishes about it; before it is the standard it can be had as `update=early`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from attest.tdx.members import Members, Shape

__all__ = ["Recoveries", "read_recoveries"]

_CHECK = "EVALUATIONS_FORMAT"
_HEAD = Shape(frozenset({"id", "version", "issueDate", "nextUpdate", "tcbEvalNumbers"}))
_EVENT = Shape(frozenset({"tcbEvaluationDataNumber", "tcbRecoveryEventDate", "tcbDate"}))
_MOST = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Recoveries:
    """`events` is the date of the recovery, by its tcbEvaluationDataNumber."""

    tee: str
    issue_date: datetime
    next_update: datetime
    events: Mapping[int, datetime]

    @property
    def evaluation(self) -> int:
        """0: the list itself is of no recovery."""
        return 0


def read_recoveries(document: Mapping[str, Any]) -> Recoveries:
    """The value of `tcbEvaluationDataNumbers`; raises Malformed EVALUATIONS_FORMAT."""
    read = Members(document, _HEAD, _CHECK, "evaluations")
    read.exactly("version", 1)
    events = read.each("tcbEvalNumbers", _EVENT)
    return Recoveries(
        tee=read.text("id"),
        issue_date=read.time("issueDate"),
        next_update=read.time("nextUpdate"),
        events={each.whole("tcbEvaluationDataNumber", _MOST): each.time("tcbRecoveryEventDate") for each in events},
    )
