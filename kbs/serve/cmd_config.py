"""`sealgate-broker config check | show | explain`: the configuration, before anything is started with it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kbs.serve.commands import Doors

__all__ = ["register"]

_TEXT = """The configuration is one TOML file, read once when a command starts. Unknown keys, wrong units and
contradictions stop the start; `check` finds all of them at once, with file, line and the nearest known key."""
_EPILOG = """examples:
  sealgate-broker config check --config /etc/sealgate/broker.toml
  sealgate-broker config show --config /etc/sealgate/broker.toml --json
  sealgate-broker config explain custody.passphrase"""


def register(subparsers: Any) -> None:
    """Adds the commands."""
    raw = argparse.RawDescriptionHelpFormatter
    config = subparsers.add_parser(
        "config",
        help="check, show or explain the configuration",
        description=_TEXT,
        epilog=_EPILOG,
        formatter_class=raw,
    )
    verbs = config.add_subparsers(metavar="VERB", required=True)
    for verb, short, run in (("check", "say all that is wrong", _check), ("show", "every value that counts", _show)):
        parser = verbs.add_parser(verb, help=short, description=_TEXT, epilog=_EPILOG, formatter_class=raw)
        parser.add_argument(
            "--config", type=Path, required=True, metavar="FILE", help="the broker's configuration (TOML)"
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        parser.set_defaults(run=run)
    parser = verbs.add_parser(
        "explain", help="what can be configured", description=_TEXT, epilog=_EPILOG, formatter_class=raw
    )
    parser.add_argument("what", nargs="?", default="", metavar="SECTION[.KEY]", help="everything if not given")
    parser.add_argument("--json", action="store_true", help="print one JSON array, an object for each key")
    parser.set_defaults(run=_explain)


def _check(args: argparse.Namespace, doors: Doors) -> int:
    from kbs.serve.config.load import ConfigInvalid, load  # noqa: PLC0415  # help must not load the broker

    try:
        load(args.config)
    except ConfigInvalid as error:
        if not args.json:
            raise
        doors.say(json.dumps({"file": str(args.config), "fine": False, "problems": str(error).splitlines()}))
        return 2
    fine = {"file": str(args.config), "fine": True, "problems": []}
    doors.say(json.dumps(fine) if args.json else f"{args.config} is fine. What it means: sealgate-broker config show")
    return 0


def _show(args: argparse.Namespace, doors: Doors) -> int:
    from kbs.serve.config.load import load  # noqa: PLC0415
    from kbs.serve.config.reference import effective  # noqa: PLC0415

    values = effective(load(args.config).config)
    lines = [
        line
        for section, table in values.items()
        for line in (f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items()), "")
    ]
    doors.say(json.dumps(values) if args.json else "\n".join(lines).rstrip())
    return 0


def _explain(args: argparse.Namespace, doors: Doors) -> int:
    from kbs.serve.commands import Usage  # noqa: PLC0415
    from kbs.serve.config.reference import described, explain, nearest  # noqa: PLC0415
    from kbs.serve.config.sections import SECTIONS  # noqa: PLC0415

    text = explain(args.what)
    if text is None:
        near = nearest(args.what)
        raise Usage(
            f"there is no {args.what}; "
            + (f"the nearest is {near}" if near else f"the sections are {', '.join(SECTIONS)}")
        )
    doors.say(json.dumps(described(args.what)) if args.json else text)
    return 0
