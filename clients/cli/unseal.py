"""`sealgate open`: sealed files in the clear, with a released key."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clients.cli.ending import stoppable
from clients.errors import Usage, unwritten
from kbs.model.words import counted

if TYPE_CHECKING:
    from clients.cli.main import Doors
    from clients.workload.manifest import Manifest
    from clients.workload.opened_set import OpenedSet

__all__ = ["register"]

_EPILOG = """examples:
  sealgate open sealed/model.safetensors --key /run/keys/llm.key --content /run/keys/llm.content --out model.safetensors
  sealgate open sealed --key /run/keys/llm.key --content /run/keys/llm.content --out /run/model
  sealgate open sealed --key /run/keys/llm.key --content /run/keys/llm.content --check

--key and --content are what `sealgate keys get --dir` wrote. PATH is one sealed file, and OUT then the file to write;
or a folder, the whole set or a part of it, and OUT then a folder. Every piece is checked before a byte of it is
written, and a file appears when it is whole. With --resume files that are there with the right size are kept. Where the
content need not lie on a disk at all, read it in place: clients.workload.sealed.open_sealed, or the file system of the
extra `data`."""


def register(subparsers: Any) -> None:
    """Adds the command."""
    opened = subparsers.add_parser(
        "open",
        help="read sealed files with a released key",
        description="Opens sealed files, or checks that they open.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    opened.add_argument("path", type=Path, metavar="PATH", help="a sealed file, or a folder of them")
    opened.add_argument("--asset", metavar="NAME", help="the asset, to be sure of it; else the one the manifest names")
    opened.add_argument("--key", type=Path, required=True, metavar="FILE", help="the released key")
    opened.add_argument(
        "--content", type=Path, required=True, metavar="FILE", help="the content digest released with it"
    )
    where = opened.add_mutually_exclusive_group(required=True)
    where.add_argument("--out", type=Path, metavar="PATH", help="where the plaintext goes; a file must not exist")
    where.add_argument("--check", action="store_true", help="open every byte and write nothing")
    opened.add_argument("--resume", action="store_true", help="keep files that an interrupted run finished")
    opened.add_argument("--workers", type=int, choices=range(1, 257), metavar="N", help="threads; else all processors")
    opened.add_argument("--json", action="store_true", help="print one JSON object")
    opened.set_defaults(run=_open)


def _open(args: argparse.Namespace, doors: Doors) -> int:
    from clients.cli.progress import Progress, size_text  # noqa: PLC0415
    from clients.workload.opened_set import OpenedSet  # noqa: PLC0415

    del doors
    try:
        folder = _set_of(args.path)
        opened = OpenedSet.of(folder, key=args.key, content=args.content, asset=args.asset)
        manifest = opened.manifest
        below = args.path.resolve().relative_to(folder.resolve()).as_posix()
        targets = _targets(manifest, below, args.out)
        progress = Progress("opening", sum(manifest.file(name).size for name in targets))
        with stoppable(), progress:
            size = sum(_open_one(opened, name, targets[name], args, progress) for name in targets)
    except OSError as error:
        raise unwritten(f"{error.filename or args.path}", error) from error
    if args.json:
        print(json.dumps({"asset": manifest.asset, "files": list(targets), "bytes": size}))
    else:
        word = "checked" if args.check else "opened"
        print(f"{word} {counted(len(targets), 'file')} of {manifest.asset}, {size_text(size)}", file=sys.stderr)
    return 0


def _set_of(path: Path) -> Path:
    """The folder with the manifest: the nearest, from the path upwards."""
    from clients.workload.sealed_set import MANIFEST  # noqa: PLC0415

    for folder in (path, *path.absolute().parents):
        if (folder / MANIFEST).is_file():
            return folder
    raise Usage(f"there is no {MANIFEST} at {path} or above it")


def _targets(manifest: Manifest, below: str, out: Path | None) -> dict[str, Path | None]:
    """Which sealed paths, and where each goes."""
    paths = [line.path for line in manifest.files]
    if below in paths:
        return {below: out}
    inside = [path for path in paths if below == "." or path.startswith(f"{below}/")]
    if not inside:
        manifest.file(below)  # raises: it is in no manifest
    start = 0 if below == "." else len(below) + 1
    return {path: out / path[start:] if out else None for path in inside}


def _open_one(opened: OpenedSet, path: str, target: Path | None, args: argparse.Namespace, progress: Any) -> int:
    from clients.workload.bulk import check_whole, open_whole  # noqa: PLC0415

    workers = args.workers or os.cpu_count() or 1
    with opened.open(path) as sealed:
        if target is None:
            return check_whole(sealed, workers=workers, told=progress)
        if args.resume and target.is_file() and target.stat().st_size == sealed.size:
            progress(sealed.size)
            return sealed.size
        target.parent.mkdir(parents=True, exist_ok=True)
        if args.resume:
            target.unlink(missing_ok=True)
        return open_whole(sealed, target, workers=workers, told=progress)
