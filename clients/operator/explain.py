"""Why was it refused? Asked by an operator, with the ticket that the node was given."""

from __future__ import annotations

from sealgate.v1.decisions_pb2 import CheckOutcome, ExplainDecisionRequest, ExplainDecisionResponse

from clients.transport import Channel

__all__ = ["explain", "to_document", "to_text"]

_MARKS = {"passed": "ok  ", "skipped": "skip"}


def explain(channel: Channel, ticket: str) -> ExplainDecisionResponse:
    """The story behind a ticket; raises Denied, Unavailable."""
    return channel.call(
        "/sealgate.v1.Decisions/ExplainDecision", ExplainDecisionRequest(ticket=ticket), ExplainDecisionResponse
    )


def to_document(answer: ExplainDecisionResponse) -> dict[str, object]:
    """For --json."""
    nearest = None
    if answer.HasField("nearest"):
        nearest = {
            "name": answer.nearest.name,
            "differences": [
                {"field": d.field, "expected": d.expected, "got": d.got} for d in answer.nearest.differences
            ],
        }
    return {
        "index": answer.index,
        "type": answer.entry_type,
        "action": answer.action,
        "time": answer.time.ToJsonString(),
        "reason": answer.reason,
        "simulated": answer.simulated,
        "checks": [
            {"check": c.check, "path": c.path, "outcome": _outcome(c.outcome), "expected": c.expected, "got": c.got}
            for c in answer.checks
        ],
        "nearest": nearest,
        "nearest_name": answer.nearest_name or None,
        "remedies": list(answer.remedies),
    }


def to_text(answer: ExplainDecisionResponse, *, everything: bool) -> str:
    """For people: failures in full, then what would help; with `everything` the other checks too, one line each."""
    simulated = "  (simulated)" if answer.simulated else ""
    of = {"rehearse": ", a rehearsal,", "renew": ", a renewal,"}.get(answer.action, "")
    lines = [
        f"{answer.entry_type}{of} at index {answer.index}, {answer.time.ToJsonString()}: {answer.reason}{simulated}"
    ]
    for check in answer.checks:
        if _outcome(check.outcome) == "failed":
            lines += [f"  FAIL  {check.check}  {check.path}", f"        expected {check.expected}"]
            lines += [f"        got      {check.got}"]
    if answer.HasField("nearest"):
        lines.append(f"  nearest reference value: {answer.nearest.name}; it differs in")
        lines += [f"        {d.field}: {d.expected}" for d in answer.nearest.differences]
    if answer.nearest_name:
        lines.append(f"  nearest name in the catalogue: {answer.nearest_name}")
    lines += [f"  -> {remedy}" for remedy in answer.remedies]
    lines += _others(answer) if everything else [f"  besides: {_count(answer)}; --all lists them"]
    return "\n".join(lines)


def _count(answer: ExplainDecisionResponse) -> str:
    outcomes = [_outcome(check.outcome) for check in answer.checks]
    return f"{outcomes.count('passed')} checks passed, {outcomes.count('skipped')} skipped"


def _others(answer: ExplainDecisionResponse) -> list[str]:
    rest = [(_outcome(check.outcome), check) for check in answer.checks if _outcome(check.outcome) != "failed"]
    return [f"  {_MARKS[outcome]}  {c.check}  {c.path}: {c.got} ({c.expected})" for outcome, c in rest]


def _outcome(value: int) -> str:
    return CheckOutcome.Name(value).removeprefix("CHECK_OUTCOME_").lower()  # type: ignore[arg-type]
