"""`--result AUDIENCE`: what the broker attests of this machine to somebody else, kept in a file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from clients.errors import Usage, unwritten

if TYPE_CHECKING:
    from clients.workload.deliver import Owner

__all__ = ["add_result", "check_result", "keep_result"]


def add_result(parser: argparse.ArgumentParser) -> None:
    """For whom a result is asked for, and where it goes."""
    parser.add_argument(
        "--result",
        default="",
        metavar="AUDIENCE",
        help="also ask for an attestation result for this relying party, a JWT bound to the lease's key",
    )
    parser.add_argument("--result-out", type=Path, metavar="FILE", help="where to write it")


def check_result(args: argparse.Namespace) -> None:
    """Before anything is asked for; raises Usage."""
    if bool(args.result) != (args.result_out is not None):
        raise Usage("--result AUDIENCE and --result-out FILE go together")
    if args.result and args.lease is None:
        raise Usage("--result is bound to the key of a lease: say --lease FILE with it")
    if args.result and not args.result_out.absolute().parent.is_dir():
        raise Usage(f"--result-out {args.result_out}: there is no directory {args.result_out.absolute().parent}")


def keep_result(args: argparse.Namespace, result: str, owner: Owner | None = None) -> None:
    """Writes it, if it was asked for. It is no secret, yet nobody else's business."""
    from clients.workload.deliver import Owner, deliver_to_directory  # noqa: PLC0415

    if not args.result:
        return
    owner = owner or Owner(user=None, group=None, mode=0o600)
    try:
        deliver_to_directory({args.result_out.name: result.encode()}, args.result_out.absolute().parent, owner)
    except OSError as error:
        raise unwritten(f"the attestation result {args.result_out} cannot be written", error) from error
