"""An `init` that has not finished: the mark that says so, and what the next one clears away.

`init.unfinished` lies in the site from before its first file until its codes were told. While it does, nobody serves,
copies or repairs the site, so that nothing can rest on its keys. What is cleared is what the mark names, and only if it
still is what that init made: a root key by its digest, a store by a log that never went past its genesis entry.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from attest.binding import bind
from kbs.custody.file import write_private
from kbs.model.enrolment import parse_code
from kbs.model.words import counted
from kbs.store.connect import open_any
from kbs.store.errors import StoreUnusable
from kbs.store.freeze import sync_directory

__all__ = ["NotOurs", "Unfinished", "clear", "finish", "refuse_unfinished", "staged"]

_MARK = "init.unfinished"
_VERSION = "sealgate.init/1"


class NotOurs(Exception):
    """Something is there that an unfinished init did not make. Says what, and what to do with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """What an init is about to make: `kept` by the digest of their bytes, the store, the rest by place."""

    directory: Path
    store: Path
    kept: Mapping[Path, str]
    trust: Path
    codes: Sequence[Path]

    @classmethod
    def of(cls, directory: Path, store: Path, kept: Sequence[Path], trust: Path, codes: Sequence[Path]) -> Unfinished:
        """With the digests of what lies staged beside each of `kept`."""
        digests = {path: _digest(staged(path)) for path in kept}
        return cls(directory=directory, store=store, kept=digests, trust=trust, codes=[c.absolute() for c in codes])

    def write(self) -> None:
        """Durable, before anything has its own name. Raises FileExistsError."""
        document = {
            "v": _VERSION,
            "store": str(self.store),
            "kept": {str(path): digest for path, digest in self.kept.items()},
            "trust": str(self.trust),
            "codes": [str(path) for path in self.codes],
        }
        # By link: a mark that can be seen is whole.
        partial = staged(_mark(self.directory))
        write_private(partial, json.dumps(document, indent=1).encode() + b"\n")
        os.link(partial, _mark(self.directory))
        partial.unlink()
        sync_directory(self.directory)

    def in_place(self) -> None:
        """What lies staged gets its name."""
        for path in self.kept:
            staged(path).replace(path)
            sync_directory(path.parent)


def staged(path: Path) -> Path:
    """Where a file lies until the mark tells of it. Nothing else has such a name."""
    return path.with_name(f"{path.name}.init")


def refuse_unfinished(directory: Path) -> None:
    """Raises StoreUnusable for a site whose init has not finished."""
    if os.path.lexists(_mark(directory)):
        raise StoreUnusable(
            f"the init of {directory} was stopped before it had told its codes, so nobody can come in and nothing was "
            f"sealed to it: run sealgate-broker init again, which clears away what that one left ({_mark(directory)})"
        )


def finish(directory: Path) -> None:
    """The deployment counts from here on; durable."""
    _mark(directory).unlink()
    sync_directory(directory)


def clear(directory: Path, kept: Sequence[Path]) -> list[Path]:
    """Removes what an init that was stopped left, and returns it. The mark goes last.

    `kept` are the files that would be staged now. Raises NotOurs before anything is removed.
    """
    found = _read(directory)
    doomed = list(_ours(found)) if found else []
    doomed += [staged(path) for path in (*kept, *(found.kept if found else ()), _mark(directory))]
    removed = [path for path in dict.fromkeys(doomed) if os.path.lexists(path)]
    for path in removed:
        path.unlink()
    for folder in {path.parent for path in removed}:
        sync_directory(folder)
    if found:
        finish(directory)
    return removed


def _ours(found: Unfinished) -> Iterator[Path]:
    """What the mark names and is there, the secrets last; raises NotOurs."""
    entries = _entries(found.store)
    if entries > 1 or (found.directory / "log" / "checkpoint").exists():
        raise NotOurs(
            f"{found.store} was served, since its log has {counted(entries, 'entry', 'entries')}: its init had "
            "finished, and nothing is removed. If the mark was put there by accident, remove it: "
            f"{_mark(found.directory)}"
        )
    for path in found.codes:
        if path.exists() and not _is_code(path):
            raise NotOurs(f"{path} is not the enrolment code that the init which was stopped wrote: move it away")
    for path, digest in found.kept.items():
        if path.exists() and _digest(path) != digest:
            raise NotOurs(
                f"{path} is not what the init which was stopped made, and may be of use to somebody: move it away, "
                "then run init again"
            )
    yield from (*found.codes, found.trust)
    yield from (found.store.with_name(f"{found.store.name}{end}") for end in ("-wal", "-shm", "-journal", ""))
    yield from found.kept


def _entries(store: Path) -> int:
    """How many entries its log has; 0 for a store that was not yet made whole. Raises NotOurs if nobody can tell."""
    if not store.exists():
        return 0
    try:
        connection, version = open_any(store, "ro")
        with closing(connection):
            row = connection.execute("SELECT size FROM log_head").fetchone() if version else None
    except (StoreUnusable, sqlite3.Error) as error:
        raise NotOurs(f"{store} cannot be read, so it is not removed: {error}") from error
    return int(row[0]) if row else 0


def _read(directory: Path) -> Unfinished | None:
    try:
        document = json.loads(_mark(directory).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise NotOurs(f"{_mark(directory)} cannot be read: {error}") from error
    return Unfinished(
        directory=directory,
        store=Path(document["store"]),
        kept={Path(path): str(digest) for path, digest in document["kept"].items()},
        trust=Path(document["trust"]),
        codes=[Path(path) for path in document["codes"]],
    )


def _is_code(path: Path) -> bool:
    try:
        parse_code(path.read_text("ascii"))
    except (OSError, ValueError):
        return path.stat().st_size == 0
    return True


def _digest(path: Path) -> str:
    """Of a file that may hold a key: tells it from another, and nothing of it."""
    return hashlib.sha256(bind("sealgate/v1/init", path.read_bytes())).hexdigest()


def _mark(directory: Path) -> Path:
    return directory / _MARK
