"""What an audit found: a level for each kind of promise, the worst finding of each, and one verdict over all."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from attest.errors import AttestError
from attest.tlog.fields import format_base64

__all__ = ["LEVELS", "UNANCHORED", "Finding", "Findings", "Level", "Report", "Verdict", "printable", "verdict_of"]

LEVELS: Mapping[str, str] = {
    "V1": "checkpoint signed by the log",
    "V2": "entries complete, canonical, in their place",
    "V3": "tiles and root recomputed",
    "V4": "agrees with saved state and receipts",
    "V5": "time never goes back",
    "V6": "genesis, asset and governance chains",
}
UNANCHORED = (
    "UNANCHORED: neither a saved state nor a receipt was given; tail truncation and rewriting by a holder of the log "
    "key are not excluded. Keep a --state file, or give the --receipt files that workloads hold."
)


class Verdict(enum.Enum):
    """From good to bad; an audit has the worst that applies. The code is the exit code."""

    OK = ("ok", 0)
    UNANCHORED = ("unanchored", 12)
    STALE = ("stale", 12)
    INCOMPLETE = ("incomplete", 11)
    FOREIGN = ("foreign", 10)
    TAMPERED = ("tampered", 10)

    def __init__(self, word: str, code: int) -> None:
        self.word = word
        self.code = code

    def worse(self, other: Verdict) -> bool:
        """Whether this is worse than `other`."""
        order = list(Verdict)
        return order.index(self) > order.index(other)


# What a failed check means. Every check that is not here proves tampering.
_MEANING: Mapping[str, Verdict] = {
    "CHECKPOINT_MISSING": Verdict.INCOMPLETE,
    "BUNDLE_MISSING": Verdict.INCOMPLETE,
    "TILE_MISSING": Verdict.INCOMPLETE,
    "ENTRY_VERSION": Verdict.INCOMPLETE,  # written by a newer Sealgate: not to be judged, neither good nor bad
    "CHECKPOINT_FOREIGN": Verdict.FOREIGN,  # the trust file and the log do not belong together: one is the wrong one
    "RECEIPT_AHEAD": Verdict.STALE,  # publication lags behind receipts, by seconds in an honest log
}


def verdict_of(check: str) -> Verdict:
    """What it means that this check failed."""
    return _MEANING.get(check, Verdict.TAMPERED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One failed check: `index` is the entry's, None where no single entry is meant."""

    check: str
    path: str
    expected: str
    got: str
    index: int | None
    meaning: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """`outcome` is passed, failed or skipped. A failed level has its worst finding, the first of them, and a count."""

    name: str
    outcome: str
    note: str = ""
    finding: Finding | None = None
    failures: int = 0


