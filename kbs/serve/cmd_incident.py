"""`sealgate-broker incident`: what is known when the log is not what it was, and the end of a freeze."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attest.finding import Finding
    from kbs.serve.check import SiteCheck
    from kbs.serve.commands import Doors
    from kbs.serve.site import Site

__all__ = ["register"]

_TEXT = """Checks the stored log against what was published and writes every head that is known into one JSON file:
the stored head, the published checkpoint as it was signed, what the broker had seen last, each check with
what was expected and what was there. If a check fails the log is frozen; the exit code of a frozen log is 10.

A frozen log refuses every release until people have looked, across restarts. --resolve ends that, and only
after the file is written and every check passes: put a good store back first, one that continues both what
was published and what was seen last. The freeze ends with an entry, log.incident, that commits to the file
which was written."""

_EPILOG = """examples:
  sealgate-broker incident --directory /var/lib/sealgate --out incident.json
  sealgate-broker incident --directory /var/lib/sealgate --out resolved.json --resolve"""


def register(subparsers: Any) -> None:
    """Adds the command."""
    parser = subparsers.add_parser(
        "incident",
        help="evidence of a log that is not what it was",
        description=_TEXT,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--directory", type=Path, required=True, metavar="DIR", help="the site: store.db is in it")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the new file; never written over")
    parser.add_argument("--resolve", action="store_true", help="end the freeze if every check passes now")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=_incident)


def _incident(args: argparse.Namespace, doors: Doors) -> int:
    """1. look  2. freeze if a check fails  3. keep the evidence  4. and only then, if asked to and sound, resolve.

    First the entry that says so, then the mark goes: a crash between them leaves a frozen log, at worst two entries.
    """
    from kbs.serve.check import freeze, seen_is_stored  # noqa: PLC0415  # help must not load the broker
    from kbs.serve.commands import FROZEN, site_of  # noqa: PLC0415
    from kbs.serve.resolve import log_resolved  # noqa: PLC0415
    from kbs.store.freeze import read_mark, remove_mark  # noqa: PLC0415

    site = site_of(args.directory)
    marked = read_mark(site.store) is not None
    found, why = _look(site)
    checks = list(found.store.findings) if found else []
    seen = seen_is_stored(site.store) if found else None
    checks += [seen] if seen else []
    sound = found is not None and found.store.passed and (seen is None or seen.outcome.value == "passed")
    if found and not found.store.passed and not marked:
        freeze(site.store, found.store, doors.clock)
    mark = read_mark(site.store)
    document = _document(site, found, why, checks, doors.clock())
    _write_new(args.out, json.dumps(document, indent=1).encode() + b"\n")
    resolved = bool(args.resolve and sound and mark)
    if resolved and found and mark:
        log_resolved(site.store, found, args.out.read_bytes(), mark.at, doors.clock)
        remove_mark(site.store)
    state = "resolved" if resolved else "frozen" if mark else "sound" if sound else "unreadable"
    failed = [f"{f.check}: {f.path}: expected {f.expected}, got {f.got}" for f in checks if f.outcome.value == "failed"]
    lines = [f"{args.out} holds the evidence. The log is {state}.", *failed, *([why] if why else [])]
    if args.resolve and mark and not resolved:
        lines.append("It stays frozen: put back a store that continues what was published and seen, then try again.")
    doors.say(json.dumps({"state": state, "file": str(args.out), "failed": failed}) if args.json else "\n".join(lines))
    return {"frozen": FROZEN, "unreadable": 5}.get(state, 0)


def _look(site: Site) -> tuple[SiteCheck | None, str]:
    """What the check found, or None and why the store cannot be looked at: evidence is kept of that, too."""
    from kbs.serve.check import check_site  # noqa: PLC0415
    from kbs.store.errors import StoreUnavailable, StoreUnusable  # noqa: PLC0415

    try:
        return check_site(site.store, site.log), ""
    except (StoreUnavailable, StoreUnusable) as error:
        return None, str(error)


def _document(site: Site, found: SiteCheck | None, why: str, checks: list[Finding], at: int) -> dict[str, object]:
    from kbs.log.incident import evidence, read_published  # noqa: PLC0415
    from kbs.store.freeze import read_mark  # noqa: PLC0415

    mark = read_mark(site.store)
    try:
        published = found.published if found else read_published(site.log)
    except OSError:
        published = None
    bundle = evidence(
        origin=found.origin if found else "",
        log_key=found.log_key if found else "",
        at=at,
        stored=found.store.head if found else None,
        published=published,
        mark=mark.document() if mark else None,
        checks=[
            {"check": f.check, "path": f.path, "outcome": f.outcome.value, "expected": f.expected, "got": f.got}
            for f in checks
        ],
    )
    return {**bundle, "unreadable": why}


def _write_new(path: Path, data: bytes) -> None:
    from kbs.store.backup import Exists  # noqa: PLC0415

    try:
        with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        raise Exists(f"{path} exists and is not written over") from None
