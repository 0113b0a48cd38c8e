"""`sealgate trust show | verify | keygen | sign`: what a trust file makes its holder believe, and who may say it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clients.cli import trust_root
from clients.cli.log_keys import add_log_keys, read_informed
from clients.errors import NotTrusted, Usage

if TYPE_CHECKING:
    from clients.cli.main import Doors
    from clients.trust import Trust

__all__ = ["register"]

_TEXT = """The trust file is the one file that a client believes: which deployment, which CA, which log keys. It lies
inside the measured image; nothing overrides it there.

`show` prints it in words. `verify` checks that its certificates are valid now and its keys those of its own
deployment, and with --broker that the broker there proves to be the one, and with --checkpoint that a published
checkpoint is signed by a key of the file. A file that names an offline key lists no log key: --log-keys gives the
signed note that does. `keygen` makes such a key, `sign` signs a note with it. What is not asked for is shown as
skipped."""
_EPILOG = """examples:
  sealgate trust show --trust trust.json
  sealgate trust verify --trust trust.json --broker broker.example:8443 --checkpoint log/checkpoint"""


def register(subparsers: Any) -> None:
    """Adds the commands."""
    raw = argparse.RawDescriptionHelpFormatter
    trust = subparsers.add_parser(
        "trust",
        help="show or verify a trust file; the offline key and its notes",
        description=_TEXT,
        epilog=_EPILOG,
        formatter_class=raw,
    )
    verbs = trust.add_subparsers(metavar="VERB", required=True)
    for verb, short, run in (("show", "print it in words", _show), ("verify", "check it", _verify)):
        parser = verbs.add_parser(verb, help=short, description=_TEXT, epilog=_EPILOG, formatter_class=raw)
        parser.add_argument("--trust", type=Path, required=True, metavar="FILE", help="the trust file")
        add_log_keys(parser, beside="shown and checked if it is given")
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        if verb == "verify":
            parser.add_argument("--broker", metavar="HOST:PORT", help="the workload port of a broker to check")
            parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="a published checkpoint to check")
        parser.set_defaults(run=run)
    trust_root.register(verbs)


def _show(args: argparse.Namespace, doors: Doors) -> int:
    trust = _read(args, doors)
    document = {
        "origin": trust.origin,
        "tenant": trust.tenant,
        "simulated": trust.simulated,
        "broker_ca": [
            {"subject": c.subject, "sha256": c.sha256, "from": c.starts.isoformat(), "until": c.ends.isoformat()}
            for c in _certificates(trust)
        ],
        "log_keys": [{"log": key.name, "id": key.key_id.hex(), "vkey": key.vkey} for key in trust.log_keys],
        "log_root": {"id": root.key.key_id.hex(), "min_version": root.min_version}
        if (root := trust.log_root)
        else None,
    }
    print(json.dumps(document) if args.json else _words(document))
    return 0


def _words(document: Any) -> str:
    lines = [f"deployment  {document['origin']}", f"tenant      {document['tenant']}"]
    for each in document["broker_ca"]:
        lines += [f"broker CA   {each['subject']}, until {each['until']}", f"            SHA-256 {each['sha256']}"]
    for each in document["log_keys"]:
        lines += [f"log key     {each['log']}, id {each['id']}", f"            {each['vkey']}"]
    if root := document["log_root"]:
        lines.append(
            f"log root    id {root['id']}, whose notes of log keys are believed from version {root['min_version']}"
        )
    if document["simulated"]:
        lines.append("SIMULATED: what it makes believe proves nothing about real machines")
    return "\n".join(lines)


def _verify(args: argparse.Namespace, doors: Doors) -> int:
    trust = _read(args, doors)
    valid = [c for c in _certificates(trust) if c.starts <= doors.now <= c.ends]
    checks = {
        "file": ("passed", f"{args.trust} is whole"),
        "log_keys": _log_keys(trust),
        "certificates": ("passed", f"{len(valid)} valid now")
        if valid
        else ("failed", "no CA certificate is valid now"),
        "broker": _broker(trust, args.broker) if args.broker else ("skipped", "no --broker"),
        "checkpoint": _checkpoint(trust, args.checkpoint) if args.checkpoint else ("skipped", "no --checkpoint"),
    }
    failed = [f"{name}: {told}" for name, (outcome, told) in checks.items() if outcome == "failed"]
    document = {name: {"outcome": outcome, "told": told} for name, (outcome, told) in checks.items()}
    lines = [f"{outcome:<8}{name}: {told}" for name, (outcome, told) in checks.items()]
    print(json.dumps({"trusted": not failed, "checks": document}) if args.json else "\n".join(lines))
    if failed:
        raise NotTrusted("TRUST_FILE", "; ".join(failed))
    return 0


def _read(args: argparse.Namespace, doors: Doors) -> Trust:
    """Without a note a file that names an offline key is read all the same; it then knows no log."""
    from clients.trust import read_trust  # noqa: PLC0415

    return read_trust(args.trust, simulated=doors.simulated) if args.log_keys is None else read_informed(args, doors)


def _log_keys(trust: Trust) -> tuple[str, str]:
    if trust.log_root is not None and not trust.log_keys:
        return "skipped", "the file names an offline key, and no --log-keys was given"
    strange = [key.name for key in trust.log_keys if not key.name.startswith(f"{trust.origin}/audit/")]
    if strange:
        return "failed", f"of another deployment: {', '.join(strange)}"
    return "passed", ", ".join(key.name for key in trust.log_keys)


def _broker(trust: Trust, address: str) -> tuple[str, str]:
    from sealgate.v1.key_release_pb2 import GetChallengeRequest, GetChallengeResponse  # noqa: PLC0415

    from clients.transport import connect  # noqa: PLC0415

    method = "/sealgate.v1.KeyRelease/GetChallenge"
    with connect(address, trust.broker_ca) as channel:
        origin = channel.call(method, GetChallengeRequest(), GetChallengeResponse).origin
    if origin != trust.origin:
        return "failed", f"{address} says that it is {origin!r}"
    return "passed", f"{address} has a certificate of the CA and says that it is {origin}"


def _checkpoint(trust: Trust, path: Path) -> tuple[str, str]:
    from attest.errors import AttestError  # noqa: PLC0415
    from attest.tlog.checkpoint import open_checkpoint  # noqa: PLC0415

    try:
        raw = path.read_bytes()
    except OSError as error:
        raise Usage(f"{path} cannot be read: {error.strerror}") from error
    origin = raw.partition(b"\n")[0].decode("utf-8", "replace")
    try:
        tree = open_checkpoint(raw, trust.log_key(origin).name, [trust.log_key(origin)]).checkpoint
    except (AttestError, NotTrusted) as error:
        return "failed", str(error)
    return "passed", f"{tree.origin} at {tree.size} entries, signed by a key of the file"


def _certificates(trust: Trust) -> Any:
    from clients.trust import ca_certificates  # noqa: PLC0415

    return ca_certificates(trust)
