"""`sealgate plan` and `sealgate apply`: the catalogue as files that people keep under version control."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clients.cli.people import add_arguments, people_channel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clients.cli.main import Doors
    from clients.operator.plan import Step

__all__ = ["register"]

_SHARED = """
FILE is YAML or JSON, several documents in one file or in several; `-` is standard input. A document is what is to be
there, whole: a field that is left out has its default. With `delete: true` beside its name it is to be gone; what no
document names stays as it is. With `etag:` it must be what is there. docs/catalogue.md describes every field.

  name: tenants/acme/assets/llm          # tells what it is
  kind: weights
  tier: 2
  owner: groups/ml-platform
  size_bytes: 140000000000
  purposes: [training]
  profile: tenants/acme/profiles/snp
  references: [tenants/acme/referenceSets/trainer]
"""
_PLAN = f"""example:
  sealgate plan -f catalogue.yaml --trust trust.json --broker broker.example:8444 --key me.key --cert me.pem
{_SHARED}
The broker judges every change, in order, upon those before it, and writes nothing. Exit code 3: it would refuse one."""
_APPLY = f"""examples:
  sealgate apply -f profiles.yaml -f assets.yaml \\
      --trust trust.json --broker broker.example:8444 --key me.key --cert me.pem
  sealgate apply -f - --json --trust trust.json --broker broker.example:8444 --key me.key --cert me.pem < all.yaml
{_SHARED}
Plans first, and applies nothing if any change would be refused. Each change is an entry of the log. What somebody else
changed meanwhile is not overwritten: the command stops there and says so; plan again."""
_MARKS = {"create": "+", "update": "~", "delete": "-", "unchanged": " ", "refused": "!"}


def register(subparsers: Any) -> None:
    """Adds both commands."""
    for name, epilog, what in (
        ("plan", _PLAN, "show what documents would change in the catalogue"),
        ("apply", _APPLY, "make the catalogue what documents say"),
    ):
        parser = subparsers.add_parser(
            name,
            help=what,
            description=f"{what[0].upper()}{what[1:]}.",
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        parser.add_argument(
            "-f", "--file", type=Path, action="append", required=True, metavar="FILE", help="may be repeated"
        )
        add_arguments(parser)
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        parser.set_defaults(run=_apply if name == "apply" else _plan)


def _plan(args: argparse.Namespace, doors: Doors) -> int:
    return _run(args, doors, applying=False)


def _apply(args: argparse.Namespace, doors: Doors) -> int:
    return _run(args, doors, applying=True)


def _run(args: argparse.Namespace, doors: Doors, *, applying: bool) -> int:
    from clients.operator.documents import read_documents, read_files  # noqa: PLC0415
    from clients.operator.plan import apply, plan, refusals  # noqa: PLC0415

    piped = sys.stdin.read() if Path("-") in args.file else None
    wanted = read_documents(read_files(args.file, piped))
    with people_channel(args, doors) as channel:
        steps = plan(channel, wanted)
        refused = refusals(steps)
        if not args.json:
            _show(steps)
        if applying and not refused:
            apply(channel, steps, _nothing if args.json else _told)
    if args.json:
        print(json.dumps({"applied": applying and not refused, "steps": [_document(step) for step in steps]}))
    if refused:
        why = "the broker would refuse what is marked !"
        print(f"sealgate: {why}{'; nothing was applied' if applying else ''}", file=sys.stderr)
    return 3 if refused else 0


def _nothing(_step: Step) -> None:
    """For --json, which tells all of it at the end."""


def _told(step: Step) -> None:
    print(f"applied: {step.action} {step.wanted.name}", file=sys.stderr)


def _show(steps: Sequence[Step]) -> None:
    for step in steps:
        if step.action == "unchanged":
            continue
        print(f"{_MARKS[step.action]} {step.action:8} {step.wanted.name}")
        for path, before, after in step.differences:
            print(f"      {path}: {_short(before)} -> {_short(after)}")
        if step.why:
            print(f"      {step.wanted.where}: {step.why}")
    counts = {action: sum(step.action == action for step in steps) for action in _MARKS}
    print(
        f"{counts['create']} to create, {counts['update']} to change, {counts['delete']} to delete, "
        f"{counts['unchanged']} as they are" + (f", {counts['refused']} refused" if counts["refused"] else "")
    )


def _short(value: Any) -> str:
    text = "nothing" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 100 else f"{text[:97]}..."


def _document(step: Step) -> dict[str, Any]:
    differences = [{"path": path, "before": before, "after": after} for path, before, after in step.differences]
    return {
        "action": step.action,
        "name": step.wanted.name,
        "where": step.wanted.where,
        "etag": step.etag,
        "differences": differences,
        "why": step.why,
    }
