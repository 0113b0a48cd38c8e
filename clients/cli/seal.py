"""`sealgate seal`: files and directories, to a key version's public key. It needs no secret."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clients.cli.ending import stoppable
from clients.cli.people import add_arguments, people_channel
from clients.errors import Usage, unwritten
from kbs.model.words import counted

if TYPE_CHECKING:
    from clients.cli.main import Doors

__all__ = ["register"]

_EPILOG = """examples:
  sealgate seal --asset tenants/acme/assets/llm --recipient llm.pub --out sealed model.safetensors config.json
  sealgate seal --asset tenants/acme/assets/images --recipient images.pub --out /mnt/sealed shards/
  sealgate seal --asset tenants/acme/assets/images --recipient images.pub --out /mnt/sealed --resume shards/
  sealgate seal --asset tenants/acme/assets/llm --trust trust.json --broker broker.example:8444 \\
      --key alice.key --cert alice.pem --out sealed model.safetensors

--recipient is a file with the key version's public key (age1pq1...); without it the asset's newest is asked of the
broker. Nothing secret is needed, and `age` opens what is sealed here and the reverse. A directory is sealed with
everything below it. OUT gets each file under its own path, and manifest.json, whose digest is printed: register it with
the asset as content_digest, and nothing but these very files will be opened under it.

An interrupted run goes on with --resume: files that are finished are kept, the one that was not is made anew. With
--exact every 64 KiB is pinned by its hash, in a .tree beside each file, so that not even a workload that was given the
key can put another content in its place; it takes about three times as long."""


def register(subparsers: Any) -> None:
    """Adds the command."""
    seal = subparsers.add_parser(
        "seal",
        help="seal files to a key version's public key",
        description="Seals files and directories (age v1) and writes the manifest that pins them.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    seal.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="files and directories to seal")
    seal.add_argument("--asset", required=True, metavar="NAME", help="the asset that the manifest is for")
    seal.add_argument("--recipient", type=Path, metavar="FILE", help="the public key, age1pq1...; else the broker's")
    seal.add_argument("--out", type=Path, required=True, metavar="DIR", help="where sealed files go; made if absent")
    seal.add_argument("--resume", action="store_true", help="go on where an interrupted run of the same command was")
    seal.add_argument(
        "--exact", action="store_true", help="pin every piece by its hash, against holders of the key too"
    )
    seal.add_argument("--workers", type=_workers, metavar="N", help="threads; one for each processor if not given")
    seal.add_argument(
        "--state", type=Path, metavar="DIR", help="where --resume finds what was done (~/.local/state/sealgate)"
    )
    seal.add_argument("--json", action="store_true", help="print one JSON object")
    add_arguments(seal, required=False)
    seal.set_defaults(run=_seal)


def _seal(args: argparse.Namespace, doors: Doors) -> int:
    from clients.cli.progress import Progress, size_text  # noqa: PLC0415
    from clients.workload.sealed_set import Journal, find_sources, seal_set  # noqa: PLC0415

    try:
        sources = find_sources(args.paths, args.out)
        recipient = _recipient(args.recipient) if args.recipient else _newest(args, doors)
        state = args.state or Path(os.path.expanduser("~/.local/state/sealgate"))  # never raises, without a home too
        journal = Journal.of(state, target=args.out, asset=args.asset, recipient=recipient, exact=args.exact)
        size = sum(source.size for source in sources)
        progress = Progress("sealing", size)
        with stoppable(), progress:
            manifest = seal_set(
                sources,
                args.out,
                recipient,
                asset=args.asset,
                exact=args.exact,
                workers=args.workers or os.cpu_count() or 1,
                journal=journal,
                resume=args.resume,
                told=progress,
            )
    except FileExistsError as error:
        raise Usage(f"{error.filename} exists already; with --resume an interrupted run goes on") from error
    except OSError as error:
        raise unwritten(f"the files cannot be sealed: {error.filename or args.out}", error) from error
    digest = manifest.digest().hex()
    if args.json:
        print(json.dumps({"content_digest": digest, "files": [f.path for f in manifest.files], "bytes": size}))
    else:
        print(
            f"sealed {counted(len(sources), 'file')}, {size_text(size)}, into {args.out}; content digest:",
            file=sys.stderr,
        )
        print(digest)
    return 0


def _newest(args: argparse.Namespace, doors: Doors) -> Any:
    """The public half of the version that is released now, from the broker."""
    from clients.operator.key_versions import get, public_document  # noqa: PLC0415
    from clients.workload.age_recipient import Recipient  # noqa: PLC0415

    if None in {args.trust, args.broker, args.key, args.cert}:
        raise Usage("seal needs --recipient FILE, or --trust, --broker, --key and --cert to ask the broker for the key")
    with people_channel(args, doors) as channel:
        document = public_document(get(channel, f"{args.asset}/keyVersions/newest"))
    print(f"sealing to {document['asset']}, version {document['version']}", file=sys.stderr)
    return Recipient.parse(str(document["public_key"]))


def _recipient(path: Path) -> Any:
    """The one key in a file in which lines that begin with # are comments, as age writes them."""
    from clients.workload.age_recipient import Recipient  # noqa: PLC0415

    try:
        lines = [line.strip() for line in path.read_text(encoding="ascii").splitlines()]
    except UnicodeDecodeError as error:
        raise Usage(f"{path} is not a file with a public key: it is not text") from error
    keys = [line for line in lines if line and not line.startswith("#")]
    if len(keys) != 1:
        raise Usage(f"{path} holds {len(keys)} keys; it must be one line, age1pq1...")
    return Recipient.parse(keys[0])


def _workers(text: str) -> int:
    count = int(text)
    if not 1 <= count <= 256:
        raise argparse.ArgumentTypeError("1 to 256")
    return count
