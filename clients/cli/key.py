"""`sealgate key`: the key versions of an asset. Of what is released only a secret on its way in passes through here."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clients.cli.output import check_output, write_over
from clients.cli.people import people_channel
from clients.cli.resources import add_verb
from clients.errors import Usage

if TYPE_CHECKING:
    from sealgate.v1.key_versions_pb2 import KeyVersion

    from clients.cli.main import Doors

__all__ = ["register"]

_ASSET = "tenants/acme/assets/llm"
_STEPS = {
    "disable": "stop releasing one version",
    "enable": "release a disabled version again",
    "destroy": "destroy a disabled version; what is sealed to it alone is then lost",
}

_ROTATED = """From now on nodes are given this key, which does not open what is sealed to an older one: seal the content
to it and register its new manifest. Until then: sealgate key disable has the older one released again."""


def register(subparsers: Any) -> None:
    """Adds the command."""
    parser = subparsers.add_parser(
        "key",
        help="make, list and retire the key versions of an asset",
        description="Key versions: made inside the broker, or imported sealed; no person ever holds what is released.",
    )
    verbs = parser.add_subparsers(metavar="VERB", title="verbs", required=True)
    for verb, what in (("create", "make an asset's first key"), ("rotate", "make the next version of an asset's key")):
        made = add_verb(verbs, "key", verb, what, _create, f"--asset {_ASSET} --out llm.pub")
        made.add_argument("--asset", required=True, metavar="NAME", help="tenants/T/assets/A")
        made.add_argument("--out", type=Path, metavar="FILE", help="write its public key there, for `sealgate seal`")
    listing = add_verb(verbs, "key", "list", "list an asset's key versions", _list, f"--asset {_ASSET}")
    listing.add_argument("--asset", required=True, metavar="NAME", help="tenants/T/assets/A")
    bring = add_verb(
        verbs, "key", "import", "bring in a secret that exists already, sealed on its way", _import,
        "--asset tenants/acme/assets/luks --file /run/luks.passphrase",
    )  # fmt: skip
    bring.add_argument("--asset", required=True, metavar="NAME", help="an asset of kind secret")
    bring.add_argument("--file", type=Path, required=True, metavar="FILE", help="1 to 4096 bytes; - is standard input")
    for verb, what in _STEPS.items():
        step = add_verb(verbs, "key", verb, what, _step, f"{_ASSET}/keyVersions/1")
        step.add_argument("name", help="tenants/T/assets/A/keyVersions/N")
        step.set_defaults(verb=verb)


def _create(args: argparse.Namespace, doors: Doors) -> int:
    from clients.operator.key_versions import create, public_document  # noqa: PLC0415

    if args.out is not None:
        check_output(args.out)
    with people_channel(args, doors) as channel:
        version = create(channel, args.asset)
    if args.out is not None:
        document = public_document(version)
        text = f"# {document['asset']}, version {document['version']}, {document['suite']}\n{document['public_key']}\n"
        write_over(args.out, text.encode("ascii"))
    if version.version > 1:
        print(_ROTATED, file=sys.stderr)
    return _told(version, as_json=args.json)


def _list(args: argparse.Namespace, doors: Doors) -> int:
    from clients.operator.key_versions import listed  # noqa: PLC0415

    with people_channel(args, doors) as channel:
        versions = listed(channel, args.asset)
    if args.json:
        print(json.dumps([_document(v) for v in versions]))
        return 0
    for version in versions:
        shown = _document(version)
        print(f"{shown['name']}  {shown['suite']}  {shown['state']}")
    return 0


def _import(args: argparse.Namespace, doors: Doors) -> int:
    from clients.operator.key_versions import import_secret  # noqa: PLC0415
    from clients.trust import read_trust  # noqa: PLC0415

    trust = read_trust(args.trust, simulated=doors.simulated)
    try:
        secret = sys.stdin.buffer.read() if str(args.file) == "-" else args.file.read_bytes()
    except OSError as error:
        raise Usage(f"{args.file} cannot be read: {error.strerror}") from error
    with people_channel(args, doors) as channel:
        version = import_secret(channel, trust.origin, args.asset, secret)
    return _told(version, as_json=args.json)


def _step(args: argparse.Namespace, doors: Doors) -> int:
    from clients.operator.key_versions import get, step  # noqa: PLC0415

    with people_channel(args, doors) as channel:
        step(channel, args.verb.capitalize(), args.name)
        version = get(channel, args.name)
    return _told(version, as_json=args.json)


def _told(version: KeyVersion, *, as_json: bool) -> int:
    shown = _document(version)
    print(json.dumps(shown) if as_json else f"{shown['name']} is {shown['state']}")
    return 0


def _document(version: KeyVersion) -> dict[str, Any]:
    states = ("", "enabled", "disabled", "destroyed", "awaiting-import")
    return {
        "name": version.name,
        "version": version.version,
        "suite": version.suite,
        "state": states[version.state],
        "etag": version.etag,
    }
