"""A dated exception of a profile: who stands for it, for which advisories, and until when. At its date it is over.

What is excused differs by vendor, a status of Intel's or components of AMD's; who, what for and how long does not, and
neither does the finding that says so. An exception is never silent: whatever passes by it has a finding of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from attest.document import Read, malformed, members, text
from attest.finding import Finding, Outcome

__all__ = ["CHECK", "LEAVE", "TIME", "by_grace", "read_graces"]

CHECK = "TCB_GRACE"
_MAX_GRACE = 64
_ADVISORIES = 256


def read_graces(value: Any, path: str, readers: Mapping[str, Read]) -> tuple[dict[str, Any], ...]:
    """The members of each exception, all of them; raises Malformed PROFILE_MALFORMED with its path."""
    if not isinstance(value, list) or not value or len(value) > _MAX_GRACE:
        raise malformed(path, f"a list, not empty, of at most {_MAX_GRACE}", repr(value))
    return tuple(_one(each, f"{path}[{number}]", readers) for number, each in enumerate(value))


def by_grace(path: str, *, owner: str, until: datetime, advisories: Iterable[str], got: str) -> Finding:
    """That something passes by an exception alone: by whose leave, until when, for which advisories."""
    named = ", ".join(sorted(advisories)) or "no advisory"
    expected = f"by grace until {until.isoformat()}, by leave of {owner}, for {named}"
    return Finding(check=CHECK, path=path, outcome=Outcome.PASSED, expected=expected, got=got)


def _one(value: Any, path: str, readers: Mapping[str, Read]) -> dict[str, Any]:
    found = members(value, readers, path)
    if missing := readers.keys() - found.keys():
        raise malformed(path, f"all of {', '.join(readers)}", f"no {', '.join(sorted(missing))}")
    return found


def _time(value: Any, path: str) -> datetime:
    """A time of UTC as Intel writes them: 2026-05-01T12:00:00Z."""
    try:
        found = datetime.strptime(value, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except (TypeError, ValueError) as error:
        raise malformed(path, "a time such as 2026-05-01T12:00:00Z", repr(value)) from error
    if found.strftime("%Y-%m-%dT%H:%M:%SZ") != value:
        raise malformed(path, "a time such as 2026-05-01T12:00:00Z", repr(value))
    return found


def _advisories(value: Any, path: str) -> frozenset[str]:
    if not isinstance(value, list) or len(value) > _ADVISORIES:
        raise malformed(path, f"a list of at most {_ADVISORIES}", repr(value))
    return frozenset(text(each, f"{path}[{number}]") for number, each in enumerate(value))


# What every exception says, whoever's TCB it is about.
LEAVE: Mapping[str, Read] = {"advisories": _advisories, "owner": text, "until": _time}
TIME: Read = _time
