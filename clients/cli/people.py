"""What every command that talks to the people port needs: the trust file, the broker, a client certificate."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clients.cli.main import Doors
    from clients.transport import Channel

__all__ = ["add_arguments", "people_channel"]


def add_arguments(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Adds --trust, --broker, --key and --cert."""
    parser.add_argument("--trust", type=Path, required=required, metavar="FILE", help="the deployment's trust file")
    parser.add_argument("--broker", required=required, metavar="HOST:PORT", help="the broker's people port")
    parser.add_argument("--key", type=Path, required=required, metavar="FILE", help="your client key, PEM")
    parser.add_argument("--cert", type=Path, required=required, metavar="FILE", help="your client certificate, PEM")


@contextmanager
def people_channel(args: argparse.Namespace, doors: Doors) -> Iterator[Channel]:
    """A connection as the person whose key and certificate were named; raises Usage."""
    from clients.operator.identity import read_identity  # noqa: PLC0415
    from clients.transport import connect  # noqa: PLC0415
    from clients.trust import read_trust  # noqa: PLC0415

    trust = read_trust(args.trust, simulated=doors.simulated)
    identity = read_identity(args.key, args.cert, doors.now)
    with connect(args.broker, trust.broker_ca, identity) as channel:
        yield channel