class Findings:
    """Collects; of each level the first of the worst is kept, so that a wrong log costs no more than a good one."""

    def __init__(self) -> None:
        self._kept: dict[str, Finding] = {}
        self._count: dict[str, int] = {}

    def add(self, level: str, error: AttestError, index: int | None = None) -> None:
        """A check of `level` failed, at entry `index`."""
        meaning = verdict_of(error.check)
        self._count[level] = self._count.get(level, 0) + 1
        kept = self._kept.get(level)
        if kept is None or meaning.worse(kept.meaning):
            self._kept[level] = Finding(
                check=error.check,
                path=error.path,
                expected=error.expected,
                got=error.got,
                index=index,
                meaning=meaning,
            )

    def level(self, name: str, *, passed: str = "", skipped: str = "") -> Level:
        """The outcome of a level: failed if anything was added, skipped if a reason is given, else passed."""
        finding = self._kept.get(name)
        if finding is not None:
            return Level(name=name, outcome="failed", finding=finding, failures=self._count[name])
        return Level(name=name, outcome="skipped" if skipped else "passed", note=skipped or passed)

    def worst(self) -> Verdict:
        """The worst meaning of all findings, OK for none."""
        return next(
            (each for each in reversed(Verdict) if any(f.meaning is each for f in self._kept.values())), Verdict.OK
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The outcome of an audit. Origin, size and root are the signed checkpoint's; None where it did not verify.

    `checkpoint` is the note that was verified, as it came: what to keep if all is well.
    `anchored` is how many entries the saved state and the receipts vouch for; beyond them all rests on the log key.
    `first_use` says that a state is kept from now on and none was there to compare with.
    """

    verdict: Verdict
    levels: tuple[Level, ...]
    origin: str | None
    size: int | None
    root: bytes | None
    checkpoint: bytes | None
    simulated: bool
    anchored: int
    first_use: bool

    def document(self) -> dict[str, object]:
        """For --json."""
        return {
            "verdict": self.verdict.word,
            "levels": [_level_document(level) for level in self.levels],
            "size": self.size,
            "root": None if self.root is None else format_base64(self.root),
            "origin": self.origin,
            "simulated": self.simulated,
            "anchored": self.anchored,
            "first_use": self.first_use,
        }

    def text(self) -> str:
        """For people."""
        lines = []
        if self.simulated:
            lines.append("SIMULATED: this deployment's evidence and keys prove nothing about real machines")
        if self.root is not None:
            lines += [f"log      {self.origin}", f"size     {self.size}", f"root     {format_base64(self.root)}"]
        for level in self.levels:
            lines += _level_text(level)
        return "\n".join(printable(line) for line in [*lines, *self._closing()])

    def _closing(self) -> list[str]:
        lines = []
        if self.verdict is Verdict.OK and self.first_use:
            lines.append("FIRST USE: this checkpoint is the state from now on; it was taken on trust")
        if self.verdict is Verdict.OK and 0 < self.anchored < (self.size or 0):
            lines.append(f"anchored up to entry {self.anchored - 1}; later entries rest on the log key alone")
        if self.verdict is Verdict.UNANCHORED:
            lines.append(UNANCHORED)
        return [*lines, f"verdict  {_WORDS[self.verdict]}"]


_MARKS = {"passed": "ok  ", "failed": "FAIL", "skipped": "skip"}
_WORDS = {
    Verdict.OK: "ok",
    Verdict.UNANCHORED: "ok, unanchored",
    Verdict.STALE: "stale: the log is known to reach further; fetch it again, and if it stays so, entries are withheld",
    Verdict.INCOMPLETE: "incomplete: what is there is not all; nothing is proven, neither good nor bad",
    Verdict.FOREIGN: "FOREIGN: not signed by any key that this trust file names; either this is not this deployment's "
    "log, or it was put in its place. Nothing else was looked at",
    Verdict.TAMPERED: "TAMPERED: keep the directory, the state and the receipts as they are, they are the evidence",
}


def printable(text: str) -> str:
    """The text as a terminal may show it: what does not print is escaped, since a log may say anything."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def _level_document(level: Level) -> dict[str, object]:
    found = level.finding
    return {
        "level": level.name,
        "name": LEVELS[level.name],
        "outcome": level.outcome,
        "note": level.note or None,
        "check": found.check if found else None,
        "path": found.path if found else None,
        "expected": found.expected if found else None,
        "got": found.got if found else None,
        "index": found.index if found else None,
        "failures": level.failures,
    }


def _level_text(level: Level) -> list[str]:
    found = level.finding
    if found is None:
        return [
            f"  {_MARKS[level.outcome]}  {level.name}  {LEVELS[level.name]}" + (f": {level.note}" if level.note else "")
        ]
    where = found.path if found.index is None else f"{found.path}, entry {found.index}"
    more = f" (and {level.failures - 1} more)" if level.failures > 1 else ""
    return [
        f"  FAIL  {level.name}  {LEVELS[level.name]}: {found.check} at {where}{more}",
        f"            expected {found.expected}",
        f"            got      {found.got}",
    ]
