"""The `sealgate` command: arguments, doors, exit codes. Commands are imported when they are used.

Exit codes are part of the API: 0 ok, 2 usage, 3 denied, 4 evidence not trusted, 5 unavailable, 6 locked; `audit verify`
further 10 tampering proven, 11 data incomplete, 12 stale or unanchored.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clients.workload.tee import Tee

__all__ = ["Doors", "main", "run"]

# name: (module, what help says)
_COMMANDS = {
    "keys": ("clients.cli.keys", "get keys for this machine"),
    "open": ("clients.cli.unseal", "read sealed files with a released key"),
    "seal": ("clients.cli.seal", "seal files to a key version's public key"),
    "evidence": ("clients.cli.evidence", "verify or show attestation evidence, offline"),
    "trust": ("clients.cli.trust", "show or verify the file that says what to believe"),
    "enrol": ("clients.cli.enrolment", "become who your code was made for"),
    "login": ("clients.cli.enrolment", "a fresh certificate for your key"),
    "explain": ("clients.cli.explain", "why a request was refused, for operators"),
    "measure": ("clients.cli.measure", "compute the measurement to expect, offline"),
    "refvalue": ("clients.cli.refvalue", "draft reference values"),
    "audit": ("clients.cli.audit", "verify and read the release log, offline"),
}
_EPILOG = """exit codes:
  0 ok   2 usage   3 denied   4 not trusted   5 unavailable   6 locked
  audit verify: 10 tampering proven   11 data incomplete   12 stale or unanchored"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """What a command reaches the world through. The ordinary command has no simulated TEE and no way to get one."""

    now: datetime
    simulated: bool = False
    tee: Tee | None = field(default=None, repr=False)


def main(arguments: Sequence[str], doors: Doors) -> int:
    """Runs one command and returns its exit code; every failure is a sentence on standard error."""
    from clients.errors import ClientError  # noqa: PLC0415  # the command line must start fast

    parser = _parser(arguments)
    try:
        parsed = parser.parse_args(arguments)
    except SystemExit as error:
        return int(error.code or 0)
    if not hasattr(parsed, "run"):
        parser.print_help(sys.stderr)
        return 2
    try:
        return int(parsed.run(parsed, doors))
    except ClientError as error:
        print(f"sealgate: {error}", file=sys.stderr)
        return error.code
    except BrokenPipeError:
        return 0
    except KeyboardInterrupt:
        print("sealgate: interrupted", file=sys.stderr)
        return 130


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """The parser. Only the command that is used is imported; for help all are."""
    parser = argparse.ArgumentParser(
        prog="sealgate",
        description="Attestation and key release with a verifiable log.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subparsers = parser.add_subparsers(metavar="COMMAND", title="commands")
    wanted = arguments[0] if arguments and arguments[0] in _COMMANDS else None
    modules = dict.fromkeys(module for name, (module, _) in _COMMANDS.items() if wanted in {None, name})
    for module in modules:
        importlib.import_module(module).register(subparsers)
    return parser


def run() -> None:
    """The entry point: the real clock, and no simulated anything."""
    sys.exit(main(sys.argv[1:], Doors(now=datetime.now(UTC))))  # noqa: TID251  # the edge where the clock is read


if __name__ == "__main__":
    run()
