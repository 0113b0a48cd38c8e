"""`sealgate explain TICKET`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clients.errors import Usage

if TYPE_CHECKING:
    from clients.cli.main import Doors

__all__ = ["register"]

_EPILOG = """example:
  sealgate explain 3f0c... --trust trust.json --broker broker.example:8444 --key me.key --cert me.pem"""


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
    explain.add_argument("--trust", type=Path, required=True, metavar="FILE", help="the deployment's trust file")
    explain.add_argument("--broker", required=True, metavar="HOST:PORT", help="the broker's people port")
    explain.add_argument("--key", type=Path, required=True, metavar="FILE", help="your client key, PEM")
    explain.add_argument("--cert", type=Path, required=True, metavar="FILE", help="your client certificate, PEM")
    explain.add_argument("--all", action="store_true", help="also list the checks that passed or were skipped")
    explain.add_argument("--json", action="store_true", help="print one JSON object")
    explain.set_defaults(run=_explain)


def _explain(args: argparse.Namespace, doors: Doors) -> int:
    from clients.operator.explain import explain, to_document, to_text  # noqa: PLC0415
    from clients.transport import Identity, connect  # noqa: PLC0415
    from clients.trust import read_trust  # noqa: PLC0415

    trust = read_trust(args.trust, simulated=doors.simulated)
    try:
        identity = Identity(key=args.key.read_bytes(), chain=args.cert.read_bytes())
    except OSError as error:
        raise Usage(f"{error.filename} cannot be read: {error.strerror}") from error
    with connect(args.broker, trust.broker_ca, identity) as channel:
        answer = explain(channel, args.ticket)
    print(json.dumps(to_document(answer)) if args.json else to_text(answer, everything=args.all))
    return 0
