"""The trustworthiness vector: what was compared counts, what was skipped does not, the worst decides."""

from __future__ import annotations

import pytest

from attest.ear import CLAIMS, Status, vector_of
from attest.finding import Finding, Outcome

P, F, S = Outcome.PASSED, Outcome.FAILED, Outcome.SKIPPED


def _finding(check: str, outcome: Outcome) -> Finding:
    return Finding(check=check, path="report", outcome=outcome, expected="e", got="g")


# name: (findings, claims that are not 0, status)
CASES: dict[str, tuple[list[tuple[str, Outcome]], dict[str, int], Status]] = {
    "nothing": ([], {}, Status.NONE),
    "all skipped": ([("TCB_BELOW_MIN", S), ("POLICY_CHIP_ID", S)], {}, Status.NONE),
    "measurement fits": ([("POLICY_MEASUREMENT", P)], {"executables": 3}, Status.AFFIRMING),
    "measurement differs": ([("POLICY_MEASUREMENT", F)], {"executables": 96}, Status.CONTRAINDICATED),
    "old TCB is a warning": ([("TCB_BELOW_MIN", F), ("TCB_BELOW_MIN", P)], {"hardware": 32}, Status.WARNING),
    "grace is a warning": ([("TCB_GRACE", P), ("TCB_BELOW_MIN", P)], {"hardware": 32}, Status.WARNING),
    "debug": ([("POLICY_DEBUG", F)], {"runtime-opaque": 96}, Status.CONTRAINDICATED),
    "one of several fails": ([("POLICY_VMPL", P), ("POLICY_ABI", F)], {"configuration": 96}, Status.CONTRAINDICATED),
    "a check nobody mapped": ([("NEW_CHECK", F)], {"configuration": 96}, Status.CONTRAINDICATED),
    "chip": ([("POLICY_CHIP_ID", P)], {"instance-identity": 2}, Status.AFFIRMING),
    "longest prefix": ([("POLICY_CHIP_ID", F)], {"instance-identity": 96}, Status.CONTRAINDICATED),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_vector(name: str) -> None:
    findings, claims, status = CASES[name]
    vector = vector_of([_finding(*f) for f in findings])
    assert vector.document() == dict.fromkeys(CLAIMS, 0) | claims
    assert vector.status is status
