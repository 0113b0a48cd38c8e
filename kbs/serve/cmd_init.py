"""`sealgate-broker init`: makes a deployment, once."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kbs.serve.commands import Doors
    from kbs.serve.config.sections import Config
    from kbs.serve.first_run import FirstRun
    from kbs.serve.founders import Founder

__all__ = ["register"]

_TEXT = """Makes a deployment in the configured directory, where none is: the root key, wrapped for at least two offline
recovery keys as well, every key of the broker's own, the log with its first entry, and trust.json for workloads
and auditors. The deployment's name is in that entry and never changes.

It makes one enrolment code for each founder, to be used once within 24 hours (sealgate enrol), and prints it, or
writes it with --codes to DIR/NAME.code, mode 0600, to be handed over. Only hashes are kept. A founder's name is stored
nowhere else; the log knows the pseudonym.

Stopped before it has told the codes, it leaves init.unfinished in the directory: nothing serves that site, and init
run again clears away what was left and makes everything anew. A finished deployment is never touched."""
_EPILOG = """examples:
  sealgate-broker custody keygen --out recovery-1 && sealgate-broker custody keygen --out recovery-2
  sealgate-broker init --config broker.toml --founder alice:operator,auditor --founder bob:operator
  sealgate-broker init --config broker.toml --founder alice:operator,auditor --founder bob:operator --codes ."""


def register(subparsers: Any) -> None:
    """Adds the command."""
    raw = argparse.RawDescriptionHelpFormatter
    init = subparsers.add_parser(
        "init", help="make a deployment, once", description=_TEXT, epilog=_EPILOG, formatter_class=raw
    )
    init.add_argument("--config", type=Path, required=True, metavar="FILE", help="the broker's configuration (TOML)")
    init.add_argument(
        "--founder",
        action="append",
        required=True,
        metavar="NAME:ROLE,ROLE",
        help="who may enrol, with the roles operator or auditor; may be repeated",
    )
    init.add_argument(
        "--codes", type=Path, metavar="DIR", help="write each founder's code to DIR/NAME.code instead of printing it"
    )
    init.add_argument(
        "--no-root-backup",
        action="store_true",
        help="make no recovery wrap of the root key: if its file is lost, so is every key",
    )
    init.add_argument("--json", action="store_true", help="print one JSON object")
    init.set_defaults(run=_init)


def _init(args: argparse.Namespace, doors: Doors) -> int:
    import asyncio  # noqa: PLC0415  # help must not load the broker

    from kbs.custody.file import write_private  # noqa: PLC0415
    from kbs.serve.commands import Usage  # noqa: PLC0415
    from kbs.serve.config.load import load  # noqa: PLC0415
    from kbs.serve.first_run import NotEmpty, first_run  # noqa: PLC0415

    config = load(args.config).config
    if not config.custody.recovery and not args.no_root_backup:
        raise Usage(
            "[custody] recovery names no recovery keys. Make two with `sealgate-broker custody keygen`, keep their "
            "private halves apart from here, and name the public ones; or say --no-root-backup"
        )
    if config.custody.recovery and args.no_root_backup:
        raise Usage("[custody] recovery names recovery keys, and --no-root-backup says to make no recovery wrap")
    founders = [_founder(each, config) for each in args.founder]
    if len({founder.name for founder in founders}) != len(founders):
        raise Usage("a founder is named twice")
    if args.codes is not None and not args.codes.is_dir():
        raise Usage(f"--codes {args.codes} is not a directory that is there: make it first")
    files = {each.name: _code_file(args.codes, each.name) for each in founders} if args.codes is not None else {}

    def tell(made: FirstRun) -> None:
        for each in made.invitations if files else ():
            write_private(files[each.founder.name], f"{each.code}\n".encode())
        doors.say(json.dumps(_document(made, files)) if args.json else _text(made, args.config, files))

    try:
        asyncio.run(
            first_run(
                config,
                founders,
                doors.clock,
                doors.credentials,
                doors.ask,
                simulated=doors.anchors.simulated,
                codes=list(files.values()),
                tell=tell,
                faults=doors.faults,
            )
        )
    except NotEmpty as error:
        raise Usage(str(error)) from error
    return 0


def _code_file(directory: Path, founder: str) -> Path:
    from kbs.serve.commands import Usage  # noqa: PLC0415

    if "/" in founder or founder.startswith("."):
        raise Usage(f"--codes cannot make a file name of the founder {founder!r}")
    return directory / f"{founder}.code"


def _founder(text: str, config: Config) -> Founder:
    from kbs.model.enrolment import ROLES  # noqa: PLC0415
    from kbs.serve.commands import Usage  # noqa: PLC0415
    from kbs.serve.founders import Founder  # noqa: PLC0415

    name, _, listed = text.partition(":")
    roles = frozenset(listed.split(","))
    if not name or not name.isprintable() or not roles <= ROLES:
        raise Usage(f"--founder is NAME:ROLE,ROLE with the roles {' and '.join(sorted(ROLES))}, not {text!r}")
    return Founder(name=name, roles=roles, tenants=frozenset({config.deployment.tenant}))


def _document(made: FirstRun, files: Mapping[str, Path]) -> dict[str, object]:
    founders = [
        {"name": i.founder.name, "principal": i.principal}
        | ({"code_file": str(files[i.founder.name])} if files else {"code": i.code})
        for i in made.invitations
    ]
    return {
        "deployment": made.site.deployment,
        "log": made.site.log_origin,
        "directory": str(made.site.directory),
        "trust": str(made.trust),
        "recovery_keys": list(made.recovery),
        "founders": founders,
    }


def _text(made: FirstRun, config: Path, files: Mapping[str, Path]) -> str:
    width = max(len(each.founder.name) for each in made.invitations)
    shown = ", to be handed over" if files else ". They are not shown again"
    backup = (
        f"The root key opens with any of the recovery keys {', '.join(made.recovery)}. "
        f"Prove it now: sealgate-broker custody drill --config {config} --recovery-key FILE"
        if made.recovery
        else "The root key has NO backup. If its file is lost, every key is lost."
    )
    return "\n".join(
        [
            f"{made.site.deployment} is made in {made.site.directory}. Its log is {made.site.log_origin}.",
            f"{made.trust} is what workloads and auditors trust; put it into the measured image.",
            backup,
            "",
            f"Enrolment codes, each for one use within 24 hours (sealgate enrol){shown}:",
            *(
                f"  {each.founder.name:<{width}}  {files.get(each.founder.name, each.code)}  {each.principal}"
                for each in made.invitations
            ),
            "",
            f"Next: sealgate-broker serve --config {config}",
        ]
    )
