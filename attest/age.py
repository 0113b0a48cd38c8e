"""How old collateral may be, where a profile asks for less than its vendor's own window.

A piece is as old as what its vendor signed into it says: thisUpdate of a list or response, issueDate of a document.
When it was fetched is nobody's signed word, and an old one that is played back would look new.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from attest.document import Read, whole
from attest.finding import Finding, Outcome

__all__ = ["HOURS", "Issued", "age_findings"]

_CHECK = "COLLATERAL_TOO_OLD"
# Not below a day: what vendors issue daily is renewed within 18 hours, and nothing can be newer than they make it.
HOURS: Read = whole(24, 8_760)


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """What a verification rested on, and when its vendor made it; `since` is None where nothing was there."""

    name: str
    since: datetime | None


def age_findings(issued: Sequence[Issued], hours: int | None, now: datetime | None, path: str) -> Iterator[Finding]:
    """A finding for each; without `hours` one that is skipped. Without `now` nothing can be young enough."""
    if hours is None:
        yield _finding(path, Outcome.SKIPPED, "nothing asked for", "not compared")
        return
    if not issued:
        yield _finding(path, Outcome.FAILED, f"at most {hours} hours old", "nothing to compare")
    for each in issued:
        where, expected = f"{path}.{each.name}", f"at most {hours} hours old"
        if each.since is None or now is None:
            got = "none" if each.since is None else "no time to compare with"
            yield _finding(where, Outcome.FAILED, expected, got)
            continue
        fine = now - each.since <= timedelta(hours=hours)
        outcome, age = Outcome.PASSED if fine else Outcome.FAILED, (now - each.since) // timedelta(hours=1)
        yield _finding(where, outcome, expected, f"{age} hours, issued {each.since.isoformat()}")


def _finding(path: str, outcome: Outcome, expected: str, got: str) -> Finding:
    return Finding(check=_CHECK, path=path, outcome=outcome, expected=expected, got=got)
