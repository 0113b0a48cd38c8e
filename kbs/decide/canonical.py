"""The one way in which a decision is written down: the preimage of `decision_digest`."""

from __future__ import annotations

from collections.abc import Sequence

from attest.finding import Finding
from attest.tlog.entry import canonical
from kbs.model.decision import Decision, EngineAnswer, Question, Resource, Workload

__all__ = ["MAX_DECISION", "decision_bytes", "finding_document", "question_document"]

# Sixteen assets, each with every finding of its appraisal, take about 110 kB; a decision too long to be written down
# would be one without an entry.
MAX_DECISION = 1 << 20


def decision_bytes(question: Question, answers: Sequence[EngineAnswer], decision: Decision) -> bytes:
    """Canonical JSON of question, answers and outcome of step 5; nothing of what step 6 read.

    `findings` begins with those of each resource in order, as many as its `findings` says, then those about leases,
    as many as the question's `lease` says, if it has one: the decision can be made again from this document alone.
    """
    document = {
        "v": "sealgate.decision/1",
        "question": question_document(question),
        "answers": [
            {"engine": a.engine, "allowed": a.allowed, "policies": list(a.policies), "errors": list(a.errors)}
            for a in answers
        ],
        "allowed": decision.allowed,
        "reason": decision.reason,
        "reasons": list(decision.reasons),
        "findings": [finding_document(f) for f in decision.findings],
    }
    return canonical(document, limit=MAX_DECISION)


def question_document(question: Question) -> dict[str, object]:
    """The question as a document, also what engines see of it."""
    return {
        "action": question.action,
        "tenant": question.tenant,
        "principal": question.principal,
        "roles": list(question.roles),
        "purpose": question.purpose,
        "workload": None if question.workload is None else _workload(question.workload),
        "resources": [_resource(r) for r in question.resources],
        "simulation": question.simulation,
        **({"lease": len(question.lease)} if question.lease else {}),
    }


def finding_document(finding: Finding) -> dict[str, str]:
    """One finding as a document."""
    return {
        "check": finding.check,
        "path": finding.path,
        "outcome": finding.outcome.value,
        "expected": finding.expected,
        "got": finding.got,
    }


def _workload(workload: Workload) -> dict[str, object]:
    return {
        "node": workload.node,
        "platform": workload.platform,
        "product": workload.product,
        "simulated": workload.simulated,
        "debug": workload.debug,
        "migration_agent": workload.migration_agent,
        "devices": workload.devices,
    }


def _resource(resource: Resource) -> dict[str, object]:
    return {
        "name": resource.name,
        "known": resource.known,
        "tier": resource.tier,
        "kind": resource.kind,
        "owner": resource.owner,
        "locked": resource.locked,
        "purposes": list(resource.purposes),
        "reference": resource.reference,
        "references": resource.references,
        "covers": list(resource.covers),
        "must_cover": list(resource.must_cover),
        "unmet": list(resource.unmet),
        "shared": resource.shared,
        "second_fact": resource.second_fact,
        "nearest": resource.nearest,
        "differences": [dict(zip(("field", "expected", "got"), line, strict=True)) for line in resource.differences],
        "findings": len(resource.findings),
    }
