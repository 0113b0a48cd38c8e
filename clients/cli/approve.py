"""`sealgate approve`: an operator's word for somebody who is to be let in."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clients.cli.output import write_new
from clients.errors import Usage

if TYPE_CHECKING:
    from clients.cli.main import Doors

__all__ = ["register"]

_TEXT = """Shows what an invitation of `sealgate-broker people invite` asks for, and with --key and --out signs it.
Two operators have to approve an invitation before `people admit` takes it. Ask the person who invites who it is for:
the file says roles, tenants and a new pseudonym, and no name. Your key stays here; what is written holds no secret."""
_EPILOG = """examples:
  sealgate approve invitation.json --trust trust.json
  sealgate approve invitation.json --trust trust.json --key alice.key --out alice.approval"""
_MAX = 65_536


def register(subparsers: Any) -> None:
    """Adds the command."""
    parser = subparsers.add_parser(
        "approve",
        help="look at an invitation, and approve it with your key",
        description=_TEXT,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("invitation", type=Path, metavar="FILE", help="what `sealgate-broker people invite` wrote")
    parser.add_argument("--trust", type=Path, required=True, metavar="FILE", help="the deployment's trust file")
    parser.add_argument("--key", type=Path, metavar="FILE", help="your client key, PEM")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the new file; never written over")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=_approve)


def _approve(args: argparse.Namespace, doors: Doors) -> int:
    from clients.cli.evidence_files import read_file  # noqa: PLC0415  # the command line must start fast
    from clients.operator.approval import approve, read_proposal, told  # noqa: PLC0415
    from clients.operator.enrolment import PersonKey  # noqa: PLC0415
    from clients.operator.identity import read_secret  # noqa: PLC0415
    from clients.trust import read_trust  # noqa: PLC0415

    if (args.key is None) != (args.out is None):
        raise Usage("approving needs both --key FILE and --out FILE; without them the invitation is only shown")
    trust = read_trust(args.trust, simulated=doors.simulated)
    proposal = read_proposal(read_file(args.invitation, most=_MAX), trust)
    if args.key is not None:
        key = PersonKey.load(read_secret(args.key), name=str(args.key))
        write_new(args.out, approve(proposal, key) + b"\n", mode=0o644)
    shown = told(proposal)
    file = None if args.out is None else str(args.out)
    lines = [f"{name:<11} {', '.join(value) if isinstance(value, list) else value}" for name, value in shown.items()]
    lines.append(f"{file} approves it." if file else "Nothing was signed: approve it with --key and --out.")
    print(json.dumps({**shown, "file": file}) if args.json else "\n".join(lines))
    return 0
