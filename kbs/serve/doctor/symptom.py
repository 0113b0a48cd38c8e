"""What the doctor says, and what every examination is given."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kbs.serve.config.sections import Config
from kbs.serve.secrets import Ask
from kbs.serve.site import Site

__all__ = ["DAY_MS", "FINE", "FROZEN", "PROBLEM", "SKIPPED", "WARNING", "Outcome", "Patient", "Symptom"]

DAY_MS = 24 * 3_600_000


class Outcome(enum.Enum):
    """From good to bad. A skipped examination is never fine."""

    FINE = "fine"
    SKIPPED = "skipped"
    WARNING = "warning"
    PROBLEM = "problem"
    FROZEN = "frozen"


FINE, SKIPPED, WARNING, PROBLEM, FROZEN = Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Symptom:
    """One thing that was looked at: where, how it is, and a sentence."""

    area: str
    outcome: Outcome
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """The deployment, and the world as the doctor sees it. `ask` is None where no passphrase may be asked for.

    `synchronised` tells if the kernel believes its clock; None if it does not say.
    """

    file: Path
    config: Config
    site: Site
    now: int
    credentials: Path | None
    ask: Ask | None
    synchronised: Callable[[], bool | None]
