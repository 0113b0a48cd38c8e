"""Questions for tests: a good one, and ways to change one thing in it."""

from __future__ import annotations

import dataclasses
from typing import Any

from attest.finding import Finding, Outcome
from kbs.model.decision import EngineAnswer, Question, Resource, Workload

__all__ = ["ALLOW", "NAME", "answer", "finding", "question", "resource", "workload"]

NAME = "tenants/acme/assets/llm"


def finding(check: str = "POLICY_VMPL", outcome: Outcome = Outcome.PASSED) -> Finding:
    return Finding(check=check, path=f"report.{check.lower()}", outcome=outcome, expected="0", got="0")


def workload(**changed: Any) -> Workload:
    good = Workload(
        node="node-a",
        platform="snp",
        product="milan",
        simulated=False,
        debug=False,
        migration_agent=False,
        devices=0,
    )
    return dataclasses.replace(good, **changed)


def resource(**changed: Any) -> Resource:
    good = Resource(
        name=NAME,
        known=True,
        tier=2,
        kind="weights",
        owner="groups/ml",
        purposes=("training",),
        reference="set#value",
        references=1,
        covers=("cmdline", "firmware", "initrd", "kernel"),
        must_cover=("cmdline", "firmware", "initrd", "kernel"),
        findings=(finding(),),
    )
    return dataclasses.replace(good, **changed)


def question(*resources: Resource, workload: Workload | None = workload(), **changed: Any) -> Question:  # noqa: B008  # frozen
    good = Question(
        action="release",
        tenant="acme",
        principal="node-a",
        roles=(),
        purpose="training",
        workload=workload,
        resources=resources or (resource(),),
        simulation=False,
    )
    return dataclasses.replace(good, **changed)


def answer(*, allowed: bool = True, errors: tuple[str, ...] = (), engine: str = "cedar") -> EngineAnswer:
    return EngineAnswer(engine=engine, allowed=allowed, policies=("p",), errors=errors)


ALLOW = answer()
