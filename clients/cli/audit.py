"""`sealgate audit`: the release log, offline, from the files that the broker publishes, and from receipts."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clients.cli import audit_incident, audit_receipts
from clients.cli.audit_receipts import read_receipt
from clients.cli.log_keys import add_log_keys, read_note
from clients.errors import Usage

if TYPE_CHECKING:
    from clients.auditor.report import Report
    from clients.auditor.source import Directory
    from clients.auditor.state import State
    from clients.cli.main import Doors
    from clients.trust import Trust

__all__ = ["register"]

_VERIFY = """Verifies a published log from its files alone, in one pass; memory grows with the assets, not the entries:

  V1  the checkpoint is signed by a log of the trust file
  V2  entries are complete, canonical, in their place, of this log, and simulated exactly if the trust file is
  V3  every hash of every tile, and the root, recomputed from the entries
  V4  the log extends the saved state and contains what the receipts say (only if there are any)
  V5  time never goes back
  V6  the first entry is a genesis that names the log key; asset and governance chains are unbroken

Whoever holds the log key can cut off the tail or sign another history, and V1 to V3 will pass. What they cannot change
is a checkpoint or a receipt that you keep. So a log that passes without either is "ok, unanchored", exit code 12;
--allow-unanchored accepts that. With --state, the first run keeps the signed checkpoint (trust on first use) and each
later run refuses a log that has shrunk or forked. A state is kept only if the verdict is ok. Where the trust file names
an offline key, the newest note of log keys is kept with it, and an older one is refused (LOG_KEYS_VERSION, code 4).
Receipts vouch for the entries before them; what is later rests on the log key, and the report says from where on."""

_VERIFY_EPILOG = """exit codes:
   0  ok (or unanchored, with --allow-unanchored)
   2  the command, the trust file or the state file cannot be used
   4  the trust file is of a simulated deployment, or a receipt or the note of log keys is not to be believed
   5  a file cannot be read
  10  tampering proven: signature, hash, place, time, chain, genesis, fork, or a log smaller than the saved state;
      foreign: not signed by any key that the trust file names, so another deployment's log, or one put in its place
  11  data incomplete: a checkpoint, bundle or tile is missing, or an entry is of a newer schema
  12  unanchored, or stale: a receipt is of a tree that the published checkpoint does not reach yet

