"""Where it is decided. One function, for every RPC: native invariants first, then an explicit allow or a refusal."""

from __future__ import annotations

from collections.abc import Sequence

from attest.finding import Finding, Outcome
from kbs.decide.invariants import violations
from kbs.decide.renewal import refusal_of_renewal
from kbs.model.decision import Allowed, Decision, EngineAnswer, Question

__all__ = ["decide"]


def decide(question: Question, answers: Sequence[EngineAnswer]) -> Decision:
    """Decides from the question and the engines' answers alone, so that any past decision can be made again.

    The first reason that depends on no asset is told as it is; whatever depends on one is `ACCESS_DENIED` to the
    caller, or `LOCKED` once nothing else stands in the way. No answer at all is a refusal. A refused renewal is told
    apart by what would help: kbs/decide/renewal.py.
    """
    violated = list(violations(question))
    findings = [f for resource in question.resources for f in resource.findings]
    findings += question.lease
    findings += [finding for _, finding in violated]
    findings += [_engine_finding(answer) for answer in answers]
    refusing = [a for a in answers if not a.allowed or a.errors]
    reasons = list(dict.fromkeys(reason for reason, _ in violated))
    if not answers or refusing:
        reasons.append("ACCESS_DENIED")
    if not reasons:
        return Decision(allowed=True, reason=Allowed, reasons=(Allowed,), findings=tuple(findings))
    if question.action == "renew":
        checks = [finding.check for _, finding in violated]
        reason = refusal_of_renewal(question.lease, checks, engines_allow=bool(answers) and not refusing)
    else:
        reason = _coarse(reasons)
    return Decision(
        allowed=False, reason=reason, reasons=tuple(dict.fromkeys((*reasons, reason))), findings=tuple(findings)
    )


def _coarse(reasons: Sequence[str]) -> str:
    """What the caller may learn: a lock only if it is all that stands in the way, else the first reason of an asset's
    own is hidden behind ACCESS_DENIED."""
    told = [r for r in reasons if r not in {"ACCESS_DENIED", "LOCKED"}]
    if told:
        return told[0]
    return "LOCKED" if set(reasons) == {"LOCKED"} else "ACCESS_DENIED"


def _engine_finding(answer: EngineAnswer) -> Finding:
    got = "; ".join(answer.errors) or ("allow" if answer.allowed else "deny")
    if answer.policies:
        got += f" by {', '.join(answer.policies)}"
    passed = answer.allowed and not answer.errors
    return Finding(
        check="POLICY",
        path=f"engine.{answer.engine}",
        outcome=Outcome.PASSED if passed else Outcome.FAILED,
        expected="an explicit allow",
        got=got,
    )
