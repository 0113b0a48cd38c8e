"""`sealgate audit incident`: keeps the evidence of a log that is not what it was."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clients.cli.output import write_new

if TYPE_CHECKING:
    from clients.cli.main import Doors

__all__ = ["register"]

_TEXT = """Verifies the log as `audit verify` does and, if it is not what it should be, writes one JSON file for others
to judge: the report, the published checkpoint, your saved one and your receipts, each byte for byte as signed,
the log keys of the trust file, and the pairs of signed checkpoints that contradict each other. Such a pair
proves by itself that the holder of the log key signed two histories.

Keep a copy of the published directory beside it. The state file is not touched. A log that is as it should be
leaves no file. What the broker itself knows is written where it runs: `sealgate-broker incident`."""

_EPILOG = """exit codes: those of `sealgate audit verify`; 0 and 12 (unanchored) write no file.

examples:
  sealgate audit incident ./log --trust trust.json --state audit.state --out incident.json
  sealgate audit incident ./log --trust trust.json --receipt *.tlog-proof --out incident.json"""


def register(verbs: Any, add_inputs: Callable[[argparse.ArgumentParser], None], look: Callable[..., Any]) -> None:
    """Adds the verb. `add_inputs` are the arguments of `audit verify`, `look` is how it reads and verifies them."""
    parser = verbs.add_parser(
        "incident",
        help="keep the evidence of a log that is not what it was",
        description=_TEXT,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_inputs(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the new file; never written over")
    parser.add_argument("--json", action="store_true", help="print one JSON object")

    def run(args: argparse.Namespace, doors: Doors) -> int:
        return _incident(args, doors, look)

    parser.set_defaults(run=run)


def _incident(args: argparse.Namespace, doors: Doors, look: Callable[..., Any]) -> int:
    from clients.auditor.incident import bundle  # noqa: PLC0415  # the command line must start fast
    from clients.auditor.report import Verdict  # noqa: PLC0415
    from clients.auditor.source import CHECKPOINT  # noqa: PLC0415

    seen = look(args, doors)
    report, written = seen.report, None
    if report.verdict not in {Verdict.OK, Verdict.UNANCHORED}:
        document = bundle(
            report,
            seen.trust,
            round(doors.now.timestamp() * 1_000),
            published=seen.source.read(CHECKPOINT),
            saved=seen.saved,
            receipts=seen.receipts,
        )
        write_new(
            args.out,
            json.dumps(document, indent=1).encode() + b"\n",
            mode=0o600,
            why=", and is evidence: it is not written over",
        )
        written = str(args.out)
    if args.json:
        print(json.dumps({"verdict": report.verdict.word, "file": written, "report": report.document()}))
    else:
        kept = f"{written} holds the evidence; keep a copy of {args.directory} beside it."
        print(f"{report.text()}\n{kept if written else 'There is nothing to keep; no file was written.'}")
    return int(report.verdict.code)
