"""`sealgate-broker migrate`: the store, forward."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kbs.model.words import counted

if TYPE_CHECKING:
    from kbs.serve.commands import Doors
    from kbs.store.migrate import Migration

__all__ = ["register"]

_MIGRATE = """Brings the store to the schema of this version of Sealgate. Each step is one transaction: a crash leaves
the schema before it, whole. Steps only go forward. A broker that still runs with the old schema refuses to
write from then on and has to be restarted; make a backup first."""

_EPILOG = """examples:
  sealgate-broker migrate --directory /var/lib/sealgate --dry-run
  sealgate-broker migrate --directory /var/lib/sealgate"""


def register(subparsers: Any) -> None:
    """Adds the command."""
    raw = argparse.RawDescriptionHelpFormatter
    migrate = subparsers.add_parser(
        "migrate",
        help="bring the store to this version's schema",
        description=_MIGRATE,
        epilog=_EPILOG,
        formatter_class=raw,
    )
    migrate.add_argument("--directory", type=Path, required=True, metavar="DIR", help="the site: store.db is in it")
    migrate.add_argument("--dry-run", action="store_true", help="print the SQL and what would be done; change nothing")
    migrate.add_argument("--json", action="store_true", help="print one JSON object")
    migrate.set_defaults(run=_migrate)


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
    lines += [
        f"{store} {done} brought from schema {before} to {doors.schema}, in {counted(len(steps), 'transaction')}."
    ]
    if not steps:
        lines = [f"{store} has schema {before}, which is what this version of Sealgate needs. Nothing to do."]
    doors.say(json.dumps(document) if args.json else "\n".join(lines))
    return 0


def _described(steps: Sequence[Migration]) -> list[dict[str, object]]:
    return [{"version": s.version, "phase": s.phase.value, "what": s.what, "sql": s.script()} for s in steps]
