"""`sealgate keys get`: what a workload runs at boot."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clients.errors import Usage

if TYPE_CHECKING:
    from clients.cli.main import Doors
    from clients.workload.keys import Released

__all__ = ["register"]

_EPILOG = """examples:
  sealgate keys get --trust /etc/sealgate/trust.json --broker broker.example:8443 \\
      --purpose training --asset tenants/acme/assets/llm --dir /run/keys
  sealgate keys get ... --asset tenants/acme/assets/llm --fd 3 3>&1 | consumer

Keys are written to files of mode 0600 below --dir, or one after the other to the descriptor --fd; never to standard
output, arguments or the environment. Nothing is opened before the receipt in the release log has been checked."""


def register(subparsers: Any) -> None:
    """Adds the command."""
    keys = subparsers.add_parser("keys", help="get keys for this machine")
    verbs = keys.add_subparsers(metavar="VERB", required=True)
    get = verbs.add_parser(
        "get",
        help="prove where this machine runs and get keys",
        description="Gets a challenge, collects evidence over it, and gets the newest key of each asset.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    get.add_argument(
        "--trust", type=Path, required=True, metavar="FILE", help="the trust file, inside the measured image"
    )
    get.add_argument("--broker", required=True, metavar="HOST:PORT", help="the broker's workload port")
    get.add_argument("--purpose", required=True, help="what the keys are for; one that the asset lists")
    get.add_argument(
        "--asset", action="append", required=True, metavar="NAME", help="tenants/T/assets/A; may be repeated"
    )
    where = get.add_mutually_exclusive_group(required=True)
    where.add_argument("--dir", type=Path, metavar="DIR", help="write each key to DIR/ASSET.key, its receipt beside it")
    where.add_argument("--fd", type=int, metavar="N", help="write the keys' bytes to this open descriptor")
    get.add_argument("--json", action="store_true", help="say what was released, as JSON, without keys")
    get.set_defaults(run=_get)


def _get(args: argparse.Namespace, doors: Doors) -> int:
    from clients.transport import connect  # noqa: PLC0415
    from clients.trust import read_trust  # noqa: PLC0415
    from clients.workload.keys import get_keys  # noqa: PLC0415
    from clients.workload.tee_find import find_tee  # noqa: PLC0415

    trust = read_trust(args.trust, simulated=doors.simulated)
    tee = doors.tee or find_tee()
    if args.dir is not None and not args.dir.is_dir():
        raise Usage(f"--dir {args.dir} is not a directory")
    with connect(args.broker, trust.broker_ca) as channel:
        released = get_keys(channel, trust, tee, args.purpose, args.asset)
    _write(released, args.dir, args.fd)
    _tell(released, as_json=args.json)
    return 0


def _write(released: Released, directory: Path | None, descriptor: int | None) -> None:
    try:
        for key in released.keys:
            if directory is None:
                os.write(descriptor if descriptor is not None else -1, key.secret)
                continue
            name = key.key_name.split("/")[3]
            _private(directory / f"{name}.key", key.secret)
            _private(directory / f"{name}.tlog-proof", released.receipt.encode())
            _private(directory / f"{name}.content", key.content_digest.hex().encode())
    except OSError as error:
        raise Usage(f"the keys cannot be written: {error.strerror}") from error


def _private(path: Path, data: bytes) -> None:
    """A new file that only its owner can read, from its first byte on."""
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        file.write(data)


def _tell(released: Released, *, as_json: bool) -> None:
    names = [key.key_name for key in released.keys]
    end = released.lease_end.isoformat().replace("+00:00", "Z")
    if as_json:
        document = {"keys": names, "lease": released.lease_id, "lease_end": end, "index": released.receipt.index}
        print(json.dumps(document))
        return
    for name in names:
        print(f"released {name}, lease until {end}, entry {released.receipt.index} of the log", file=sys.stderr)
