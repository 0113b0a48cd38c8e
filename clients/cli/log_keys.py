"""The note of log keys on the command line: beside the published log, or where `--log-keys` says."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from clients.errors import Usage

if TYPE_CHECKING:
    from clients.auditor.source import Source
    from clients.cli.main import Doors
    from clients.trust import Trust

__all__ = ["add_log_keys", "read_informed", "read_note"]

_MAX_NOTE = 1_000_000


def add_log_keys(parser: argparse.ArgumentParser, *, beside: str) -> None:
    """Adds the argument; `beside` says where the note is looked for without it."""
    parser.add_argument(
        "--log-keys",
        type=Path,
        metavar="FILE",
        help=f"the signed note of log keys, for a trust file that names an offline key ({beside})",
    )


def read_informed(args: argparse.Namespace, doors: Doors, source: Source | None = None) -> Trust:
    """The trust file with the log keys that it or the note lists.

    Raises as `read_trust` and `Trust.informed`, and Usage for a note that cannot be read.
    """
    from clients.trust import read_trust  # noqa: PLC0415  # the command line must start fast

    trust = read_trust(args.trust, simulated=doors.simulated)
    return trust if trust.log_root is None else trust.informed(read_note(args, source))


def read_note(args: argparse.Namespace, source: Source | None = None) -> bytes:
    """The note that the command line names, or that lies beside the log; empty if there is none. Raises Usage."""
    from clients.auditor.source import LOG_KEYS  # noqa: PLC0415

    if args.log_keys is not None:
        return _read(args.log_keys)
    return (source.read(LOG_KEYS) if source else None) or b""


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_NOTE + 1)
    except OSError as error:
        raise Usage(f"the note of log keys {path} cannot be read: {error.strerror}") from error
