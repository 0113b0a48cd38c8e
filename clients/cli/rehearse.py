"""`sealgate keys get --rehearse`: would it be granted?"""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from clients.cli.devices import devices_of
from clients.cli.tee import init_data_of, tee_of
from clients.errors import Usage

if TYPE_CHECKING:
    from clients.cli.main import Doors
    from clients.trust import Trust

__all__ = ["rehearse_keys"]


def rehearse_keys(args: argparse.Namespace, doors: Doors, trust: Trust) -> int:
    """A denial is said as ever, with the ticket that sealgate explain takes."""
    from clients.transport import connect  # noqa: PLC0415
    from clients.workload.rehearse import rehearse  # noqa: PLC0415

    if args.lease is not None or args.owner or args.mode != "0600" or args.gpu_ready:
        raise Usage("--rehearse changes nothing: --lease, --owner, --mode and --gpu-ready are for keys")
    with connect(args.broker, trust.broker_ca) as channel:
        tee, devices = tee_of(args, doors), devices_of(args, doors)
        given = init_data_of(args)
        rehearsed = rehearse(channel, trust, tee, args.purpose, args.asset, devices=devices, init_data=given)
    if args.json:
        document = {"rehearsed": list(args.asset), "index": rehearsed.receipt.index, "ticket": rehearsed.ticket}
        print(json.dumps(document))
    else:
        entry = f"entry {rehearsed.receipt.index} of the log, ticket {rehearsed.ticket}"
        print(f"it would be granted: {', '.join(args.asset)}; {entry}", file=sys.stderr)
    return 0
