"""`sealgate audit prove | check-receipt`: receipts of single entries, made from published files and read offline."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clients.cli.log_keys import read_informed
from clients.cli.output import write_new
from clients.errors import Usage

if TYPE_CHECKING:
    from clients.auditor.source import Directory
    from clients.cli.main import Doors

__all__ = ["read_receipt", "register"]

_MAX_RECEIPT = 2_000_000

_PROVE = """Makes the receipt (.tlog-proof) of one entry against the published checkpoint, from the published files
alone, and checks it as a stranger would before it is written. It has the entry in it. An existing FILE is never
overwritten: a receipt is evidence."""

_PROVE_EPILOG = """exit codes:
   0  written
   2  the command or the trust file cannot be used, there is no such entry, or FILE exists
   4  the trust file is of a simulated deployment
  10  the published files do not lead to the signed root: tampering proven; or no trusted key signed it
  11  a piece that is needed is missing, or the entry is of a newer schema

examples:
  sealgate audit prove ./log 17 --trust trust.json --out 17.tlog-proof
  sealgate audit prove ./log 17 --trust trust.json > 17.tlog-proof"""

_CHECK = """Checks a receipt with nothing but the trust file: its checkpoint is signed by the log, the entry is in that
tree, and the entry says of itself that it stands there. That the log still has that tree is for
`sealgate audit verify DIR --receipt FILE`."""

_CHECK_EPILOG = """exit codes:
   0  the entry is in the log
   2  the command, the trust file or FILE cannot be used
   4  the receipt proves nothing, or the trust file is of a simulated deployment
  11  the entry is of a newer schema: not to be judged

examples:
  sealgate audit check-receipt 17.tlog-proof --trust trust.json
  sealgate audit check-receipt 17.tlog-proof --trust trust.json --json | jq .reason"""


def register(
    verbs: Any,
    add_directory: Callable[[argparse.ArgumentParser], None],
    add_trust: Callable[..., None],
    source: Callable[[Path], Directory],
) -> None:
    """Adds both verbs; the arguments that they share with `audit verify` come from there, and how a log is opened."""
    raw = argparse.RawDescriptionHelpFormatter
    text = "make the receipt of one entry"
    prove = verbs.add_parser("prove", help=text, description=_PROVE, epilog=_PROVE_EPILOG, formatter_class=raw)
    add_directory(prove)
    prove.add_argument("index", type=int, metavar="INDEX", help="the entry's index, from 0")
    add_trust(prove, beside="DIR/log-keys otherwise")
    prove.add_argument("--out", type=Path, metavar="FILE", help="where to; standard output if not given")
    prove.add_argument("--json", action="store_true", help="print one JSON object")
    prove.set_defaults(run=lambda args, doors: _prove(args, doors, source(args.directory)))

    text = "check a receipt, without the log"
    check = verbs.add_parser("check-receipt", help=text, description=_CHECK, epilog=_CHECK_EPILOG, formatter_class=raw)
    check.add_argument("receipt", type=Path, metavar="FILE", help="the receipt (.tlog-proof)")
    add_trust(check, beside="needed by such a file")
    check.add_argument("--json", action="store_true", help="print one JSON object")
    check.set_defaults(run=_check_receipt)


def _prove(args: argparse.Namespace, doors: Doors, source: Directory) -> int:
    from clients.auditor.prove import prove  # noqa: PLC0415

    trust = read_informed(args, doors, source)
    proven = prove(source, trust, args.index)
    told = {"origin": proven.tree.origin, "index": proven.index, "size": proven.tree.size}
    if args.out is None and args.json:
        print(json.dumps({**told, "receipt": proven.receipt.decode()}))
    elif args.out is None:
        sys.stdout.buffer.write(proven.receipt)  # UTF-8 whatever the terminal's encoding is
        sys.stdout.buffer.flush()
    else:
        write_new(args.out, proven.receipt, why=", and a receipt is evidence: it is not overwritten")
        text = f"{args.out}: entry {proven.index} of {proven.tree.origin}, proven at {proven.tree.size} entries"
        print(json.dumps({**told, "out": str(args.out)}) if args.json else text)
    return 0


def _check_receipt(args: argparse.Namespace, doors: Doors) -> int:
    from clients.auditor.prove import check_receipt  # noqa: PLC0415

    trust = read_informed(args, doors)
    proven = check_receipt(str(args.receipt), read_receipt(args.receipt), trust)
    print(json.dumps(proven.document()) if args.json else proven.text())
    return 0


def read_receipt(path: Path) -> bytes:
    """The file's bytes, up to more than a receipt can have; raises Usage."""
    try:
        with path.open("rb") as file:
            return file.read(_MAX_RECEIPT)
    except OSError as error:
        raise Usage(f"the receipt {path} cannot be read: {error.strerror}") from error
