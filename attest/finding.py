"""One line of an appraisal: what was compared, with what, and how it came out.

Appraisal never raises on a mismatch; it collects findings, so that an operator sees every reason at once. A check that
could not be made is `SKIPPED`, never `PASSED`, and a sequence of findings is acceptable only if it is not empty and
holds no failure.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Finding", "Outcome", "acceptable"]


class Outcome(enum.Enum):
    """How a check came out. `SKIPPED` says that nothing was compared, and why stands in the finding."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A named check of an appraisal with its outcome; `expected` and `got` are texts for people and for the log."""

    check: str
    path: str
    outcome: Outcome
    expected: str
    got: str


def acceptable(findings: Sequence[Finding]) -> bool:
    """True if something was checked and nothing failed; an empty appraisal is not acceptable."""
    return any(f.outcome is Outcome.PASSED for f in findings) and all(f.outcome is not Outcome.FAILED for f in findings)
