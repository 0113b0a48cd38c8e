"""The option of `sealgate keys` for the machine's TEE: through which door it is asked."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clients.cli.main import Doors
    from clients.workload.tee import Tee

__all__ = ["add_tee", "tee_of"]

_DOORS = ("auto", "configfs-tsm", "sev-guest", "azure")


def add_tee(parser: argparse.ArgumentParser) -> None:
    """Through which door the TEE is asked for evidence."""
    parser.add_argument(
        "--tee",
        choices=_DOORS,
        default="auto",
        help="the kernel's configfs-tsm or sev-guest, or an Azure VM's vTPM; auto: the first that is there",
    )


def tee_of(args: argparse.Namespace, doors: Doors) -> Tee:
    """The door to this machine's TEE; raises Unavailable."""
    from clients.workload.tee_find import find_tee  # noqa: PLC0415

    return doors.tee or find_tee(door=args.tee)
