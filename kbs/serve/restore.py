"""A store put back from a backup: only if what was published since is known, and never into a fork.

What decides is the newest checkpoint that anybody has. A backup behind it would write other entries at indices that
auditors have seen, so it is put back and frozen. Where no checkpoint is at hand, whoever restores has to say so.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from kbs.custody.file import write_private
from kbs.log.bodies import Broker, incident
from kbs.log.incident import open_published, read_published
from kbs.log.log_note import LogNote
from kbs.log.publish import write_synced
from kbs.log.sequence import LogSequencer
from kbs.model.log import LogHead
from kbs.model.unit import Unit, Verdict
from kbs.serve.backup_note import note_version
from kbs.serve.backup_set import LIST, LOG_KEYS, STORE, BackupSet, carried, read_backup
from kbs.serve.check import ensure_sound
from kbs.serve.resolve import simulated
from kbs.serve.site import Site
from kbs.store.backup import Exists, Kept, restore
from kbs.store.connect import open_any
from kbs.store.door import WriteDoor
from kbs.store.errors import LogFrozen, StoreUnusable
from kbs.store.freeze import Mark, Point, refuse_frozen, write_mark
from kbs.store.port import Clock
from kbs.store.schema import SCHEMA_VERSION
from kbs.store.selfcheck import check_store, log_identity

__all__ = ["Restored", "Unknown", "put_back"]


class Unknown(StoreUnusable):
    """Nobody said what was published after the backup."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What was put back. `frozen` says why nothing is served from it; `logged` if the restore is an entry; `served` if
    the broker served while the backup was made."""

    kept: Kept
    files: tuple[str, ...]
    frozen: LogFrozen | None
    logged: bool
    served: bool


def put_back(source: Path, site: Site, clock: Clock, *, published: Path | None, nothing_since: bool) -> Restored:
    """Restores a backup, or a store alone as older versions kept it, where no store is.

    1. the backup is whole  2. it is known what was published  3. files, the store last  4. the store against what was
    published, else the freeze  5. the entry

    Raises Exists, Unknown, StoreUnusable, StoreUnavailable; then no store was put there.
    """
    if not source.exists():
        raise StoreUnusable(f"{source} is not there")
    found = read_backup(source) if source.is_dir() else None  # 1
    outside = _outside(site, published, nothing_since=nothing_since)  # 2
    files = {name: path for name, path in carried(site).items() if found and name in found.files}
    served = found is not None and found.serving
    note = files.pop(LOG_KEYS, None)
    _ensure_same(source, files)
    for name, path in files.items():  # 3
        if not path.exists():
            write_private(path, (source / name).read_bytes())
    if found is not None and note is not None and not _note_stays(found, site):
        write_synced(note, (source / LOG_KEYS).read_bytes())  # published, hence not the broker's alone to read
        files[LOG_KEYS] = note
    kept = restore(source / STORE if found else source, site.store)
    try:
        if outside is not None:
            _ensure_continues(site, outside, clock)  # 4
        if kept.schema != SCHEMA_VERSION:
            return Restored(kept=kept, files=tuple(files), frozen=None, logged=False, served=served)
        head = ensure_sound(site.store, site.log, clock)
    except LogFrozen as error:
        return Restored(kept=kept, files=tuple(files), frozen=error, logged=False, served=served)
    _log(site, kept, head, source / LIST if found else source, clock)  # 5
    return Restored(kept=kept, files=tuple(files), frozen=None, logged=True, served=served)


def _outside(site: Site, published: Path | None, *, nothing_since: bool) -> Path | None:
    """The directory of a checkpoint from elsewhere, None for the site's own or for none."""
    if published is not None:
        folder = published if published.is_dir() else published.parent
        if not (folder / "checkpoint").is_file():
            raise Unknown(f"{folder / 'checkpoint'} is not there: --published is a published log, or its checkpoint")
        return folder
    if (site.log / "checkpoint").exists() or nothing_since:
        return None
    raise Unknown(
        f"{site.log} has no checkpoint, so nobody can tell whether this backup is behind what was published, and a log "
        "that goes on from behind is a fork. Put the published log back there; or fetch the newest checkpoint that "
        "anybody has (a mirror of the log, an auditor's copy) and give it with --published; or, if the broker was "
        "stopped before the backup was made and never started since, say --nothing-published-since"
    )


def _ensure_continues(site: Site, outside: Path, clock: Clock) -> None:
    """Raises LogFrozen, and leaves a mark that remembers what was published: resolving asks for it again."""
    refuse_frozen(site.store)
    raw = read_published(outside) or b""
    with closing(open_any(site.store, "ro")[0]) as connection:
        origin, key = log_identity(connection) or ("", "")
        checkpoint = open_published(raw, origin, key)
        connection.execute("BEGIN")
        found = check_store(connection, origin=origin or None, published=checkpoint)
    if found.passed:
        return
    reason = f"the backup that was restored does not continue what was published: {found.sentence()}"
    seen = Point(size=checkpoint.size, root=checkpoint.root)
    stored = Point.of(found.head)
    write_mark(site.store, Mark(at=clock(), reason=reason, stored=stored, seen=seen, findings=found.failed()))
    refuse_frozen(site.store)


def _log(site: Site, kept: Kept, head: LogHead, listed: Path, clock: Clock) -> None:
    """The entry: `log.incident` of kind `restored`, with the SHA-256 of the backup's list, or of the store alone."""
    with listed.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
    draft = incident(
        entry_id=os.urandom(16).hex(),
        broker=Broker(id="restore", measurement="", simulated=simulated(site.store)),
        kind="restored",
        at=clock(),
        ahead_ms=None,
        bundle=digest,
    )
    own = (listed.read_bytes(),) if listed.name == LIST else ()
    with closing(WriteDoor(site.store, LogSequencer(kept.origin), clock, seen=head)) as door:
        asyncio.run(_commit(door, Unit(verdict=Verdict(draft=draft, own=own))))


def _note_stays(found: BackupSet, site: Site) -> bool:
    """Whether the site has a note of log keys that is as new as the backup's: what was published stays in force."""
    note = LogNote(site.log_keys).current
    return bool(note) and note_version(found, note) >= note_version(found)


def _ensure_same(source: Path, files: Mapping[str, Path]) -> None:
    for name, there in files.items():
        if there.exists() and there.read_bytes() != (source / name).read_bytes():
            raise Exists(f"{there} exists and differs from the one in the backup: move it away, or keep it elsewhere")


async def _commit(door: WriteDoor, unit: Unit) -> None:
    await door.commit([unit])
