"""What the holder of a lease is told when it is not renewed: whether attesting anew can help, or only a person can."""

from __future__ import annotations

from collections.abc import Collection

from attest.finding import Finding, Outcome
from kbs.model.lease import BLOCKED, REATTEST

__all__ = ["CONTINUITY", "refusal_of_renewal"]


# What each finding about the lease itself is told as. Whoever is not the holder learns nothing of it.
CONTINUITY = {
    "LEASE_UNKNOWN": "ACCESS_DENIED",
    "LEASE_GUEST": "ACCESS_DENIED",
    "LEASE_HOLDER": "ACCESS_DENIED",
    "LEASE_REQUEST": "ACCESS_DENIED",
    "LEASE_OVER": REATTEST,
    "LEASE_BLOCKED": BLOCKED,
    "LEASE_DEVICES": REATTEST,
    "DEVICE_LEASED_ELSEWHERE": REATTEST,
}
# What another image, newer firmware or other devices could cure without anybody's leave.
_CURABLE = frozenset({"APPRAISAL", "REFERENCE_VALUE", "TIER_COVERAGE", "SECOND_FACT"})


def refusal_of_renewal(lease: Collection[Finding], violated: Collection[str], *, engines_allow: bool) -> str:
    """The reason: that of the first finding about the lease that failed, else by the checks that were `violated`."""
    for finding in lease:
        if finding.outcome is Outcome.FAILED:
            return CONTINUITY.get(finding.check, "ACCESS_DENIED")
    if not lease:
        return "ACCESS_DENIED"
    return REATTEST if engines_allow and set(violated) <= _CURABLE else BLOCKED
