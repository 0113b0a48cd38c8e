"""`sealgate collateral export|import|show|preflight|refresh`: vendors' collateral, for operators."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clients.cli.log_keys import add_log_keys
from clients.cli.output import check_output, write_new
from clients.cli.people import add_arguments, people_channel
from clients.errors import NotTrusted, Usage
from kbs.model.words import counted

if TYPE_CHECKING:
    from clients.cli.main import Doors
    from kbs.model.bundle import Bundle

__all__ = ["register"]

_WHO = "\\\n      --trust trust.json --broker broker.example:8444 --key me.key --cert me.pem"
_TEXT = {
    "export": (
        "write all that the broker has into a signed file",
        """Writes every piece of collateral that the broker has and that is valid into one file, signed with the key of
the broker's log and dated. For sites that cannot reach the vendors, and to keep.""",
        f"  sealgate collateral export --out collateral.bundle {_WHO}",
    ),
    "import": (
        "hand a bundle to the broker",
        """Checks who signed the bundle, then hands its pieces to the broker, which verifies each under the vendors'
pinned roots as if the vendor had answered. What is older than what the broker has is left alone. The key that
signed is one of --trust's logs unless --signed-by names another: the log key in the trust file of the site that
exported.""",
        f"""  sealgate collateral import collateral.bundle {_WHO}
  sealgate collateral import other.bundle --signed-by keys.other.example/audit/1+1a2b3c4d+AU... {_WHO}""",
    ),
    "show": (
        "what is in a bundle, offline",
        """Shows who gathered the bundle, when, and each piece with the end of its validity. Only the bundle's own
signature is checked here; whoever imports it verifies the pieces.""",
        "  sealgate collateral show collateral.bundle --trust trust.json",
    ),
    "preflight": (
        "who will be refused at a date, and why",
        """Verifies and appraises every platform that the log has seen once more, as of the date, with the collateral
and the profiles of today. Collateral that ends before the date is listed apart: it is renewed by itself where
the vendor can be reached. Told apart as well: who passes by a dated exception (grace) and until when; whom a TCB
recovery that Intel has announced will refuse when it is the standard; what is not at hand and has to be fetched or
imported before a platform can be judged. The exit code is 3 if anybody will be refused at the date.""",
        f"""  sealgate collateral preflight --at 2026-12-01 {_WHO}
  sealgate collateral preflight --days 30 --json {_WHO}""",
    ),
    "refresh": (
        "fetch now, and say what changed",
        """Fetches every list and document that its vendor issues anew, and says which are not what they were.""",
        f"  sealgate collateral refresh {_WHO}",
    ),
}


def register(subparsers: Any) -> None:
    """Adds the commands."""
    collateral = subparsers.add_parser("collateral", help="vendors' certificates, lists and documents")
    verbs = collateral.add_subparsers(metavar="VERB", title="verbs", required=True)
    export = _add(verbs, "export", _export)
    export.add_argument("--out", type=Path, required=True, metavar="FILE", help="the new file; never written over")
    export.add_argument("--prefix", default="", help='only what begins like this, for example "amd/"')
    for verb, run in (("import", _import), ("show", _show)):
        parser = _add(verbs, verb, run, people=verb == "import")
        parser.add_argument("bundle", type=Path, metavar="FILE", help="what `export` wrote")
        parser.add_argument("--signed-by", metavar="VKEY", help="the log key of the site that exported")
        if verb == "show":
            parser.add_argument("--trust", type=Path, metavar="FILE", help="the trust file of the site that exported")
        add_log_keys(parser, beside="needed with such a file")
    preflight = _add(verbs, "preflight", _preflight)
    when = preflight.add_mutually_exclusive_group(required=True)
    when.add_argument("--at", metavar="DATE", help="2026-12-01, or 2026-12-01T12:00:00Z")
    when.add_argument("--days", type=int, metavar="N", help="so many days from now")
    _add(verbs, "refresh", _refresh)


