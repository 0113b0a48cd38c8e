"""`sealgate asset`, `profile`, `device` and `tenant`: what the catalogue holds, one at a time."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clients.cli.output import write_over
from clients.cli.people import people_channel
from clients.cli.resources import Noun, add_verb, common_verbs
from clients.errors import Usage

if TYPE_CHECKING:
    from clients.cli.main import Doors

__all__ = ["register"]

_NOUNS = (
    (Noun(word="asset", one="Asset", what="asset", columns=("name", "kind", "tier", "owner", "size_bytes")),
     "tenants/acme/assets/llm", "register and look at assets"),
    (Noun(word="profile", one="Profile", what="profile", columns=("name", "etag")),
     "tenants/acme/profiles/snp", "look at release profiles"),
    (Noun(word="device", one="Device", what="device", columns=("name", "kind", "pseudonym")),
     "tenants/acme/devices/rack-1-gpu-0", "look at the devices that a tenant knows"),
    (Noun(word="tenant", one="Tenant", what="tenant", columns=("name", "owner")),
     "tenants/acme", "look at tenants"),
)  # fmt: skip
_EXAMPLE = "tenants/acme/assets/llm"


def register(subparsers: Any) -> None:
    """Adds the commands."""
    for noun, example, what in _NOUNS:
        parser = subparsers.add_parser(noun.word, help=what, description=f"{what[0].upper()}{what[1:]}.")
        verbs = parser.add_subparsers(metavar="VERB", title="verbs", required=True)
        common_verbs(verbs, noun, example)
        if noun.word == "asset":
            _asset_verbs(verbs)


def _asset_verbs(verbs: Any) -> None:
    create = add_verb(
        verbs, "asset", "create", "register an asset", _create,
        f"{_EXAMPLE} --kind weights --tier 2 --owner groups/ml \\\n      --size-bytes 140000000000 --purpose training "
        "--profile tenants/acme/profiles/snp \\\n      --references tenants/acme/referenceSets/trainer",
    )  # fmt: skip
    change = add_verb(
        verbs, "asset", "set", "change fields of an asset", _set, f"{_EXAMPLE} --manifest sealed/manifest.json",
    )  # fmt: skip
    for parser, required in ((create, True), (change, False)):
        parser.add_argument("name", help="tenants/T/assets/A")
        parser.add_argument(
            "--kind", required=required, help="weights, dataset, checkpoint, output, tokenizer or secret"
        )
        parser.add_argument("--tier", type=int, required=required, help="0 public to 4 crown jewels")
        parser.add_argument("--owner", required=required, metavar="GROUP", help="the group that owns it")
        parser.add_argument("--size-bytes", type=int, required=required, metavar="N", help="what it weighs")
        parser.add_argument("--purpose", dest="purposes", action="append", required=required, help="may be repeated")
        parser.add_argument("--profile", required=required, metavar="NAME", help="its release profile")
        parser.add_argument("--references", nargs="+", required=required, metavar="NAME", help="its reference sets")
        parser.add_argument("--label", dest="labels", action="append", help="may be repeated")
        content = parser.add_mutually_exclusive_group()
        content.add_argument("--content-digest", metavar="HEX", help="what `sealgate seal` printed")
        content.add_argument(
            "--manifest", type=Path, metavar="FILE", help="the manifest that `sealgate seal` wrote, for its digest"
        )
    public = add_verb(
        verbs, "asset", "public-key", "write the public key that `sealgate seal` seals to", _public_key,
        f"--asset {_EXAMPLE} --out llm.pub",
    )  # fmt: skip
    public.add_argument("--asset", required=True, metavar="NAME", help="tenants/T/assets/A")
    public.add_argument("--version", default="newest", help="the newest that is released if not given")
    public.add_argument("--out", type=Path, metavar="FILE", help="standard output if not given")


def _fields(args: argparse.Namespace) -> dict[str, Any]:
    names = ("kind", "tier", "owner", "size_bytes", "purposes", "profile", "references", "labels", "content_digest")
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    return given if args.manifest is None else {**given, "content_digest": _content_digest(args.manifest, args.name)}


def _content_digest(path: Path, asset: str) -> str:
    """Of a manifest that is whole and of this very asset."""
    from clients.workload.manifest import Manifest  # noqa: PLC0415

    try:
        manifest = Manifest.parse(path.read_bytes())
    except OSError as error:
        raise Usage(f"{path} cannot be read: {error.strerror}") from error
    if manifest.asset != asset:
        raise Usage(f"{path} is of {manifest.asset}, not of {asset}")
    return manifest.digest().hex()


def _create(args: argparse.Namespace, doors: Doors) -> int:
    from sealgate.v1.catalog_pb2 import Asset  # noqa: PLC0415

    from clients.operator.catalog import write  # noqa: PLC0415

    with people_channel(args, doors) as channel:
        change = write(channel, Asset(name=args.name, **_fields(args)), new=True)
    return _told(args, "created", change.name, change.etag)


def _set(args: argparse.Namespace, doors: Doors) -> int:
    from clients.operator.catalog import get, write  # noqa: PLC0415

    fields = _fields(args)
    if not fields:
        raise Usage("nothing to change: name at least one field")
    with people_channel(args, doors) as channel:
        asset = get(channel, args.name)
        for field, value in fields.items():
            if isinstance(value, list):
                del getattr(asset, field)[:]
                getattr(asset, field).extend(value)
            else:
                setattr(asset, field, value)
        change = write(channel, asset, new=False)  # upon the etag that was read
    if "content_digest" in fields:
        digest = f"content_digest: {fields['content_digest']}"
        print(f"write {digest} into the asset's document, too: the next apply makes it what that says", file=sys.stderr)
    return _told(args, "changed", change.name, change.etag)


def _told(args: argparse.Namespace, what: str, name: str, etag: str) -> int:
    print(json.dumps({"name": name, "etag": etag}) if args.json else f"{what} {name} (etag {etag})")
    return 0


def _public_key(args: argparse.Namespace, doors: Doors) -> int:
    from clients.operator.key_versions import get, public_document  # noqa: PLC0415

    with people_channel(args, doors) as channel:
        document = public_document(get(channel, f"{args.asset}/keyVersions/{args.version}"))
    text = f"# {document['asset']}, version {document['version']}, {document['suite']}\n{document['public_key']}\n"
    if args.json:
        text = json.dumps(document) + "\n"
    if args.out is None:
        sys.stdout.write(text)
        return 0
    write_over(args.out, text.encode("ascii"))
    print(f"wrote the public key of {document['asset']}, version {document['version']}, to {args.out}", file=sys.stderr)
    return 0
