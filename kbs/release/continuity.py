"""Is it the lease's holder who asks to renew it, and is there still something to renew?

Part of step 4: findings, which the decision then judges like all others. Whoever is not the holder learns nothing of
the lease and cannot end it; what is found after that is between the broker and the holder.
"""

from __future__ import annotations

from attest.finding import Finding, Outcome
from kbs.model.lease import BLOCKED, Holder, LeaseRecord

__all__ = ["continuity"]


def continuity(
    lease: LeaseRecord | None, holder: Holder, purpose: str, names: tuple[str, ...], now: int
) -> tuple[Finding, ...]:
    """Every finding; after a failed one about who asks there are no others.

    LEASE_UNKNOWN, LEASE_GUEST, LEASE_HOLDER, LEASE_REQUEST tell who asks; LEASE_OVER, LEASE_BLOCKED and LEASE_DEVICES
    what became of the lease.
    """
    if lease is None or lease.holder.tenant != holder.tenant:
        return (_finding("LEASE_UNKNOWN", "lease", "a lease of this tenant", "none", passed=False),)
    was = lease.holder
    theirs = (
        _same("LEASE_GUEST", "lease.guest", (was.platform, was.node, was.guest), _guest(holder)),
        _same("LEASE_HOLDER", "lease.holder_key", was.key.hex(), holder.key.hex(), empty_passes=False),
        _same("LEASE_REQUEST", "lease.keys", (lease.purpose, *lease.names), (purpose, *names)),
    )
    if any(finding.outcome is Outcome.FAILED for finding in theirs):
        return theirs
    over = "LEASE_BLOCKED" if lease.reason == BLOCKED else "LEASE_OVER"
    told = lease.state(now) + (f": {lease.reason}" if lease.reason else "")
    return (
        *theirs,
        _finding(over, "lease", "active", told, passed=lease.live(now)),
        _same("LEASE_DEVICES", "lease.devices", was.devices, holder.devices),
    )


def _guest(holder: Holder) -> tuple[str, str, str]:
    return (holder.platform, holder.node, holder.guest)


def _same(check: str, path: str, expected: object, got: object, *, empty_passes: bool = True) -> Finding:
    return _finding(check, path, _told(expected), _told(got), passed=expected == got and (empty_passes or bool(got)))


def _told(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value) or "none"


def _finding(check: str, path: str, expected: str, got: str, *, passed: bool) -> Finding:
    outcome = Outcome.PASSED if passed else Outcome.FAILED
    return Finding(check=check, path=path, outcome=outcome, expected=expected, got=got)
