"""`sealgate-broker trust`: the trust file once more, or for another tenant; and the server CAs that it lists."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kbs.serve.commands import Doors
    from kbs.serve.config.sections import Config
    from kbs.serve.server_ca import ServerCa

__all__ = ["register"]

_TEXT = """Writes a trust file as `init` did: the deployment's name, the CAs that clients are to trust, the log's key,
the tenant. It goes into measured images and to auditors and holds no secret. The root key is opened for it. Once an
offline key was adopted (log-keys), it names that key and the version of the note that is in force, which is the oldest
that will be believed, and no log key.

`trust list` shows the CAs of the broker's servers; `trust rotate-ca` announces a new one, `move-ca` gives it another
day, `cancel-ca` takes it back."""
_ROTATE = """Makes a new CA for the broker's servers, beside the one in force, to be used from a date on. The broker
goes on serving, and changes over by itself on that day.

1. sealgate-broker trust rotate-ca --config broker.toml --from 2027-03-01
2. sealgate-broker trust --config broker.toml --out trust-2027.json     lists both CAs
3. put that file into every image, and hand it to operators and auditors; register the new measurements
4. on the day, nothing. Whoever still has the old trust file alone cannot connect from then on (exit code 5)

Until the day both trust files work. Choose one that leaves step 3 enough time; until ten minutes before, `trust
move-ca` gives it another day, and `trust cancel-ca` takes the announcement back."""
_MOVE = """Gives the announced CA another day. A later one gives images more time: trust files of before and after work
until then. An earlier one shuts out sooner whoever has the old trust file alone. It is an entry of the log, with both
days. Not in the last ten minutes, when processes may be about to change over."""
_CANCEL = """Takes the announcement back: the new CA's key is destroyed, and the one in force stays. Trust files that
list both go on working; write new ones when you can (sealgate-broker trust --out), since a backup may still hold the
key. It is an entry of the log. Not in the last ten minutes, when processes may be about to change over."""
_EPILOG = """examples:
  sealgate-broker trust --config broker.toml --out trust.json
  sealgate-broker trust --config broker.toml --tenant globex --out trust-globex.json
  sealgate-broker trust list --config broker.toml
  sealgate-broker trust rotate-ca --config broker.toml --from 2027-03-01
  sealgate-broker trust move-ca --config broker.toml --from 2027-04-01
  sealgate-broker trust cancel-ca --config broker.toml"""
_DAY = "a day (2027-03-01) or a moment (2027-03-01T06:00:00Z), UTC"


def register(subparsers: Any) -> None:
    """Adds the command."""
    raw = argparse.RawDescriptionHelpFormatter
    trust = subparsers.add_parser(
        "trust", help="write a trust file; rotate the CA in it", description=_TEXT, epilog=_EPILOG, formatter_class=raw
    )
    trust.add_argument("--config", type=Path, metavar="FILE", help="the broker's configuration (TOML)")
    trust.add_argument("--out", type=Path, metavar="FILE", help="the new file; never written over")
    trust.add_argument("--tenant", metavar="TENANT", help="the tenant, if not the configured one")
    trust.add_argument("--json", action="store_true", help="print one JSON object")
    trust.set_defaults(run=_trust)
    verbs = trust.add_subparsers(metavar="[VERB]", title="besides writing the file")
    listing = verbs.add_parser(
        "list", help="the CAs of the broker's servers", description="Shows the CAs of the broker's servers: which one "
        "is in force, and which one follows from when on.", epilog=_EPILOG, formatter_class=raw,
    )  # fmt: skip
    listing.set_defaults(run=_list)
    rotate = verbs.add_parser(
        "rotate-ca",
        help="announce a new CA for the broker's servers",
        description=_ROTATE,
        epilog=_EPILOG,
        formatter_class=raw,
    )
    rotate.add_argument("--from", dest="start", required=True, metavar="WHEN", help=f"when it takes over: {_DAY}")
    rotate.set_defaults(run=_rotate)
    move = verbs.add_parser(
        "move-ca",
        help="give the announced CA another day",
        description=_MOVE,
        epilog=_EPILOG,
        formatter_class=raw,
    )
    move.add_argument("--from", dest="start", required=True, metavar="WHEN", help=f"when it takes over: {_DAY}")
    move.set_defaults(run=_move)
    cancel = verbs.add_parser(
        "cancel-ca",
        help="take the announced CA back",
        description=_CANCEL,
        epilog=_EPILOG,
        formatter_class=raw,
    )
    cancel.set_defaults(run=_cancel)
    for verb in (listing, rotate, move, cancel):
        verb.add_argument(
            "--config", type=Path, required=True, metavar="FILE", help="the broker's configuration (TOML)"
        )
        verb.add_argument("--json", action="store_true", help="print one JSON object")


def _config(args: argparse.Namespace, doors: Doors) -> Config:
    """The configuration of a deployment that is made, and of the kind that this command is for."""
    from contextlib import closing  # noqa: PLC0415  # help must not load the broker

    from kbs.serve.config.load import load  # noqa: PLC0415
    from kbs.serve.first_run import site_for  # noqa: PLC0415
    from kbs.serve.start import ensure_kind  # noqa: PLC0415
    from kbs.serve.unfinished import refuse_unfinished  # noqa: PLC0415
    from kbs.store.read import Reader  # noqa: PLC0415

    config = load(args.config).config
    site = site_for(config)
    refuse_unfinished(site.directory)
    with closing(Reader(site.store)) as reader:
        ensure_kind(reader, site.store, doors.anchors)
    return config


def _trust(args: argparse.Namespace, doors: Doors) -> int:
    from kbs.model.names import TENANT  # noqa: PLC0415
    from kbs.serve.commands import Usage  # noqa: PLC0415
    from kbs.serve.first_run import trust_document  # noqa: PLC0415
    from kbs.serve.secrets import open_root  # noqa: PLC0415

    if args.config is None or args.out is None:
        raise Usage("trust needs --config FILE and --out FILE, or one of the verbs list, rotate-ca, move-ca, cancel-ca")
    config = _config(args, doors)
    tenant = args.tenant or config.deployment.tenant
    if TENANT.fullmatch(f"tenants/{tenant}") is None:
        raise Usage(f"--tenant {tenant!r} is not lower-case letters, digits and '-'")
    root = open_root(config, doors.credentials, doors.ask)
    document = trust_document(config, root, tenant, doors.clock())
    try:
        with args.out.open("xb") as file:
            file.write(document)
    except FileExistsError as error:
        raise Usage(f"{args.out} exists and is not written over") from error
    told = {"file": str(args.out), "origin": config.deployment.name, "tenant": tenant}
    text = f"{args.out} is what workloads and auditors of {tenant} trust: {config.deployment.name}."
    doors.say(json.dumps(told) if args.json else text)
    return 0


def _list(args: argparse.Namespace, doors: Doors) -> int:
    from contextlib import closing  # noqa: PLC0415

    from kbs.custody.vault import Vault  # noqa: PLC0415
    from kbs.serve.first_run import site_for  # noqa: PLC0415
    from kbs.serve.secrets import open_root  # noqa: PLC0415
    from kbs.serve.server_ca import server_cas  # noqa: PLC0415
    from kbs.store.read import Reader  # noqa: PLC0415

    config = _config(args, doors)
    root = open_root(config, doors.credentials, doors.ask)
    with closing(Reader(site_for(config).store)) as reader:
        cas = server_cas(Vault(root, reader), doors.clock())
    configured = str(config.tls.certificate) if config.tls.certificate else None
    told = {"server_cas": [_document(ca) for ca in cas], "configured_certificate": configured}
    lines = [f"{ca.state:<9} since {_when(ca.since)}  sha256 {_fingerprint(ca)}" for ca in cas]
    if configured:
        lines.append(f"None of them is used: [tls] configures the server certificate {configured}.")
    doors.say(json.dumps(told) if args.json else "\n".join(lines))
    return 0


def _rotate(args: argparse.Namespace, doors: Doors) -> int:
    import asyncio  # noqa: PLC0415

    from kbs.serve.commands import Usage  # noqa: PLC0415
    from kbs.serve.first_run import site_for  # noqa: PLC0415
    from kbs.serve.secrets import open_root  # noqa: PLC0415
    from kbs.serve.server_ca import rotate_server_ca  # noqa: PLC0415

    start = _moment(args.start)
    config = _config(args, doors)
    if config.tls.certificate is not None:
        raise Usage(
            "[tls] configures the server certificate, so its CA is not the broker's: let the file of [tls] ca hold the "
            "old and the new CA, write trust files from it, and exchange the certificate when every image has them"
        )
    root = open_root(config, doors.credentials, doors.ask)
    made = asyncio.run(rotate_server_ca(site_for(config), root, start, doors.clock))
    text = (
        f"The broker's servers have a new CA from {_when(made.since)} on, sha256 {_fingerprint(made)}.\n"
        f"Write the trust file that lists both, and put it into every image before then: "
        f"sealgate-broker trust --config {args.config} --out FILE"
    )
    doors.say(json.dumps(_document(made)) if args.json else text)
    return 0


def _move(args: argparse.Namespace, doors: Doors) -> int:
    import asyncio  # noqa: PLC0415

    from kbs.serve.first_run import site_for  # noqa: PLC0415
    from kbs.serve.secrets import open_root  # noqa: PLC0415
    from kbs.serve.server_ca import move_server_ca  # noqa: PLC0415

    start = _moment(args.start)
    config = _config(args, doors)
    root = open_root(config, doors.credentials, doors.ask)
    before, moved = asyncio.run(move_server_ca(site_for(config), root, start, doors.clock))
    sooner = " Whoever has the old trust file alone is shut out so much sooner." if moved.since < before.since else ""
    text = (
        f"The new CA, sha256 {_fingerprint(moved)}, takes over from {_when(moved.since)} on, not from "
        f"{_when(before.since)}. Trust files that list it go on working.{sooner}"
    )
    doors.say(json.dumps({**_document(moved), "was": _when(before.since)}) if args.json else text)
    return 0


def _cancel(args: argparse.Namespace, doors: Doors) -> int:
    import asyncio  # noqa: PLC0415

    from kbs.serve.first_run import site_for  # noqa: PLC0415
    from kbs.serve.secrets import open_root  # noqa: PLC0415
    from kbs.serve.server_ca import cancel_server_ca  # noqa: PLC0415

    config = _config(args, doors)
    root = open_root(config, doors.credentials, doors.ask)
    gone = asyncio.run(cancel_server_ca(site_for(config), root, doors.clock))
    text = (
        f"The new CA, sha256 {_fingerprint(gone)}, is cancelled and its key destroyed; the one in force stays. Trust "
        "files that list it go on working; write new ones when you can."
    )
    doors.say(json.dumps({**_document(gone), "state": "cancelled"}) if args.json else text)
    return 0


def _document(ca: ServerCa) -> dict[str, object]:
    return {"serial": ca.serial, "state": ca.state, "since": _when(ca.since), "sha256": _fingerprint(ca)}


def _fingerprint(ca: ServerCa) -> str:
    import hashlib  # noqa: PLC0415

    return hashlib.sha256(ca.authority.der).hexdigest()


def _when(ms: int) -> str:
    from datetime import UTC, datetime  # noqa: PLC0415

    return datetime.fromtimestamp(ms // 1_000, UTC).isoformat().replace("+00:00", "Z")


def _moment(text: str) -> int:
    """ms since 1970; raises Usage."""
    from datetime import UTC, datetime  # noqa: PLC0415

    from kbs.serve.commands import Usage  # noqa: PLC0415

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Usage(f"--from {text!r} is not {_DAY}") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000)
