"""`sealgate-broker log-keys adopt | draft | install`: who says which keys sign the log, when it is not the image."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attest.tlog.log_keys import LogKeys
    from kbs.serve.commands import Doors
    from kbs.serve.site import Site

__all__ = ["register"]

_TEXT = """A trust file of `init` lists the log's key itself. Once an offline key is adopted, trust files name that key
instead, and a note signed by it lists the log's keys: a new log key then needs a new note, and no new image.

The offline key is made and used away from the broker (`sealgate trust keygen`, `sealgate trust sign`); only its public
half comes here, and it stays for ever. `draft` writes what is to be signed next. `install` puts a signed note in force:
it lies in log/log-keys, is served at /log-keys and goes out with every receipt, within 20 seconds. Trust files that
list keys themselves go on working."""
_EPILOG = """examples:
  sealgate trust keygen --origin keys.example.com --out log-root      # on a machine that is offline
  sealgate-broker log-keys adopt log-root.pub --config broker.toml
  sealgate-broker log-keys draft --config broker.toml --out log-keys.txt
  sealgate trust sign log-keys.txt --key log-root.key --out log-keys  # there again
  sealgate-broker log-keys install log-keys --config broker.toml
  sealgate-broker trust --config broker.toml --out trust.json         # names the offline key"""


def register(subparsers: Any) -> None:
    """Adds the commands."""
    raw = argparse.RawDescriptionHelpFormatter
    group = subparsers.add_parser(
        "log-keys",
        help="the note that lists the log's keys, and the offline key that signs it",
        description=_TEXT,
        epilog=_EPILOG,
        formatter_class=raw,
    )
    verbs = group.add_subparsers(metavar="VERB", required=True)
    for verb, short, run in (
        ("adopt", "take the public half of an offline key, once", _adopt),
        ("draft", "write what is to be signed next", _draft),
        ("install", "put a signed note in force", _install),
    ):
        parser = verbs.add_parser(verb, help=short, description=_TEXT, epilog=_EPILOG, formatter_class=raw)
        if verb == "adopt":
            parser.add_argument("root", type=Path, metavar="ROOT.pub", help="the offline key's public half")
        if verb == "install":
            parser.add_argument("note", type=Path, metavar="NOTE", help="the signed note")
        parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="the TOML file")
        if verb == "draft":
            parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the new file")
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        parser.set_defaults(run=run)


def _site(args: argparse.Namespace) -> Site:
    from kbs.serve.commands import Usage  # noqa: PLC0415  # help must not load the broker
    from kbs.serve.config.load import load  # noqa: PLC0415
    from kbs.serve.first_run import site_for  # noqa: PLC0415
    from kbs.serve.unfinished import refuse_unfinished  # noqa: PLC0415

    site = site_for(load(args.config).config)
    if not site.store.exists():
        raise Usage(f"{site.store} is not there; make the deployment: sealgate-broker init")
    refuse_unfinished(site.directory)
    return site


def _adopt(args: argparse.Namespace, doors: Doors) -> int:
    from kbs.serve.log_keys import adopt, read_file  # noqa: PLC0415

    site = _site(args)
    root = adopt(site, read_file(args.root), doors.faults)
    told = {"root": root.vkey, "file": str(site.log_root)}
    text = (
        f"{root.name}, id {root.key_id.hex()}, is the offline key of {site.deployment} from now on. "
        f"Next: sealgate-broker log-keys draft --config {args.config} --out log-keys.txt"
    )
    doors.say(json.dumps(told) if args.json else text)
    return 0


def _draft(args: argparse.Namespace, doors: Doors) -> int:
    from kbs.serve.commands import Usage  # noqa: PLC0415
    from kbs.serve.log_keys import draft  # noqa: PLC0415

    found = draft(_site(args))
    try:
        with args.out.open("xb") as file:
            file.write(found.text())
    except FileExistsError as error:
        raise Usage(f"{args.out} exists and is not written over") from error
    told = {"file": str(args.out), **_document(found)}
    text = f"{args.out} is version {found.version}, to be signed: {_logs(found)}. Read it before you sign it."
    doors.say(json.dumps(told) if args.json else text)
    return 0


def _install(args: argparse.Namespace, doors: Doors) -> int:
    from kbs.serve.log_keys import install, read_file  # noqa: PLC0415

    site = _site(args)
    found = install(site, read_file(args.note), doors.faults)
    text = f"Version {found.version} of the log keys of {site.deployment} is in force: {_logs(found)}."
    doors.say(json.dumps({"file": str(site.log_keys), **_document(found)}) if args.json else text)
    return 0


def _document(keys: LogKeys) -> dict[str, object]:
    return {
        "version": keys.version,
        "logs": [key.vkey for key in keys.logs],
        "witnesses": [key.vkey for key in keys.witnesses],
    }


def _logs(keys: LogKeys) -> str:
    return ", ".join(f"{key.name} with id {key.key_id.hex()}" for key in keys.logs)
