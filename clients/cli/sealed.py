"""`sealgate seal` and `sealgate open`: sealed files. Sealing needs no secret, opening needs a released key."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clients.errors import Usage

if TYPE_CHECKING:
    from clients.cli.main import Doors
    from clients.workload.age_recipient import Recipient
    from clients.workload.manifest import Listed

__all__ = ["register"]

_SEAL = """example:
  sealgate seal --asset tenants/acme/assets/llm --recipient llm.pub --out sealed model.safetensors

--recipient is a file with the key version's public key as age writes it (age1pq1...); age itself can open and make such
files. OUT gets each file, its piece hashes (.tree) and manifest.json, whose digest is printed: register it with the
asset as content_digest, and nothing but these files will be opened under it."""
_OPEN = """example:
  sealgate open sealed/model.safetensors --key /run/keys/llm.key --content /run/keys/llm.content --out model.safetensors

--key and --content are what `sealgate keys get --dir` wrote. Every piece is checked against the manifest before a byte
of it is written."""
_NAME = "manifest.json"


def register(subparsers: Any) -> None:
    """Adds both commands."""
    raw = argparse.RawDescriptionHelpFormatter
    seal = subparsers.add_parser(
        "seal", help="seal files to a key version's public key", description="Seals files (age v1).", epilog=_SEAL,
        formatter_class=raw,
    )  # fmt: skip
    seal.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="files to seal")
    seal.add_argument("--asset", required=True, metavar="NAME", help="the asset that the manifest is for")
    seal.add_argument("--recipient", type=Path, required=True, metavar="FILE", help="the public key, age1pq1...")
    seal.add_argument("--out", type=Path, required=True, metavar="DIR", help="where sealed files go; must exist")
    seal.add_argument("--json", action="store_true", help="print one JSON object")
    seal.set_defaults(run=_seal)
    opened = subparsers.add_parser(
        "open", help="read a sealed file with a released key", description="Opens one sealed file.", epilog=_OPEN,
        formatter_class=raw,
    )  # fmt: skip
    opened.add_argument("path", type=Path, metavar="PATH", help=f"the sealed file; {_NAME} lies beside it")
    opened.add_argument("--asset", metavar="NAME", help="the asset, where the key file is not named after it")
    opened.add_argument("--key", type=Path, required=True, metavar="FILE", help="the released key")
    opened.add_argument(
        "--content", type=Path, required=True, metavar="FILE", help="the content digest released with it"
    )
    opened.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="where the plaintext goes; must not exist"
    )
    opened.set_defaults(run=_open)


def _seal(args: argparse.Namespace, doors: Doors) -> int:
    from clients.workload.age_recipient import Recipient  # noqa: PLC0415
    from clients.workload.manifest import Manifest  # noqa: PLC0415

    del doors
    if not args.out.is_dir():
        raise Usage(f"--out {args.out} is not a directory")
    try:
        recipient = Recipient.parse(args.recipient.read_text(encoding="ascii").strip())
        listed = [_seal_one(path, args.out, recipient) for path in args.paths]
        manifest = Manifest(asset=args.asset, files=tuple(sorted(listed, key=lambda line: line.path)))
        (args.out / _NAME).write_bytes(manifest.encode())
    except (OSError, UnicodeDecodeError) as error:
        raise Usage(f"the files cannot be sealed: {error}") from error
    digest = manifest.digest().hex()
    print(json.dumps({"content_digest": digest, "files": [f.path for f in manifest.files]}) if args.json else digest)
    return 0


def _seal_one(path: Path, out: Path, recipient: Recipient) -> Listed:
    from clients.workload.manifest import TREE_SUFFIX  # noqa: PLC0415
    from clients.workload.sealed import seal_file  # noqa: PLC0415

    with (
        path.open("rb") as source,
        (out / path.name).open("xb") as sink,
        (out / f"{path.name}{TREE_SUFFIX}").open("xb") as tree,
    ):
        return seal_file(source, sink, tree, recipient, path=path.name, file_key=os.urandom(16), nonce=os.urandom(16))


def _open(args: argparse.Namespace, doors: Doors) -> int:
    from clients.workload.age_recipient import KeyPair  # noqa: PLC0415
    from clients.workload.manifest import Manifest  # noqa: PLC0415
    from clients.workload.sealed import open_sealed  # noqa: PLC0415

    del doors
    try:
        content = bytes.fromhex(args.content.read_text(encoding="ascii").strip())
        raw = (args.path.parent / _NAME).read_bytes()
        identity = KeyPair.generate(args.key.read_bytes())
        asset = args.asset or json.loads(raw)["asset"]
        manifest = Manifest.registered(raw, asset=asset, content_digest=content)
        with (
            open_sealed(args.path.parent, args.path.name, manifest=manifest, identity=identity) as sealed,
            open(os.open(args.out, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as sink,
        ):
            shutil.copyfileobj(sealed, sink, 1 << 20)
    except (OSError, ValueError, KeyError) as error:
        raise Usage(f"{args.path} cannot be opened: {error}") from error
    print(f"opened {args.path} ({args.out.stat().st_size} bytes)", file=sys.stderr)
    return 0
