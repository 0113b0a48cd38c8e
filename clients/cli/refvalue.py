"""`sealgate refvalue draft`: a reference value from a refused boot."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from clients.cli.people import add_arguments, people_channel

if TYPE_CHECKING:
    from clients.cli.main import Doors

__all__ = ["register"]

_EPILOG = """example:
  sealgate refvalue draft --from 3f0c... --name tenants/acme/referenceSets/trainer-1-5 --value-name milan-16vcpu \\
      --covers firmware kernel initrd cmdline --trust trust.json --broker broker.example:8444 --key me.key --cert me.pem

The document goes to standard output, a warning to standard error: the measurement says what booted on a machine that
proved nothing, not that it is what you built."""


def register(subparsers: Any) -> None:
    """Adds the command."""
    refvalue = subparsers.add_parser("refvalue", help="draft reference values")
    verbs = refvalue.add_subparsers(metavar="VERB", title="verbs", required=True)
    draft = verbs.add_parser(
        "draft",
        help="make a reference set from a refused boot",
        description="Makes the draft of a reference set from the measurement behind a ticket. Registers nothing.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    draft.add_argument("--from", dest="ticket", required=True, metavar="TICKET", help="the ticket of the refusal")
    draft.add_argument("--name", required=True, help="the set's resource name: tenants/T/referenceSets/S")
    draft.add_argument("--value-name", required=True, help="what to call this value within the set")
    draft.add_argument("--covers", nargs="+", required=True, metavar="PART", help="what the measurement covers")
    draft.add_argument(
        "--shared", action="store_true", help="others can boot this image too; a second fact is then asked"
    )
    add_arguments(draft)
    draft.add_argument("--json", action="store_true", help="print it on one line")
    draft.set_defaults(run=_draft)


def _draft(args: argparse.Namespace, doors: Doors) -> int:
    from clients.operator.explain import explain  # noqa: PLC0415
    from clients.operator.refvalue import draft, warning  # noqa: PLC0415

    with people_channel(args, doors) as channel:
        answer = explain(channel, args.ticket)
    document = draft(answer, name=args.name, value_name=args.value_name, covers=args.covers, shared=args.shared)
    print(json.dumps(document, indent=None if args.json else 1, sort_keys=True))
    print(f"sealgate: {warning(answer)}", file=sys.stderr)
    return 0
