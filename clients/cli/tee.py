"""The options of `sealgate keys` for the machine's TEE: through which door it is asked, and what the host gave it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from clients.errors import Usage

if TYPE_CHECKING:
    from clients.cli.main import Doors
    from clients.workload.tee import Tee

__all__ = ["add_tee", "init_data_of", "tee_of"]

_MAX_INIT_DATA = 16_384
_DOORS = ("auto", "configfs-tsm", "sev-guest", "azure")


def add_tee(parser: argparse.ArgumentParser) -> None:
    """Through which door the TEE is asked for evidence."""
    parser.add_argument(
        "--tee",
        choices=_DOORS,
        default="auto",
        help="the kernel's configfs-tsm or sev-guest, or an Azure VM's vTPM; auto: the first that is there",
    )
    parser.add_argument(
        "--init-data",
        type=Path,
        metavar="FILE",
        help="what the host gave at launch (sealgate measure init-data), whose digest is HOST_DATA or MRCONFIGID",
    )


def init_data_of(args: argparse.Namespace) -> bytes:
    """The bytes of --init-data, untouched; none if it is not given. Raises Usage."""
    if args.init_data is None:
        return b""
    try:
        with args.init_data.open("rb") as file:
            data = bytes(file.read(_MAX_INIT_DATA + 1))
    except OSError as error:
        raise Usage(f"--init-data {args.init_data} cannot be read: {error.strerror}") from error
    if not 0 < len(data) <= _MAX_INIT_DATA:
        raise Usage(f"--init-data {args.init_data} is empty or larger than {_MAX_INIT_DATA} bytes")
    return data


def tee_of(args: argparse.Namespace, doors: Doors) -> Tee:
    """The door to this machine's TEE; raises Unavailable."""
    from clients.workload.tee_find import find_tee  # noqa: PLC0415

    return doors.tee or find_tee(door=args.tee)
