"""The `sealgate` command: arguments, doors, exit codes. Commands are imported when they are used.

Exit codes are part of the API: 0 ok, 2 usage, 3 denied, 4 evidence not trusted, 5 unavailable, 6 locked; `audit verify`
further 10 tampering proven, 11 data incomplete, 12 stale or unanchored. 130 ended by Ctrl-C,
143 by SIGTERM.
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING

from clients.cli.ending import ended, let_go

if TYPE_CHECKING:
    from clients.workload.devices import Devices
    from clients.workload.tee import Tee

__all__ = ["Doors", "full_parser", "main", "run"]

# name: (module, what help says)
_COMMANDS = {
    "keys": ("clients.cli.keys", "get keys for this machine"),
    "open": ("clients.cli.unseal", "read sealed files with a released key"),
    "seal": ("clients.cli.seal", "seal files to a key version's public key"),
    "evidence": ("clients.cli.evidence", "verify or show attestation evidence, offline"),
    "trust": ("clients.cli.trust", "show or verify the file that says what to believe"),
    "enrol": ("clients.cli.enrolment", "become who your code was made for"),
    "login": ("clients.cli.enrolment", "a fresh certificate for your key"),
    "collateral": ("clients.cli.collateral", "vendors' certificates, lists and documents, for operators"),
    "lease": ("clients.cli.lease", "who holds which keys, and until when"),
    "explain": ("clients.cli.explain", "why a request was refused, for operators"),
    "measure": ("clients.cli.measure", "compute the measurement to expect, offline"),
    "plan": ("clients.cli.apply", "show what documents would change in the catalogue"),
    "apply": ("clients.cli.apply", "make the catalogue what documents say"),
    "asset": ("clients.cli.asset", "register and look at assets"),
    "key": ("clients.cli.key", "make, list and retire the key versions of an asset"),
    "profile": ("clients.cli.asset", "look at release profiles"),
    "refvalue": ("clients.cli.refvalue", "look at, draft and retire reference values"),
    "device": ("clients.cli.asset", "look at the devices that a tenant knows"),
    "tenant": ("clients.cli.asset", "look at tenants"),
    "approve": ("clients.cli.approve", "look at an invitation, and approve it with your key"),
    "audit": ("clients.cli.audit", "verify and read the release log, offline"),
    "completion": ("clients.cli.completion", "write completion for bash, zsh or fish"),
}
_REMEDY = "Make one: python3 -m venv DIR, then DIR/bin/pip install sealgate; in a clone: make .venv/run.stamp"
_EXTRAS = {"yaml": "operator", "lxml": "server", "cedarpy": "server", "fsspec": "data", "pynvml": "gpu"}
_EPILOG = """examples:
  sealgate COMMAND --help
  sealgate completion bash > ~/.local/share/bash-completion/completions/sealgate

exit codes:
  0 ok   2 usage   3 denied   4 not trusted   5 unavailable   6 locked
  audit verify: 10 tampering proven   11 data incomplete   12 stale or unanchored
  130 ended by Ctrl-C   143 by SIGTERM"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """What a command reaches the world through. The ordinary command has no simulated TEE and no way to get one.

    A machine with a TEE given here has the devices given here, and no others; `ready` sets their ready state.
    """

    now: datetime
    simulated: bool = False
    tee: Tee | None = field(default=None, repr=False)
    devices: Devices | None = field(default=None, repr=False)
    ready: Callable[[], None] | None = field(default=None, repr=False)


def main(arguments: Sequence[str], doors: Doors) -> int:
    """Runs one command and returns its exit code; every failure is a sentence on standard error."""
    parser = _parser(arguments)
    try:
        parsed = parser.parse_args(arguments)
    except SystemExit as error:
        return int(error.code or 0)
    if not hasattr(parsed, "run"):
        parser.print_help(sys.stderr)
        return 2
    return ended(lambda: int(parsed.run(parsed, doors)))


def full_parser() -> argparse.ArgumentParser:
    """The parser of every command."""
    return _parser(())


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """The parser. Only the command that is used is imported; for help all are."""
    parser = argparse.ArgumentParser(
        prog="sealgate",
        description="Attestation and key release with a verifiable log.",
        epilog=_EPILOG,
        formatter_class=partial(argparse.RawDescriptionHelpFormatter, width=100),
    )
    subparsers = parser.add_subparsers(metavar="COMMAND", title="commands", prog="sealgate")
    wanted = arguments[0] if arguments and arguments[0] in _COMMANDS else None
    modules = dict.fromkeys(module for name, (module, _) in _COMMANDS.items() if wanted in {None, name})
    for module in modules:
        importlib.import_module(module).register(subparsers)
    return parser


def run() -> None:
    """The entry point: the real clock, and no simulated anything."""
    _check_environment()
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what gRPC tells of a connection, `no_answer` says in a sentence
    if sys.argv[1:2] == ["keys"]:
        from clients.cli.lean import load_lean  # noqa: PLC0415

        load_lean()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name may be no text at all
    try:
        code = main(sys.argv[1:], Doors(now=datetime.now(UTC)))  # noqa: TID251  # the edge where the clock is read
        let_go()
        sys.exit(code)
    except ModuleNotFoundError as error:
        name = (error.name or "of some name").partition(".")[0]
        extra = _EXTRAS.get(name)
        remedy = f"It comes with {sys.prefix}/bin/pip install 'sealgate[{extra}]'" if extra else _REMEDY
        print(f"sealgate: the package {name} is not installed in {sys.prefix}. {remedy}", file=sys.stderr)
        sys.exit(2)


def _check_environment() -> None:
    """Sealgate's packages have plain names: all of them must be those of this installation."""
    here = Path(__file__).resolve().parents[2]
    for name in ("attest", "kbs"):
        spec = PathFinder.find_spec(name)
        if spec is None or spec.origin is None or Path(spec.origin).resolve().parents[1] != here:
            where = spec.origin if spec else "nowhere"
            print(
                f"sealgate: the package {name} comes from {where}, not from {here}. Sealgate wants an environment of "
                f"its own. {_REMEDY}",
                file=sys.stderr,
            )
            sys.exit(2)


if __name__ == "__main__":
    run()
