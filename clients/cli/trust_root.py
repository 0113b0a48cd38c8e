"""`sealgate trust keygen | sign`: the offline key that says which keys sign a deployment's logs."""

from __future__ import annotations

import argparse
import json
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clients.cli.output import write_new
from clients.errors import NotTrusted, Usage

if TYPE_CHECKING:
    from attest.tlog.keys import SignerKey
    from clients.cli.main import Doors

__all__ = ["register"]

_KEYGEN = """Makes the offline key of a deployment: NAME.key, mode 0600, is the private half and signs notes of log
keys; NAME.pub is the public half, for the broker (`sealgate-broker log-keys adopt`) and, through it, for trust files.

Whoever holds NAME.key decides which logs every workload and auditor believes. Make it on a machine that is offline and
keep it there, never with the broker. There is no other copy."""
_KEYGEN_EPILOG = """example:
  sealgate trust keygen --origin keys.example.com --out log-root"""
_SIGN = """Signs what `sealgate-broker log-keys draft` wrote, after it was read: it must be of the key's own deployment,
in the one form there is. What will be believed is printed. Compare the ids with those that the broker's operator tells
you by another way."""
_SIGN_EPILOG = """example:
  sealgate trust sign log-keys.txt --key log-root.key --out log-keys"""
_SUFFIX = "/log-keys"


def register(verbs: Any) -> None:
    """Adds both verbs to `sealgate trust`."""
    raw = argparse.RawDescriptionHelpFormatter
    keygen = verbs.add_parser(
        "keygen",
        help="make the offline key of a deployment",
        description=_KEYGEN,
        epilog=_KEYGEN_EPILOG,
        formatter_class=raw,
    )
    keygen.add_argument("--origin", required=True, metavar="NAME", help="the deployment's constant name")
    keygen.add_argument("--out", type=Path, required=True, metavar="NAME", help="makes NAME.key and NAME.pub")
    keygen.add_argument("--json", action="store_true", help="print one JSON object")
    keygen.set_defaults(run=_keygen)
    sign = verbs.add_parser(
        "sign", help="sign a list of log keys", description=_SIGN, epilog=_SIGN_EPILOG, formatter_class=raw
    )
    sign.add_argument("draft", type=Path, metavar="FILE", help="what `sealgate-broker log-keys draft` wrote")
    sign.add_argument("--key", type=Path, required=True, metavar="FILE", help="the offline key's private half")
    sign.add_argument("--out", type=Path, required=True, metavar="FILE", help="the new note; never written over")
    sign.add_argument("--json", action="store_true", help="print one JSON object")
    sign.set_defaults(run=_sign)


def _keygen(args: argparse.Namespace, doors: Doors) -> int:
    from attest.errors import AttestError  # noqa: PLC0415  # the command line must start fast
    from attest.tlog.keys import SignerKey  # noqa: PLC0415
    from attest.tlog.log_keys import root_name  # noqa: PLC0415

    del doors
    private, public = (args.out.with_name(f"{args.out.name}.{end}") for end in ("key", "pub"))
    if public.exists():
        raise Usage(f"{public} exists and is not written over")
    try:
        key = SignerKey.from_seed(root_name(args.origin), os.urandom(32))
    except AttestError as error:
        raise Usage(f"--origin {args.origin!r} can be no deployment's name: {error}") from error
    write_new(private, f"{key.skey()}\n".encode(), mode=0o600)
    write_new(public, f"{key.verifier_key}\n".encode(), mode=0o644)
    told = {"root": key.verifier_key, "private": str(private), "public": str(public)}
    text = f"{private} is the offline key {key.public.key_id.hex()}: keep it offline. {public} is for the broker."
    print(json.dumps(told) if args.json else text)
    return 0


def _sign(args: argparse.Namespace, doors: Doors) -> int:
    from attest.errors import AttestError  # noqa: PLC0415
    from attest.tlog.log_keys import LogKeys, open_log_keys  # noqa: PLC0415
    from attest.tlog.note import sign_text  # noqa: PLC0415

    del doors
    key = _read_key(args.key)
    deployment = key.name.removesuffix(_SUFFIX)
    try:
        text = args.draft.read_bytes()
        keys = LogKeys.parse(text, deployment)
        note = sign_text(text, key).encode()
        open_log_keys(note, key.public, deployment, at_least=1)  # what nobody would believe is not signed
    except OSError as error:
        raise Usage(f"{args.draft} cannot be read: {error.strerror}") from error
    except AttestError as error:
        raise NotTrusted(error.check, f"{args.draft} is not signed: {error}") from error
    write_new(args.out, note, mode=0o644)
    told = {"file": str(args.out), "version": keys.version, "logs": [each.vkey for each in keys.logs]}
    lines = [f"{args.out} is version {keys.version} of the log keys of {deployment}:"]
    lines += [f"  {each.name}, id {each.key_id.hex()}" for each in keys.logs]
    lines += [f"  witness {each.name}, id {each.key_id.hex()}" for each in keys.witnesses]
    print(json.dumps(told) if args.json else "\n".join(lines))
    return 0


def _read_key(path: Path) -> SignerKey:
    from attest.errors import AttestError  # noqa: PLC0415
    from attest.tlog.keys import SignerKey  # noqa: PLC0415

    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(4_096) if stat.S_ISREG(mode) else b""
    except OSError as error:
        raise Usage(f"the offline key {path} cannot be read: {error.strerror}") from error
    if mode & 0o077:
        raise Usage(f"the offline key {path} has mode {stat.S_IMODE(mode):04o}; make it 0600, and consider it known")
    try:
        return SignerKey.parse(data.decode("ascii", "replace").strip())
    except AttestError:
        raise Usage(f"{path} is no offline key that sealgate trust keygen made") from None
