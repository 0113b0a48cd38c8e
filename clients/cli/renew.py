"""`sealgate keys renew|receipt`: for whoever holds a lease that `sealgate keys get --lease FILE` wrote."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clients.cli.devices import add_devices, devices_of
from clients.cli.lease_file import read_lease
from clients.cli.output import check_output, write_over
from clients.cli.result import add_result, check_result, keep_result
from clients.cli.tee import add_tee, init_data_of, tee_of
from clients.errors import unwritten

if TYPE_CHECKING:
    from clients.cli.main import Doors

__all__ = ["add_renew"]

_EPILOG = """examples:
  sealgate keys renew --lease /run/keys/lease.json --trust /etc/sealgate/trust.json --broker broker.example:8443
  sealgate keys receipt --lease /run/keys/lease.json --trust /etc/sealgate/trust.json \\
      --broker broker.example:8443 --out grant.tlog-proof

Renewing proves again where this machine runs, and is decided under what is in force now. If it is refused the lease
ends: REVOKED_REATTEST says that sealgate keys get may succeed, REVOKED_BLOCKED that only a person can help. A key that
has been released is not taken back by the end of its lease."""


def add_renew(verbs: Any) -> None:
    """Adds the verbs."""
    raw = argparse.RawDescriptionHelpFormatter
    renew = verbs.add_parser(
        "renew",
        description="Proves again where this machine runs, and renews the lease that FILE holds.",
        help="renew the lease on this machine's keys",
        epilog=_EPILOG,
        formatter_class=raw,
    )
    add_tee(renew)
    add_devices(renew)
    add_result(renew)
    renew.set_defaults(run=_renew)
    receipt = verbs.add_parser(
        "receipt",
        description="Proves with the lease's holder key whose it is, and fetches the receipt of its grant.",
        help="get the proof of a grant again",
        epilog=_EPILOG,
        formatter_class=raw,
    )
    receipt.add_argument("--out", type=Path, required=True, metavar="FILE", help="where to write the .tlog-proof")
    receipt.set_defaults(run=_receipt)
    for verb in (renew, receipt):
        verb.add_argument("--lease", type=Path, required=True, metavar="FILE", help="what keys get --lease wrote")
        verb.add_argument(
            "--trust", type=Path, required=True, metavar="FILE", help="the trust file, inside the measured image"
        )
        verb.add_argument("--broker", required=True, metavar="HOST:PORT", help="the broker's workload port")
        verb.add_argument("--json", action="store_true", help="print one JSON object")


def _renew(args: argparse.Namespace, doors: Doors) -> int:
    from clients.transport import connect  # noqa: PLC0415
    from clients.trust import read_trust  # noqa: PLC0415
    from clients.workload.deliver import rewrite  # noqa: PLC0415
    from clients.workload.renew import renew_lease  # noqa: PLC0415

    check_result(args)
    trust, lease = read_trust(args.trust, simulated=doors.simulated), read_lease(args.lease)
    with connect(args.broker, trust.broker_ca) as channel:
        renewed = renew_lease(
            channel,
            trust,
            tee_of(args, doors),
            lease,
            devices=devices_of(args, doors),
            init_data=init_data_of(args),
            audience=args.result,
        )
    try:
        rewrite(args.lease, renewed.lease.encode())
    except OSError as error:
        raise unwritten(f"the lease was renewed, but {args.lease} cannot be written", error) from error
    keep_result(args, renewed.result)
    end = renewed.lease.end.isoformat().replace("+00:00", "Z")
    if args.json:
        print(json.dumps({"lease": lease.lease_id, "lease_end": end, "index": renewed.receipt.index}))
    else:
        index = renewed.receipt.index
        print(f"lease {lease.lease_id} renewed until {end}, entry {index} of the log", file=sys.stderr)
    return 0


def _receipt(args: argparse.Namespace, doors: Doors) -> int:
    from clients.transport import connect  # noqa: PLC0415
    from clients.trust import read_trust  # noqa: PLC0415
    from clients.workload.grant_receipt import grant_receipt  # noqa: PLC0415

    check_output(args.out)
    trust, lease = read_trust(args.trust, simulated=doors.simulated), read_lease(args.lease)
    with connect(args.broker, trust.broker_ca) as channel:
        receipt = grant_receipt(channel, trust, lease)
    write_over(args.out, receipt.encode())
    if args.json:
        print(json.dumps({"lease": lease.lease_id, "index": receipt.index, "receipt": str(args.out)}))
    else:
        print(f"entry {receipt.index} of the log, proven; written to {args.out}", file=sys.stderr)
    return 0
