"""`sealgate explain TICKET`."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from clients.cli.people import add_arguments, people_channel

if TYPE_CHECKING:
    from clients.cli.main import Doors

__all__ = ["register"]

_EPILOG = """example:
  sealgate explain 3f0c... --trust trust.json --broker broker.example:8444 --key me.key --cert me.pem

The question itself leaves an entry in the log."""


def register(subparsers: Any) -> None:
    """Adds the command."""
    explain = subparsers.add_parser(
        "explain",
        help="why a request was refused, for operators",
        description="Shows every check behind a decision, failures first, and what would change the outcome.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    explain.add_argument("ticket", help="the ticket that the refusal returned")
    add_arguments(explain)
    explain.add_argument("--all", action="store_true", help="also list the checks that passed or were skipped")
    explain.add_argument("--json", action="store_true", help="print one JSON object")
    explain.set_defaults(run=_explain)


def _explain(args: argparse.Namespace, doors: Doors) -> int:
    from clients.operator.explain import explain, to_document, to_text  # noqa: PLC0415

    with people_channel(args, doors) as channel:
        answer = explain(channel, args.ticket)
    print(json.dumps(to_document(answer)) if args.json else to_text(answer, everything=args.all))
    return 0
