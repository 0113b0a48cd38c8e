"""The `sealgate-broker` command: arguments, doors, exit codes. What a command needs is imported when it runs.

Exit codes are part of the API: 0 ok, 2 usage, 5 unavailable, 10 the log is not what it was (frozen),
130 ended by Ctrl-C.
"""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from attest.anchors import BUILT_IN, Anchors
from kbs.custody.envelope import WrapInvalid
from kbs.custody.root import RootUnusable
from kbs.serve import (
    cmd_backup,
    cmd_config,
    cmd_custody,
    cmd_doctor,
    cmd_incident,
    cmd_init,
    cmd_log_keys,
    cmd_people,
    cmd_serve,
    cmd_store,
    cmd_trust,
    cmd_web,
)
from kbs.serve.config.load import ConfigInvalid
from kbs.serve.lock import Busy
from kbs.serve.log_keys import LogKeysRefused
from kbs.serve.site import Site
from kbs.serve.unfinished import refuse_unfinished
from kbs.store.backup import Exists
from kbs.store.errors import LogFrozen, StoreUnavailable, StoreUnusable
from kbs.store.migrate import Migration, MigrationInvalid
from kbs.store.migrations import MIGRATIONS
from kbs.store.port import Clock, Faults, no_fault
from kbs.store.schema import SCHEMA_VERSION

__all__ = ["FROZEN", "Doors", "Usage", "main", "site_of"]

USAGE, UNAVAILABLE, FROZEN = 2, 5, 10
_TEXT = """Sealgate's key broker: it releases keys to machines that prove themselves, and logs every decision.

A new one: custody keygen, init, serve. Something is wrong: doctor. Kept well: backup, backup verify, custody drill."""
_EPILOG = """exit codes:
  0 ok   2 usage   5 unavailable   10 the log is not what it was (frozen)   130 ended by Ctrl-C

The store is reachable by the broker's own account alone, so these commands run where the broker runs.
People and workloads use `sealgate`."""


class Usage(Exception):
    """The command cannot be used like that; the sentence says how."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """What a command reaches the world through, and the migrations of this release.

    `credentials` is where systemd put the unit's credentials; `ask` asks a person for a passphrase, unseen. `anchors`
    are the vendors' roots, which no option and no file changes; `program` is how `serve` execs this very command;
    `faults` is where tests end the process.
    """

    clock: Clock
    say: Callable[[str], object]
    migrations: Sequence[Migration] = MIGRATIONS
    schema: int = SCHEMA_VERSION
    credentials: Path | None = None
    ask: Callable[[str], str] = getpass.getpass
    anchors: Anchors = BUILT_IN
    program: Sequence[str] = ("-I", "-m", "kbs")
    faults: Faults = no_fault


def main(arguments: Sequence[str], doors: Doors) -> int:
    """Runs one command and returns its exit code; every failure is a sentence on standard error."""
    execed = list(arguments[:1]) == [cmd_serve.WORKER]
    parser = cmd_serve.worker_parser() if execed else _parser()
    try:
        parsed = parser.parse_args(arguments[1:] if execed else arguments)
    except SystemExit as error:
        return int(error.code or 0)
    if not hasattr(parsed, "run"):
        parser.print_help(sys.stderr)
        return USAGE
    try:
        return int(parsed.run(parsed, doors))
    except (Usage, Exists, ConfigInvalid, LogKeysRefused) as error:
        return _fail(str(error), USAGE)
    except LogFrozen as error:
        return _fail(f"FROZEN: {error}", FROZEN)
    except (StoreUnavailable, StoreUnusable, MigrationInvalid, RootUnusable, WrapInvalid, Busy) as error:
        return _fail(str(error), UNAVAILABLE)
    except BrokenPipeError:
        return UNAVAILABLE  # whoever stopped reading has not seen how it went
    except OSError as error:
        return _fail(f"{error.filename or 'what it prints cannot be written'}: {error.strerror}", UNAVAILABLE)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)


def site_of(directory: Path) -> Site:
    """The site in a directory, for those who need its places alone.

    Raises Usage if there is no such directory, StoreUnusable if its init has not finished.
    """
    if not directory.is_dir():
        raise Usage(f"{directory} is not a directory")
    refuse_unfinished(directory)
    return Site(directory=directory, deployment="")


def _fail(sentence: str, code: int) -> int:
    sys.stderr.write(f"sealgate-broker: {sentence}\n")
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sealgate-broker",
        description=_TEXT,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subparsers = parser.add_subparsers(metavar="COMMAND", title="commands")
    for module in (
        cmd_init,
        cmd_serve,
        cmd_config,
        cmd_custody,
        cmd_doctor,
        cmd_trust,
        cmd_people,
        cmd_backup,
        cmd_log_keys,
        cmd_store,
        cmd_incident,
        cmd_web,
    ):
        module.register(subparsers)
    return parser
