"""What the commands for one kind of resource have in common: list, get, delete."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clients.cli.people import add_arguments, people_channel
from clients.errors import Usage

if TYPE_CHECKING:
    from clients.cli.main import Doors

__all__ = ["Noun", "add_verb", "common_verbs", "dump"]

Run = Callable[[argparse.Namespace, "Doors"], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Noun:
    """A kind of resource on the command line. `one` is what its methods are called after, `columns` what lists show."""

    word: str
    one: str
    what: str
    columns: tuple[str, ...]


def add_verb(verbs: Any, noun: str, verb: str, what: str, run: Run, example: str) -> argparse.ArgumentParser:
    """A verb with what every command of people needs."""
    parser: argparse.ArgumentParser = verbs.add_parser(
        verb,
        help=what,
        description=f"{what[0].upper()}{what[1:]}.",
        epilog=f"example:\n  sealgate {noun} {verb} {example} \\\n"
        "      --trust trust.json --broker broker.example:8444 --key me.key --cert me.pem",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)
    return parser


def common_verbs(verbs: Any, noun: Noun, example: str) -> None:
    """Adds list, get and delete."""
    parser = add_verb(verbs, noun.word, "list", f"list {noun.what}s", lambda a, d: _list(a, d, noun), "--tenant acme")
    parser.add_argument("--tenant", metavar="TENANT", help="whose; the trust file's if not given")
    parser.add_argument("--filter", default="", metavar="TERMS", help='for example: tier >= 3 AND kind = "weights"')
    parser = add_verb(verbs, noun.word, "get", f"show one {noun.what}, as apply reads it", _get, example)
    parser.add_argument("name", help="its resource name")
    parser = add_verb(verbs, noun.word, "delete", f"delete a {noun.what} that nothing needs", _delete, example)
    parser.add_argument("name", help="its resource name")
    parser.add_argument("--etag", default="", metavar="ETAG", help="delete it only if this is what is there")


def dump(document: Any, *, as_json: bool) -> None:
    """Prints a document as YAML, or as JSON."""
    if as_json:
        print(json.dumps(document))
        return
    import yaml  # noqa: PLC0415  # of the operator's extra

    print(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), end="")


def _list(args: argparse.Namespace, doors: Doors, noun: Noun) -> int:
    from clients.operator.catalog import listed, to_document  # noqa: PLC0415
    from clients.operator.documents import TYPES  # noqa: PLC0415
    from clients.trust import read_trust  # noqa: PLC0415

    kind = next(t for t in TYPES if t.one == noun.one)
    tenant = args.tenant or read_trust(args.trust, simulated=doors.simulated).tenant
    with people_channel(args, doors) as channel:
        found = [to_document(m) for m in listed(channel, kind, f"tenants/{tenant}", args.filter)]
    if args.json:
        print(json.dumps(found))
        return 0
    rows = [[str(d.get(column, "")) for column in noun.columns] for d in found]
    widths = [max([len(c), *(len(r[n]) for r in rows)]) for n, c in enumerate(noun.columns)]
    for row in [list(noun.columns), *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


def _get(args: argparse.Namespace, doors: Doors) -> int:
    from clients.operator.catalog import get, to_document  # noqa: PLC0415

    with people_channel(args, doors) as channel:
        dump(to_document(get(channel, args.name)), as_json=args.json)
    return 0


def _delete(args: argparse.Namespace, doors: Doors) -> int:
    from clients.operator.catalog import delete  # noqa: PLC0415

    if not args.name.startswith("tenants/"):
        raise Usage(f"{args.name} is not a resource's name")
    with people_channel(args, doors) as channel:
        change = delete(channel, args.name, args.etag)
    print(json.dumps({"name": change.name, "state": "deleted"}) if args.json else f"deleted {change.name}")
    return 0
