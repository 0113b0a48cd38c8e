"""`sealgate-broker custody keygen | drill | recover | rotate`: the root key, and the keys that bring it back."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kbs.custody.recovery import RecoveryKey
    from kbs.serve.commands import Doors

__all__ = ["recovery_key", "register"]

_TEXT = """The root key wraps every other key. At init it is also wrapped for at least two offline recovery keys. That
wrap, recovery.json, is no secret: keep a copy with every backup. Each recovery key alone opens it: keep them apart.

`drill` proves that a recovery key opens the root key that is in use, and that this opens every key of the store.
`recover` writes the root key's file again where it was lost. `rotate` makes a new root key and wraps everything
below it anew, with the broker stopped; sealed data and released keys are not touched."""
_KEYGEN = """Makes a recovery key: a pair of files. NAME.pub goes into [custody] recovery of the configuration. NAME.key
brings the root key back where its file was lost: take it away from the broker, into a safe. Make at least two, for
two safes."""
_EPILOG = """examples:
  sealgate-broker custody keygen --out /media/stick/recovery-1
  sealgate-broker custody drill --config broker.toml --recovery-key /media/stick/recovery-1.key
  sealgate-broker custody recover --config broker.toml --recovery-key /media/stick/recovery-2.key
  sealgate-broker custody rotate --config broker.toml"""
_HELP = {
    "drill": "prove that a recovery key opens the root key",
    "recover": "write the lost root key's file again",
    "rotate": "a new root key; everything is wrapped anew",
}


def register(subparsers: Any) -> None:
    """Adds the commands."""
    raw = argparse.RawDescriptionHelpFormatter
    custody = subparsers.add_parser(
        "custody", help="the root key and its recovery keys", description=_TEXT, epilog=_EPILOG, formatter_class=raw
    )
    verbs = custody.add_subparsers(metavar="VERB", required=True)
    keygen = verbs.add_parser(
        "keygen", help="make an offline recovery key", description=_KEYGEN, epilog=_EPILOG, formatter_class=raw
    )
    keygen.add_argument(
        "--out",
        type=Path,
        action="append",
        required=True,
        metavar="NAME",
        help="writes NAME.key (secret) and NAME.pub; may be repeated",
    )
    keygen.add_argument("--json", action="store_true", help="print one JSON object for each")
    keygen.set_defaults(run=_keygen)
    for verb, run in (("drill", _drill), ("recover", _recover), ("rotate", _rotate)):
        parser = verbs.add_parser(verb, help=_HELP[verb], description=_TEXT, epilog=_EPILOG, formatter_class=raw)
        parser.add_argument(
            "--config", type=Path, required=True, metavar="FILE", help="the broker's configuration (TOML)"
        )
        if verb != "rotate":
            parser.add_argument(
                "--recovery-key", type=Path, required=True, metavar="FILE", help="the private half, mode 0600"
            )
        else:
            parser.add_argument(
                "--no-root-backup", action="store_true", help="make no recovery wrap of the new root key"
            )
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        parser.set_defaults(run=run)


def _keygen(args: argparse.Namespace, doors: Doors) -> int:
    for name in args.out:
        _keygen_one(name, args, doors)
    return 0


def _keygen_one(name: Path, args: argparse.Namespace, doors: Doors) -> None:
    from kbs.custody.file import write_private  # noqa: PLC0415  # help must not load the broker
    from kbs.custody.recovery import RecoveryKey  # noqa: PLC0415
    from kbs.serve.commands import Usage  # noqa: PLC0415

    private, public = (name.with_name(f"{name.name}.{end}") for end in ("key", "pub"))
    key = RecoveryKey.generate()
    try:
        write_private(private, key.secret_text().reveal())
        write_private(public, key.public.text().encode())
    except FileExistsError as error:
        raise Usage(f"{error.filename} exists and is not written over") from error
    told = {"id": key.public.id, "private": str(private), "public": str(public)}
    text = (
        f"{private} is the recovery key {key.public.id}: keep it away from the broker. "
        f"{public} goes into [custody] recovery."
    )
    doors.say(json.dumps(told) if args.json else text)


def recovery_key(path: Path) -> RecoveryKey:
    """The private half of a recovery key, from its file; raises RootUnusable."""
    from kbs.custody.file import read_private  # noqa: PLC0415
    from kbs.custody.recovery import RecoveryKey  # noqa: PLC0415

    data = read_private(path, 4_096, "the recovery key")
    return RecoveryKey.parse(data.decode("ascii", "replace"), name=str(path))


def _drill(args: argparse.Namespace, doors: Doors) -> int:
    from kbs.serve.config.load import load  # noqa: PLC0415
    from kbs.serve.root_life import drill  # noqa: PLC0415

    key = recovery_key(args.recovery_key)
    count = drill(load(args.config).config, key)
    told = {"recovery_key": key.public.id, "opens_root": True, "keys_opened": count}
    text = f"The recovery key {key.public.id} opens the root key, and that opens all {count} keys below it."
    doors.say(json.dumps(told) if args.json else text)
    return 0


def _recover(args: argparse.Namespace, doors: Doors) -> int:
    from kbs.serve.config.load import load  # noqa: PLC0415
    from kbs.serve.root_life import recover  # noqa: PLC0415
    from kbs.serve.secrets import root_path  # noqa: PLC0415

    config = load(args.config).config
    key = recovery_key(args.recovery_key)
    count = recover(config, key, doors.credentials, doors.ask)
    told = {"recovery_key": key.public.id, "root": str(root_path(config)), "keys_opened": count}
    text = f"{root_path(config)} is there again, and opens all {count} keys below it."
    doors.say(json.dumps(told) if args.json else text)
    return 0


def _rotate(args: argparse.Namespace, doors: Doors) -> int:
    import asyncio  # noqa: PLC0415

    from kbs.serve.commands import Usage  # noqa: PLC0415
    from kbs.serve.config.load import load  # noqa: PLC0415
    from kbs.serve.root_life import rotate  # noqa: PLC0415

    config = load(args.config).config
    if not config.custody.recovery and not args.no_root_backup:
        raise Usage("[custody] recovery names no recovery keys for the new root key; or say --no-root-backup")
    count = asyncio.run(rotate(config, doors.clock, doors.credentials, doors.ask))
    text = f"There is a new root key with {count} keys below it. Make a backup: older ones need the old root key."
    doors.say(json.dumps({"keys_wrapped": count}) if args.json else text)
    return 0
