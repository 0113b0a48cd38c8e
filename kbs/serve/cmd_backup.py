"""`sealgate-broker backup | restore`: all that a deployment needs to come back, and the way back."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kbs.model.words import counted

if TYPE_CHECKING:
    from kbs.serve.backup_set import BackupSet
    from kbs.serve.commands import Doors
    from kbs.serve.config.load import Loaded
    from kbs.serve.site import Site

__all__ = ["register"]

_BACKUP = """Makes the new directory --out, mode 0700, while the broker serves: the store of one moment, opened and
checked; recovery.json, which each recovery key opens; trust.json; the configuration; the offline key's public half and
the note of log keys, if there are any; and a list with the SHA-256 of each and with what is not in it. The root key is
not in it in clear: a recovery key brings it back.

A backup is behind what is published after it: restored then, it freezes instead of forking the log. So keep one that
was made with the broker stopped whenever you move it, and put the published log where it is not lost with the machine.

`backup verify` tells if a backup is whole and, with a recovery key, that this key opens every key in it."""

_VERIFY = """Reads a backup and changes nothing: every file is what it was, the store is sound and is the one that the
list tells of, and the note of log keys, if there is one, is signed by the offline key and lists the log's own. With
--recovery-key also the drill of a restore: that key opens the root key, and that every key of the
backup. Make it with each recovery key, on another machine than the broker's."""

_RESTORE = """Makes the store from a backup, where no store is, and checks it against what was published: the site's
own log directory, or with --published the newest checkpoint that anybody has. That it was restored is an entry.

A backup that is behind what was published would write other entries at indices that auditors have seen. So
the log is frozen, nothing is released, and the exit code is 10; docs/operations.md says what can be done."""

_EPILOG = """examples:
  sealgate-broker backup --config broker.toml --out /backup/2026-11-30
  sealgate-broker backup verify /backup/2026-11-30 --recovery-key /media/stick/recovery-1.key
  sealgate-broker restore --backup /backup/2026-11-30 --directory /var/lib/sealgate
  sealgate-broker restore --backup /backup/2026-11-30 --directory /var/lib/sealgate --published /mirror/log"""


def register(subparsers: Any) -> None:
    """Adds the commands."""
    raw = argparse.RawDescriptionHelpFormatter
    backup = subparsers.add_parser(
        "backup", help="copy all that a restore needs", description=_BACKUP, epilog=_EPILOG, formatter_class=raw
    )
    which = backup.add_mutually_exclusive_group()
    which.add_argument(
        "--config", type=Path, metavar="FILE", help="the broker's configuration (TOML); it is copied, too"
    )
    which.add_argument("--directory", type=Path, metavar="DIR", help="the site instead, without a configuration")
    backup.add_argument("--out", type=Path, metavar="DIR", help="the new directory; never written over")
    backup.add_argument("--json", action="store_true", help="print one JSON object")
    backup.set_defaults(run=_backup)
    verbs = backup.add_subparsers(metavar="[VERB]", title="besides making one")
    verify = verbs.add_parser(
        "verify", help="is it whole, and does a recovery key open it?", description=_VERIFY, epilog=_EPILOG,
        formatter_class=raw,
    )  # fmt: skip
    verify.add_argument("backup", type=Path, metavar="DIR", help="what `backup` made")
    verify.add_argument("--recovery-key", type=Path, metavar="FILE", help="the private half, mode 0600")
    verify.add_argument("--json", action="store_true", help="print one JSON object")
    verify.set_defaults(run=_verify)
    restore = subparsers.add_parser(
        "restore", help="make the store from a backup", description=_RESTORE, epilog=_EPILOG, formatter_class=raw
    )
    restore.add_argument("--backup", type=Path, required=True, metavar="DIR", help="what `backup` made")
    restore.add_argument("--directory", type=Path, required=True, metavar="DIR", help="the site; no store.db is in it")
    known = restore.add_mutually_exclusive_group()
    known.add_argument("--published", type=Path, metavar="DIR", help="a copy of the published log, or its checkpoint")
    known.add_argument(
        "--nothing-published-since",
        action="store_true",
        help="you know that the broker was stopped before the backup was made and never started since",
    )
    restore.add_argument("--json", action="store_true", help="print one JSON object")
    restore.set_defaults(run=_restore)