def _add(verbs: Any, name: str, run: Callable[..., int], *, people: bool | None = None) -> argparse.ArgumentParser:
    short, text, example = _TEXT[name]
    parser: argparse.ArgumentParser = verbs.add_parser(
        name,
        help=short,
        description=text,
        epilog=f"examples:\n{example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if people is not False:
        add_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)
    return parser


def _export(args: argparse.Namespace, doors: Doors) -> int:
    from clients.operator.collateral import export_bundle  # noqa: PLC0415  # the command line must start fast
    from kbs.model.bundle import read_bundle  # noqa: PLC0415

    check_output(args.out)
    if args.out.exists():
        raise Usage(f"{args.out} exists and is not written over")
    with people_channel(args, doors) as channel:
        data = export_bundle(channel, args.prefix)
    write_new(args.out, data)
    pieces = len(read_bundle(data).pieces)
    told = {"file": str(args.out), "bytes": len(data), "pieces": pieces}
    _say(args, told, f"{args.out}: {counted(pieces, 'piece')}, {len(data)} bytes")
    return 0


def _import(args: argparse.Namespace, doors: Doors) -> int:
    from clients.operator.collateral import import_bundle  # noqa: PLC0415

    bundle = _opened(args, doors)

    def tell(done: int, everything: int) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{done} of {everything} pieces")

    with people_channel(args, doors) as channel:
        outcomes = import_bundle(channel, bundle, tell)
    refused = [(name, outcome) for name, outcome in outcomes if outcome not in {"kept", "known"}]
    kept = sum(outcome == "kept" for _, outcome in outcomes)
    lines = [
        f"{counted(kept, 'piece')} kept, {len(outcomes) - kept - len(refused)} known already, {len(refused)} refused"
    ]
    lines += [f"  {name}: {outcome}" for name, outcome in refused]
    _say(args, {"outcomes": [{"name": n, "outcome": o} for n, o in outcomes]}, "\n".join(lines))
    return 4 if refused else 0


def _show(args: argparse.Namespace, doors: Doors) -> int:
    from clients.operator.collateral import bundle_document, bundle_text  # noqa: PLC0415

    bundle = _opened(args, doors)
    _say(args, bundle_document(bundle), bundle_text(bundle, doors.now))
    return 0


def _preflight(args: argparse.Namespace, doors: Doors) -> int:
    from clients.operator.collateral import forecast_document, forecast_text, preflight  # noqa: PLC0415

    at = doors.now + timedelta(days=args.days) if args.at is None else _date(args.at)
    with people_channel(args, doors) as channel:
        answer = preflight(channel, at)
    _say(args, forecast_document(answer), forecast_text(answer))
    return 3 if answer.refused else 0


def _refresh(args: argparse.Namespace, doors: Doors) -> int:
    from clients.operator.collateral import refresh  # noqa: PLC0415

    with people_channel(args, doors) as channel:
        changed = refresh(channel)
    _say(args, {"changed": changed}, "\n".join(changed) or "nothing changed")
    return 0


def _opened(args: argparse.Namespace, doors: Doors) -> Bundle:
    """The bundle, if a key that the caller trusts signed it; raises Usage, NotTrusted."""
    from attest.errors import AttestError  # noqa: PLC0415
    from clients.cli.evidence_collateral import bundle_keys  # noqa: PLC0415
    from clients.cli.evidence_files import read_file  # noqa: PLC0415
    from kbs.model.bundle import MAX_BUNDLE, open_bundle  # noqa: PLC0415

    if args.signed_by is None and args.trust is None:
        raise Usage("say who may have signed the bundle: --trust FILE or --signed-by VKEY")
    raw = read_file(args.bundle, most=MAX_BUNDLE)
    try:
        return open_bundle(raw, bundle_keys(args, doors) or ())
    except AttestError as error:
        raise NotTrusted(error.check, f"{args.bundle}: {error}") from error


def _date(text: str) -> datetime:
    for form in ("%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"):
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    raise Usage(f"{text!r} is not a date such as 2026-12-01 or 2026-12-01T12:00:00Z")


def _say(args: argparse.Namespace, document: dict[str, object], text: str) -> None:
    print(json.dumps(document) if args.json else text)
