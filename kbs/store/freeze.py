"""The mark of a frozen log: a small file beside the store, `store.db.frozen`.

A row of the store would roll back with it; a file needs neither a working log nor a working database, survives every
restart, and every process that writes looks for it before each transaction. The first incident's mark is kept: later
ones do not write over it. Only `sealgate-broker incident --resolve` removes it.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attest.finding import Finding, Outcome
from kbs.model.log import LogHead
from kbs.store.errors import LogFrozen, StoreUnavailable

__all__ = ["Mark", "Point", "mark_path", "read_mark", "refuse_frozen", "remove_mark", "write_mark"]

_VERSION = "sealgate.frozen/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A tree by its size and root."""

    size: int
    root: bytes

    @classmethod
    def of(cls, head: LogHead | None) -> Point | None:
        """The point that a head stands at."""
        return None if head is None else cls(size=head.size, root=head.root)

    def document(self) -> dict[str, object]:
        """As JSON has it."""
        return {"size": self.size, "root": self.root.hex()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Why and when the log was frozen: what is stored, what this process had seen, which checks failed."""

    at: int
    reason: str
    stored: Point | None = None
    seen: Point | None = None
    findings: tuple[Finding, ...] = ()

    def document(self) -> dict[str, object]:
        """As JSON has it."""
        return {
            "v": _VERSION,
            "at": self.at,
            "reason": self.reason,
            "stored": self.stored.document() if self.stored else None,
            "seen": self.seen.document() if self.seen else None,
            "checks": [
                {"check": f.check, "path": f.path, "outcome": f.outcome.value, "expected": f.expected, "got": f.got}
                for f in self.findings
            ],
        }


def mark_path(store: Path) -> Path:
    """Where the mark of the store at `store` lies."""
    return store.with_name(f"{store.name}.frozen")


def read_mark(store: Path) -> Mark | None:
    """The mark, or None. One that cannot be read is a mark nevertheless; raises StoreUnavailable if nobody can tell."""
    path = mark_path(store)
    try:
        os.lstat(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreUnavailable(f"whether the log is frozen cannot be told: {path}: {error.strerror}") from error
    try:
        return _parse(json.loads(path.read_bytes()))
    except (OSError, ValueError, KeyError, TypeError) as error:
        return Mark(at=0, reason=f"the mark {path} is there and cannot be read ({error})")


def refuse_frozen(store: Path) -> None:
    """Raises LogFrozen if the mark is there. One lstat where it is not."""
    mark = read_mark(store)
    if mark is not None:
        raise LogFrozen(
            f"the log is frozen and nothing is written: {mark.reason}. "
            f"Keep the evidence: sealgate-broker incident --directory {store.parent} --out FILE"
        )


def write_mark(store: Path, mark: Mark) -> None:
    """Writes the mark durably, unless one is there already. Raises OSError."""
    path = mark_path(store)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    data = json.dumps(mark.document(), indent=1).encode() + b"\n"
    try:
        with open(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_directory(path.parent)


def remove_mark(store: Path) -> None:
    """Removes the mark, durably. The caller has seen the self-check pass and has kept the evidence."""
    mark_path(store).unlink(missing_ok=True)
    sync_directory(store.parent)


def sync_directory(directory: Path) -> None:
    """Makes names that were added or removed durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _parse(document: Mapping[str, Any]) -> Mark:
    return Mark(
        at=int(document["at"]),
        reason=str(document["reason"]),
        stored=_point(document["stored"]),
        seen=_point(document["seen"]),
        findings=tuple(
            Finding(
                check=line["check"],
                path=line["path"],
                outcome=Outcome(line["outcome"]),
                expected=line["expected"],
                got=line["got"],
            )
            for line in document["checks"]
        ),
    )


def _point(document: Mapping[str, Any] | None) -> Point | None:
    return None if document is None else Point(size=int(document["size"]), root=bytes.fromhex(document["root"]))
