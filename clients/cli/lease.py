"""`sealgate lease list|show|receipt|end`: who holds which keys, for operators and auditors."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clients.cli.output import check_output, write_over
from clients.cli.people import add_arguments, people_channel
from kbs.model.words import counted

if TYPE_CHECKING:
    from clients.cli.main import Doors

__all__ = ["register"]

_ALL = "--trust trust.json --broker broker.example:8444 --key me.key --cert me.pem"
_LIST = f"""examples:
  sealgate lease list --tenant acme \\
      {_ALL}
  sealgate lease list --tenant acme --asset tenants/acme/assets/llm --active --expect 64 \\
      {_ALL}

With --expect the command ends with code 3 unless so many different nodes hold a lease: are all 64 nodes keyed?
The question itself leaves an entry in the log."""
_ONE = f"""examples:
  sealgate lease show tenants/acme/leases/3f0c2a1b4d5e6f708192a3b4c5d6e7f8 \\
      {_ALL}
  sealgate lease receipt tenants/acme/leases/3f0c2a1b4d5e6f708192a3b4c5d6e7f8 --out grant.tlog-proof \\
      {_ALL}"""

_END = """Ends a lease in force, with an entry in the log. Its next renewal is refused for the reason given:

  attest-again   told as REVOKED_REATTEST: the holder may get the keys anew, by attesting anew
  blocked        told as REVOKED_BLOCKED: only a person can help

It takes no key back. Who was released a key has it until its memory is gone: stop the guest, and treat the data as
known if you cannot. Nor does it forbid the next release: for that, change what decides it (key disable, a reference set
that is revoked, a device that is deleted) before you end the lease."""
_END_HOW = f"""examples:
  sealgate lease end tenants/acme/leases/3f0c2a1b4d5e6f708192a3b4c5d6e7f8 --reason blocked \\
      {_ALL}
  sealgate lease end tenants/acme/leases/3f0c2a1b4d5e6f708192a3b4c5d6e7f8 --reason attest-again --dry-run \\
      {_ALL}"""


def register(subparsers: Any) -> None:
    """Adds the command."""
    raw = argparse.RawDescriptionHelpFormatter
    lease = subparsers.add_parser(
        "lease", help="who holds which keys, and until when", description="Leases of keys.", epilog=_LIST,
        formatter_class=raw,
    )  # fmt: skip
    verbs = lease.add_subparsers(metavar="VERB", required=True)
    listing = verbs.add_parser(
        "list",
        help="list leases, newest first",
        description="Lists the leases of a tenant and says how many different nodes hold them.",
        epilog=_LIST,
        formatter_class=raw,
    )
    listing.add_argument("--tenant", required=True, metavar="TENANT", help="whose leases")
    listing.add_argument("--asset", default="", metavar="NAME", help="only of this asset: tenants/T/assets/A")
    listing.add_argument("--active", action="store_true", help="only those in force now")
    listing.add_argument("--expect", type=int, metavar="N", help="say if N different nodes hold one, and fail if not")
    listing.set_defaults(run=_list)
    show = verbs.add_parser(
        "show",
        help="everything about one lease",
        description="Shows whose a lease is, of what, until when, and how it ended.",
        epilog=_ONE,
        formatter_class=raw,
    )
    show.add_argument("name", help="tenants/T/leases/L")
    show.set_defaults(run=_show)
    receipt = verbs.add_parser(
        "receipt",
        help="the proof that its grant is logged",
        description="Fetches the proof that a grant is logged, and checks it.",
        epilog=_ONE,
        formatter_class=raw,
    )
    receipt.add_argument("name", help="tenants/T/leases/L")
    receipt.add_argument("--out", type=Path, required=True, metavar="FILE", help="where to write the .tlog-proof")
    receipt.set_defaults(run=_receipt)
    end = verbs.add_parser(
        "end", help="end one before its time", description=_END, epilog=_END_HOW, formatter_class=raw
    )
    end.add_argument("name", help="tenants/T/leases/L")
    end.add_argument(
        "--reason",
        required=True,
        choices=("attest-again", "blocked"),
        help="what its holder is told when it asks to renew",
    )
    end.add_argument("--dry-run", action="store_true", help="only say whether it could be ended")
    end.set_defaults(run=_end)
    for verb in (listing, show, receipt, end):
        add_arguments(verb)
        verb.add_argument("--json", action="store_true", help="print JSON")


def _list(args: argparse.Namespace, doors: Doors) -> int:
    from clients.operator.leases import list_leases, to_document, to_text  # noqa: PLC0415

    with people_channel(args, doors) as channel:
        listed = list_leases(channel, f"tenants/{args.tenant}", asset=args.asset, active=args.active)
    enough = args.expect is None or listed.nodes >= args.expect
    if args.json:
        print(json.dumps({"nodes": listed.nodes, "leases": [to_document(lease) for lease in listed.leases]}))
    else:
        for lease in listed.leases:
            print(to_text(lease))
        wanted = "" if args.expect is None else f" of {args.expect} expected"
        print(f"{counted(len(listed.leases), 'lease')} on {counted(listed.nodes, 'node')}{wanted}")
    if not enough:
        print(
            f"sealgate: {counted(listed.nodes, 'node holds', 'nodes hold')} a lease, {args.expect} expected",
            file=sys.stderr,
        )
    return 0 if enough else 3


def _show(args: argparse.Namespace, doors: Doors) -> int:
    from clients.operator.leases import get_lease, to_document  # noqa: PLC0415

    with people_channel(args, doors) as channel:
        document = to_document(get_lease(channel, args.name))
    if args.json:
        print(json.dumps(document))
        return 0
    for name, value in document.items():
        if name == "assets" and isinstance(value, list):
            value = " ".join(f"{each['asset']}@{each['version']}" for each in value)  # noqa: PLW2901
        if value not in (None, "", []):
            print(f"{name:<13} {value}")
    return 0


def _end(args: argparse.Namespace, doors: Doors) -> int:
    from clients.operator.leases import end_lease, to_document  # noqa: PLC0415

    with people_channel(args, doors) as channel:
        document = to_document(end_lease(channel, args.name, args.reason, validate_only=args.dry_run))
    if args.json:
        print(json.dumps(document))
    elif args.dry_run:
        print(f"{args.name} is {document['state']} and could be ended")
    else:
        print(
            f"{args.name} has ended: {document['reason']}, entry {document['newest_index']}. "
            f"The node {document['node']} keeps what it was released until its memory is gone."
        )
    return 0


def _receipt(args: argparse.Namespace, doors: Doors) -> int:
    from clients.operator.leases import lease_receipt  # noqa: PLC0415
    from clients.trust import read_trust  # noqa: PLC0415

    check_output(args.out)
    trust = read_trust(args.trust, simulated=doors.simulated)
    with people_channel(args, doors) as channel:
        receipt = lease_receipt(channel, trust, args.name)
    write_over(args.out, receipt.encode())
    if args.json:
        print(json.dumps({"index": receipt.index, "receipt": str(args.out)}))
    else:
        print(f"entry {receipt.index} of the log, proven; written to {args.out}")
    return 0
