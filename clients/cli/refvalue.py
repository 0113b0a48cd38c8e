"""`sealgate refvalue`: sets of reference values, and a draft of one from a refused boot."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from clients.cli.people import add_arguments, people_channel
from clients.cli.resources import Noun, add_verb, common_verbs

if TYPE_CHECKING:
    from clients.cli.main import Doors

__all__ = ["register"]

_NOUN = Noun(word="refvalue", one="ReferenceSet", what="reference set", columns=("name", "state", "shared", "sunset"))
_SET = "tenants/acme/referenceSets/trainer-1-5"
_EPILOG = """examples:
  sealgate refvalue draft --from 3f0c... --name tenants/acme/referenceSets/trainer-1-5 --value-name milan-16vcpu \\
      --covers firmware kernel initrd cmdline --asset tenants/acme/assets/llm \\
      --trust trust.json --broker broker.example:8444 --key me.key --cert me.pem > trainer-1-5.json
  sealgate apply -f trainer-1-5.json --trust trust.json --broker broker.example:8444 --key me.key --cert me.pem

From a refused boot to a trusted image in these two commands, with your comparison in between. A set that exists already
is drafted with this value added; each --asset is drafted as it is, naming the set too. A value holds what its platform
has: HOST_DATA where it was given, the registers of a TD, the PCRs that profiles name. The documents go to standard
output, a warning to standard error: the measurement says what booted on a machine that proved nothing, not that it is
what you built."""


def register(subparsers: Any) -> None:
    """Adds the command."""
    refvalue = subparsers.add_parser("refvalue", help="look at, draft and retire reference values")
    verbs = refvalue.add_subparsers(metavar="VERB", title="verbs", required=True)
    draft = verbs.add_parser(
        "draft",
        help="make a reference set from a refused boot",
        description="Makes the draft of a reference set from the evidence behind a ticket. Registers nothing.",
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
    draft.add_argument(
        "--asset", action="append", default=[], metavar="NAME", help="an asset that is to trust it; may be repeated"
    )
    add_arguments(draft)
    draft.add_argument("--json", action="store_true", help="print each document on one line")
    draft.set_defaults(run=_draft)
    common_verbs(verbs, _NOUN, _SET)
    for verb, what in (
        ("activate", "trust a draft, or a deprecated set again"),
        ("deprecate", "trust a set until a day and no longer"),
        ("revoke", "trust a set no more, and never again"),
    ):
        parser = add_verb(
            verbs, "refvalue", verb, what, _step, f"{_SET} --sunset 2027-03-31" if verb == "deprecate" else _SET
        )
        parser.add_argument("name", help="tenants/T/referenceSets/S")
        if verb == "deprecate":
            parser.add_argument("--sunset", required=True, metavar="TIME", help="the first moment it does not count")
        parser.set_defaults(verb=verb)


def _draft(args: argparse.Namespace, doors: Doors) -> int:
    from clients.operator.explain import explain  # noqa: PLC0415
    from clients.operator.refvalue import draft, into, named_by, warning  # noqa: PLC0415

    with people_channel(args, doors) as channel:
        answer = explain(channel, args.ticket)
        made = draft(answer, name=args.name, value_name=args.value_name, covers=args.covers, shared=args.shared)
        documents = [into(channel, made), *(named_by(channel, asset, args.name) for asset in args.asset)]
    print("\n---\n".join(json.dumps(document, indent=None if args.json else 1) for document in documents))
    print(f"sealgate: {warning(answer)}", file=sys.stderr)
    return 0


def _step(args: argparse.Namespace, doors: Doors) -> int:
    from clients.operator.refvalue import step  # noqa: PLC0415

    with people_channel(args, doors) as channel:
        change = step(channel, args.name, args.verb, getattr(args, "sunset", ""))
    told = {"activate": "active", "deprecate": "deprecated", "revoke": "revoked"}[args.verb]
    document = {"name": change.name, "state": told, "etag": change.etag}
    print(json.dumps(document) if args.json else f"{change.name} is {told}")
    return 0
