"""How the broker says no.

::

    Refused           a decision: it has a reason, and a ticket if an entry stands behind it
    ├── Slowed        asked for too often; nothing was consumed; served after a wait
    └── Unavailable   no decision could be made; nothing was consumed; trying again may help

What fails in steps 1 to 3 leaves as `attest.errors.AttestError` or as `Refused` without a ticket.
"""

from __future__ import annotations

__all__ = ["Refused", "Slowed", "Unavailable"]


class Refused(Exception):
    """`reason` is one of docs/errors.md; `check` and the rest name the failed check where the caller may know it."""

    def __init__(self, reason: str, *, ticket: str = "", check: str = "", expected: str = "", got: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.ticket = ticket
        self.check = check
        self.expected = expected
        self.got = got

    def __str__(self) -> str:
        told = f"{self.reason}: expected {self.expected}, got {self.got}" if self.expected else self.reason
        return f"{told} (ticket {self.ticket})" if self.ticket else told


class Slowed(Refused):
    """Asked for the same thing too often; `retry_after` in seconds is when it is served."""

    def __init__(self, *, retry_after: float) -> None:
        super().__init__("RATE_LIMITED")
        self.retry_after = retry_after


class Unavailable(Refused):
    """Collateral, log or store cannot be used now; `retry_after` in seconds."""

    def __init__(self, reason: str, *, retry_after: float = 1.0) -> None:
        super().__init__(reason)
        self.retry_after = retry_after