examples:
  sealgate audit verify ./log --trust trust.json --state audit.state
  sealgate audit verify ./log --trust trust.json --receipt /run/keys/*.tlog-proof --wait 10
  sealgate audit verify ./log --trust trust.json --allow-unanchored --json"""

_LOOK_AGAIN_S = 0.25
_READ_EPILOG = """Nothing is verified here: it shows what the files say. `sealgate audit verify` tells if it is true.

examples:
  sealgate audit list ./log
  sealgate audit list ./log --type release.refused --asset tenants/acme/assets/llm
  sealgate audit list ./log --actor person-7fctcl2cill42vpvhsbbuluoce --json
  sealgate audit show ./log 17"""


def register(subparsers: Any) -> None:
    """Adds the command."""
    audit = subparsers.add_parser("audit", help="verify and read the release log, offline")
    verbs = audit.add_subparsers(metavar="VERB", required=True)
    raw = argparse.RawDescriptionHelpFormatter
    text = "prove that a published log is whole and was not changed"
    verify = verbs.add_parser("verify", help=text, description=_VERIFY, epilog=_VERIFY_EPILOG, formatter_class=raw)
    _add_inputs(verify)
    verify.add_argument("--allow-unanchored", action="store_true", help="exit 0 where only an anchor is missing")
    verify.add_argument(
        "--wait",
        type=int,
        default=0,
        metavar="SECONDS",
        help="look again so long while the log has yet to be published",
    )
    verify.add_argument("--json", action="store_true", help="print one JSON object")
    verify.set_defaults(run=_verify)

    text = "Prints index, time, type, reason, actor and assets of each entry. Does not verify anything."
    listing = verbs.add_parser("list", help="list entries", description=text, epilog=_READ_EPILOG, formatter_class=raw)
    _add_directory(listing)
    listing.add_argument("--type", metavar="TYPE", help="entries of this type alone, such as release.refused")
    listing.add_argument("--actor", metavar="ID", help="entries of this person, node or broker alone: a pseudonym")
    listing.add_argument("--asset", metavar="NAME", help="entries in the chain of this asset alone")
    listing.add_argument("--json", action="store_true", help="print one JSON object per line and entry")
    listing.set_defaults(run=_list)

    text = "Prints one entry, header and body, as JSON. Does not verify anything."
    show = verbs.add_parser("show", help="show one entry", description=text, epilog=_READ_EPILOG, formatter_class=raw)
    _add_directory(show)
    show.add_argument("index", type=int, metavar="INDEX", help="the entry's index, from 0")
    show.add_argument("--json", action="store_true", help="print it on one line")
    show.set_defaults(run=_show)
    audit_receipts.register(verbs, _add_directory, _add_trust, _source)
    audit_incident.register(verbs, _add_inputs, _look)


def _add_inputs(parser: argparse.ArgumentParser) -> None:
    """What a log is verified from."""
    _add_directory(parser)
    _add_trust(parser, beside="DIR/log-keys otherwise")
    parser.add_argument("--state", type=Path, metavar="FILE", help="your file: the checkpoint of your last audit")
    parser.add_argument(
        "--receipt",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        metavar="FILE",
        help="receipts (.tlog-proof) that the log must agree with; give DIR first",
    )


def _add_trust(parser: argparse.ArgumentParser, *, beside: str) -> None:
    parser.add_argument("--trust", type=Path, required=True, metavar="FILE", help="the deployment's trust file")
    add_log_keys(parser, beside=beside)


def _add_directory(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", type=Path, metavar="DIR", help="the published log: checkpoint and tile/ are in it")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """What was read, and what it was found to be."""

    trust: Trust
    source: Directory
    state: State | None
    log_keys: bytes
    receipts: Mapping[str, bytes]
    report: Report

    @property
    def saved(self) -> bytes | None:
        """The checkpoint of the last audit."""
        return None if self.state is None else self.state.checkpoint


def _look(args: argparse.Namespace, doors: Doors) -> _Look:
    """Reads what the command line names and verifies the log from it."""
    from clients.auditor.known_keys import informed  # noqa: PLC0415  # the command line must start fast
    from clients.auditor.state import read_state  # noqa: PLC0415
    from clients.auditor.verify import verify  # noqa: PLC0415
    from clients.trust import read_trust  # noqa: PLC0415

    source = _source(args.directory)
    trust = read_trust(args.trust, simulated=doors.simulated)
    state = None if args.state is None else read_state(args.state)
    kept = b"" if state is None else state.log_keys
    log_keys = kept if trust.log_root is None else read_note(args, source)
    trust = informed(trust, log_keys, kept)
    receipts = {str(path): read_receipt(path) for path in args.receipt}
    report = verify(
        source,
        trust,
        saved=None if state is None else state.checkpoint,
        first_use=args.state is not None and state is None,
        receipts=receipts,
    )
    return _Look(trust=trust, source=source, state=state, log_keys=log_keys, receipts=receipts, report=report)


def _verify(args: argparse.Namespace, doors: Doors) -> int:
    from clients.auditor.report import Verdict  # noqa: PLC0415
    from clients.auditor.state import State, write_state  # noqa: PLC0415

    seen = _look(args, doors)
    end = time.monotonic() + args.wait
    while seen.report.verdict is Verdict.STALE and time.monotonic() < end:
        time.sleep(_LOOK_AGAIN_S)
        seen = _look(args, doors)
    report = seen.report
    if args.state is not None and report.verdict is Verdict.OK and report.checkpoint is not None:
        write_state(args.state, State(checkpoint=report.checkpoint, log_keys=seen.log_keys), old=seen.state)
    code = 0 if report.verdict is Verdict.UNANCHORED and args.allow_unanchored else report.verdict.code
    try:
        print(json.dumps(report.document()) if args.json else report.text(), flush=True)
    except BrokenPipeError:
        return code or 5  # whoever stopped reading has not seen the verdict, so it is not "ok"
    return code


def _list(args: argparse.Namespace, doors: Doors) -> int:
    from clients.auditor.browse import entries  # noqa: PLC0415

    del doors
    for entry in entries(_source(args.directory)):
        if entry.is_of(entry_type=args.type, actor=args.actor, asset=args.asset):
            print(json.dumps(entry.summary()) if args.json else entry.text())
    return 0


def _show(args: argparse.Namespace, doors: Doors) -> int:
    from clients.auditor.browse import entry  # noqa: PLC0415

    del doors
    document = entry(_source(args.directory), args.index).document()
    print(json.dumps(document, indent=None if args.json else 2))
    return 0


def _source(directory: Path) -> Directory:
    from clients.auditor.source import Directory  # noqa: PLC0415

    if not directory.is_dir():
        raise Usage(f"{directory} is not a directory")
    return Directory(directory)