def _backup(args: argparse.Namespace, doors: Doors) -> int:
    from kbs.serve.backup_set import make_backup  # noqa: PLC0415  # help must not load the broker
    from kbs.serve.commands import Usage  # noqa: PLC0415

    if args.out is None or (args.config is None and args.directory is None):
        raise Usage("backup needs --config FILE (or --directory DIR) and --out DIR; or: backup verify DIR")
    site, loaded = _site(args)
    made = make_backup(site, loaded, args.out, doors.clock)
    lines = [
        f"{args.out}: {_what(made)}, opened and checked.",
        "The broker is serving: what it logs from now on is not in it."
        if made.serving
        else "The broker is stopped: as long as it stays so, this is its last moment.",
        *_told(made),
    ]
    doors.say(json.dumps({"backup": str(args.out), **made.document()}) if args.json else "\n".join(lines))
    return 0


def _site(args: argparse.Namespace) -> tuple[Site, Loaded | None]:
    from kbs.serve.commands import site_of  # noqa: PLC0415
    from kbs.serve.config.load import load  # noqa: PLC0415

    if args.config is None:
        return site_of(args.directory), None
    loaded = load(args.config)
    return site_of(loaded.config.deployment.directory), loaded


def _what(found: BackupSet) -> str:
    kept = found.kept
    entries = counted(kept.head.size, "entry", "entries")
    return f"{entries} of {kept.origin}, root {kept.head.root.hex()}, {kept.bytes} bytes"


def _told(found: BackupSet) -> list[str]:
    keys = ", ".join(found.recovery_keys)
    return [
        f"The root key opens with any of the recovery keys {keys}."
        if keys
        else "It has no recovery.json: without the root key's own file it is worth nothing.",
        "Not in it:",
        *(f"  {what}: {where}" for what, where in found.elsewhere),
    ]


def _verify(args: argparse.Namespace, doors: Doors) -> int:
    from kbs.serve.backup_note import log_keys_of  # noqa: PLC0415
    from kbs.serve.backup_set import opened_by, read_backup  # noqa: PLC0415
    from kbs.serve.cmd_custody import recovery_key  # noqa: PLC0415

    found = read_backup(args.backup)
    listed = log_keys_of(found)
    key = recovery_key(args.recovery_key) if args.recovery_key is not None else None
    count = opened_by(found, key) if key is not None else None
    drilled = (
        f"The recovery key {key.public.id} opens the root key, and that opens all {count} keys in it."
        if key is not None
        else "Skipped: no --recovery-key was given, so nothing proves that anybody can open it."
    )
    lines = [
        f"{args.backup} is whole: {_what(found)}.",
        drilled,
        f"The note of log keys is version {listed.version}, signed by its offline key, and lists the log's key."
        if listed
        else "It has no note of log keys: trust files list the log's key.",
        *_told(found),
    ]
    note = {"log_keys_version": listed.version if listed else None}
    told = {"backup": str(args.backup), **found.document(), "whole": True, "keys_opened": count, **note}
    doors.say(json.dumps(told) if args.json else "\n".join(lines))
    return 0


def _restore(args: argparse.Namespace, doors: Doors) -> int:
    from kbs.serve.commands import Usage, site_of  # noqa: PLC0415
    from kbs.serve.restore import Unknown, put_back  # noqa: PLC0415
    from kbs.store.schema import SCHEMA_VERSION  # noqa: PLC0415

    site = site_of(args.directory)
    try:
        done = put_back(
            args.backup,
            site,
            doors.clock,
            published=args.published,
            nothing_since=args.nothing_published_since,
        )
    except Unknown as error:
        raise Usage(str(error)) from error
    if args.nothing_published_since and done.served:
        sys.stderr.write(
            "sealgate-broker: warning: this backup was made while the broker served. Whatever it logged after that is "
            "published somewhere, and what is logged from here on contradicts it\n"
        )
    kept = done.kept
    document = {"origin": kept.origin, "size": kept.head.size, "root": kept.head.root.hex(), "schema": kept.schema}
    lines = [f"{site.store}: restored, {counted(kept.head.size, 'entry', 'entries')} of {kept.origin}."]
    lines += [f"{site.directory / name}: restored." for name in done.files]
    if kept.schema != SCHEMA_VERSION:
        lines.append(f"It has schema {kept.schema}: sealgate-broker migrate --directory {args.directory}")
    if not done.frozen:
        lines += [
            "If root.key is lost: sealgate-broker custody recover --config broker.toml --recovery-key FILE",
            "Then: sealgate-broker doctor --config broker.toml, and sealgate-broker serve --config broker.toml",
        ]
    frozen = str(done.frozen) if done.frozen else None
    told = {**document, "files": list(done.files), "frozen": frozen, "logged": done.logged}
    doors.say(json.dumps(told) if args.json else "\n".join(lines))
    if done.frozen:
        raise done.frozen
    return 0
