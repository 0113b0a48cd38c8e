"""`sealgate-broker people list | remove`: who is enrolled, and out with a key that was stolen."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kbs.model.asset import Principal
    from kbs.serve.commands import Doors
    from kbs.serve.site import Site

__all__ = ["register"]

_TEXT = """The people who are enrolled, by pseudonym; the broker knows no names. `init` and `sealgate enrol` printed who
has which.

`remove` is for a key that was stolen, or somebody who has left. From the next call on, in every process, the key is
nobody's: it may do nothing and gets no certificate. It is an entry of the log. Nobody comes back by a code."""
_EPILOG = """examples:
  sealgate-broker people list --config broker.toml
  sealgate-broker people remove person-fz4zc424toctnl62o524ws5mom --config broker.toml"""


def register(subparsers: Any) -> None:
    """Adds the commands."""
    raw = argparse.RawDescriptionHelpFormatter
    people = subparsers.add_parser(
        "people", help="who is enrolled; remove somebody", description=_TEXT, epilog=_EPILOG, formatter_class=raw
    )
    verbs = people.add_subparsers(metavar="VERB", required=True)
    listing = verbs.add_parser("list", help="who is enrolled", description=_TEXT, epilog=_EPILOG, formatter_class=raw)
    listing.set_defaults(run=_list)
    remove = verbs.add_parser(
        "remove", help="take somebody out", description=_TEXT, epilog=_EPILOG, formatter_class=raw
    )
    remove.add_argument("person", metavar="PSEUDONYM", help="as `people list` shows it")
    remove.add_argument("--last", action="store_true", help="also if no operator is left then")
    remove.set_defaults(run=_remove)
    for verb in (listing, remove):
        verb.add_argument(
            "--config", type=Path, required=True, metavar="FILE", help="the broker's configuration (TOML)"
        )
        verb.add_argument("--json", action="store_true", help="print one JSON object")


def _site(args: argparse.Namespace) -> Site:
    from kbs.serve.config.load import load  # noqa: PLC0415  # help must not load the broker
    from kbs.serve.first_run import site_for  # noqa: PLC0415
    from kbs.serve.unfinished import refuse_unfinished  # noqa: PLC0415

    site = site_for(load(args.config).config)
    refuse_unfinished(site.directory)
    return site


def _list(args: argparse.Namespace, doors: Doors) -> int:
    from kbs.serve.removal import people  # noqa: PLC0415

    found = people(_site(args))
    lines = [f"{p.id}  {','.join(sorted(p.roles))}  of {','.join(sorted(p.tenants))}" for p in found]
    told = {"people": [_document(p) for p in found]}
    doors.say(json.dumps(told) if args.json else "\n".join(lines) or "Nobody is enrolled.")
    return 0


def _remove(args: argparse.Namespace, doors: Doors) -> int:
    import asyncio  # noqa: PLC0415

    from kbs.serve.commands import Usage  # noqa: PLC0415
    from kbs.serve.removal import LastOperator, NoSuchPerson, remove  # noqa: PLC0415

    try:
        person = asyncio.run(remove(_site(args), args.person, doors.clock, last=args.last))
    except (LastOperator, NoSuchPerson) as error:
        raise Usage(str(error)) from error
    text = f"{person.id} is removed: the key that it had may do nothing from now on, and gets no certificate."
    doors.say(json.dumps(_document(person)) if args.json else text)
    return 0


def _document(person: Principal) -> dict[str, object]:
    return {
        "person": person.id,
        "roles": sorted(person.roles),
        "tenants": sorted(person.tenants),
        "key_sha256": person.key.hex(),
    }
