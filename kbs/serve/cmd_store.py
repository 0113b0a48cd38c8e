"""`sealgate-broker migrate | backup | restore`: the store, forward, aside and back."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kbs.serve.commands import Doors
    from kbs.store.migrate import Migration

__all__ = ["register"]

_MIGRATE = """Brings the store to the schema of this version of Sealgate. Each step is one transaction: a crash leaves
the schema before it, whole. Steps only go forward. A broker that still runs with the old schema refuses to
write from then on and has to be restarted; make a backup first."""

_BACKUP = """Copies the store while the broker serves, opens the copy and checks it. The copy is one file, mode 0600.

It does not hold the root key (root.key), without which no key in it can be opened, nor the published log.
A backup is behind what is published after it: restored, it freezes instead of forking the log."""

_RESTORE = """Makes the store from a backup, where no store is, and checks it against the published log of the site.

A backup that is behind what was published would write other entries at indices that auditors have seen. So
the log is frozen, nothing is released, and the exit code is 10; docs/operations.md says what can be done."""

_EPILOG = """examples:
  sealgate-broker migrate --directory /var/lib/sealgate --dry-run
  sealgate-broker migrate --directory /var/lib/sealgate
  sealgate-broker backup --directory /var/lib/sealgate --out /backup/store-2026-11-30.db
  sealgate-broker restore --backup /backup/store-2026-11-30.db --directory /var/lib/sealgate"""


def register(subparsers: Any) -> None:
    """Adds the commands."""
    migrate = _add(subparsers, "migrate", "bring the store to this version's schema", _MIGRATE)
    migrate.add_argument("--dry-run", action="store_true", help="print the SQL and what would be done; change nothing")
    migrate.set_defaults(run=_migrate)
    backup = _add(subparsers, "backup", "copy the store while it serves", _BACKUP)
    backup.add_argument("--out", type=Path, required=True, metavar="FILE", help="the new file; never written over")
    backup.set_defaults(run=_backup)
    restore = _add(subparsers, "restore", "make the store from a backup", _RESTORE)
    restore.add_argument("--backup", type=Path, required=True, metavar="FILE", help="what `backup` wrote")
    restore.set_defaults(run=_restore)


def _add(subparsers: Any, name: str, short: str, text: str) -> Any:
    raw = argparse.RawDescriptionHelpFormatter
    parser = subparsers.add_parser(name, help=short, description=text, epilog=_EPILOG, formatter_class=raw)
    parser.add_argument("--directory", type=Path, required=True, metavar="DIR", help="the site: store.db is in it")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _migrate(args: argparse.Namespace, doors: Doors) -> int:
    from kbs.serve.commands import site_of  # noqa: PLC0415  # help must not load the broker
    from kbs.store.migrate import migrate, pending, version_of  # noqa: PLC0415

    store = site_of(args.directory).store
    steps = pending(before := version_of(store), doors.migrations, doors.schema)
    if not args.dry_run and steps:
        migrate(store, doors.migrations, target=doors.schema)
    done = "would be" if args.dry_run else "was"
    document = {"from": before, "to": doors.schema, "dry_run": args.dry_run, "steps": _described(steps)}
    lines = [each.script() for each in steps] if args.dry_run else []
    lines += [f"{store} {done} brought from schema {before} to {doors.schema}, in {len(steps)} transactions."]
    if not steps:
        lines = [f"{store} has schema {before}, which is what this version of Sealgate needs. Nothing to do."]
    doors.say(json.dumps(document) if args.json else "\n".join(lines))
    return 0


def _described(steps: Sequence[Migration]) -> list[dict[str, object]]:
    return [{"version": s.version, "phase": s.phase.value, "what": s.what, "sql": s.script()} for s in steps]


def _backup(args: argparse.Namespace, doors: Doors) -> int:
    from kbs.serve.commands import site_of  # noqa: PLC0415
    from kbs.store.backup import backup  # noqa: PLC0415

    kept = backup(site_of(args.directory).store, args.out)
    document = {"origin": kept.origin, "size": kept.head.size, "root": kept.head.root.hex(), "schema": kept.schema}
    text = (
        f"{args.out}: {kept.head.size} entries of {kept.origin}, root {kept.head.root.hex()}, {kept.bytes} bytes, "
        "opened and checked.\nThe root key is not in it: keep root.key apart from it."
    )
    doors.say(json.dumps({**document, "bytes": kept.bytes, "file": str(args.out)}) if args.json else text)
    return 0


def _restore(args: argparse.Namespace, doors: Doors) -> int:
    from kbs.serve.check import ensure_sound  # noqa: PLC0415
    from kbs.serve.commands import site_of  # noqa: PLC0415
    from kbs.store.backup import restore  # noqa: PLC0415
    from kbs.store.errors import LogFrozen  # noqa: PLC0415
    from kbs.store.schema import SCHEMA_VERSION  # noqa: PLC0415

    site = site_of(args.directory)
    kept = restore(args.backup, site.store)
    frozen: LogFrozen | None = None
    try:
        if kept.schema == SCHEMA_VERSION:
            ensure_sound(site.store, site.log, doors.clock)
    except LogFrozen as error:
        frozen = error
    document = {"origin": kept.origin, "size": kept.head.size, "root": kept.head.root.hex(), "schema": kept.schema}
    text = f"{site.store}: restored, {kept.head.size} entries of {kept.origin}."
    if kept.schema != SCHEMA_VERSION:
        text += f" It has schema {kept.schema}: sealgate-broker migrate --directory {args.directory}"
    doors.say(json.dumps({**document, "frozen": str(frozen) if frozen else None}) if args.json else text)
    if frozen:
        raise frozen
    return 0
