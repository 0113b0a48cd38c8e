"""`sealgate keys get`: what a workload runs at boot."""

from __future__ import annotations

import argparse
import json
import re
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clients.cli.devices import add_devices, add_ready, check_ready, devices_of, gpus_ready
from clients.cli.lease_file import holder_key, keep_lease
from clients.cli.rehearse import rehearse_keys
from clients.cli.renew import add_renew
from clients.cli.result import add_result, check_result, keep_result
from clients.cli.tee import add_tee, init_data_of, tee_of
from clients.cli.waiting import add_wait, say_waiting
from clients.errors import Usage, unwritten
from kbs.model.name_forms import ASSET, ASSET_SAYS, PURPOSE

if TYPE_CHECKING:
    from clients.cli.main import Doors
    from clients.trust import TrustFile
    from clients.workload.deliver import Owner
    from clients.workload.keys import Released

__all__ = ["register"]

_KEYS = """examples:
  sealgate keys get --trust /etc/sealgate/trust.json --broker broker.example:8443 \\
      --purpose training --asset tenants/acme/assets/llm --dir /run/keys"""
_EPILOG = """examples:
  sealgate keys get --trust /etc/sealgate/trust.json --broker broker.example:8443 \\
      --purpose training --asset tenants/acme/assets/llm --dir /run/keys --owner trainer:trainer --wait 10m
  sealgate keys get --trust /etc/sealgate/trust.json --broker broker.example:8443 \\
      --purpose training --asset tenants/acme/assets/llm --fd 3 3>&1 | consumer

With --dir each asset has three files there: ASSET.key, the receipt ASSET.tlog-proof, and ASSET.content, the digest of
the manifest that it is registered with. With --fd the keys' bytes follow each other; --json says how long each is.
Keys are never put on a disk, standard output, arguments or the environment, and nothing is opened before the receipt
in the release log has been checked.

With --rehearse everything happens but the release: an image is tried before its measurement is activated.
With --lease FILE the lease can be renewed: sealgate keys renew --lease FILE. With --result the broker also attests this
machine to a relying party: sealgate keys get ... --lease FILE --result https://data.example --result-out FILE

GPUs in confidential mode are attested with the CPU. With --gpu-ready programs may use them once the keys are granted
and the receipt has been checked: sealgate keys get ... --devices nvidia --gpu-ready

--wait is for a broker that cannot be reached, or that says itself that asking again may help. A refusal ends it."""


def register(subparsers: Any) -> None:
    """Adds the command."""
    raw = partial(argparse.RawDescriptionHelpFormatter, width=100)  # else every option looks for a terminal's width
    keys = subparsers.add_parser(
        "keys", help="get keys for this machine", description="Keys for the machine this runs on.", epilog=_KEYS,
        formatter_class=raw,
    )  # fmt: skip
    verbs = keys.add_subparsers(metavar="VERB", required=True, prog="sealgate keys")
    get = verbs.add_parser(
        "get",
        help="prove where this machine runs and get keys",
        description="Gets a challenge, collects evidence over it, and gets the newest key of each asset.",
        epilog=_EPILOG,
        formatter_class=raw,
    )
    add_request(get)
    add_tee(get)
    add_devices(get)
    add_ready(get)
    add_result(get)
    where = get.add_mutually_exclusive_group(required=True)
    where.add_argument("--dir", type=Path, metavar="DIR", help="write each key to DIR/ASSET.key, its receipt beside it")
    where.add_argument("--fd", type=int, metavar="N", help="write the keys' bytes to this open descriptor")
    get.add_argument("--owner", metavar="USER:GROUP", help="who owns the files of --dir; names or numbers")
    get.add_argument("--mode", default="0600", metavar="MODE", help="their mode, 0600 if not given; never for others")
    get.add_argument(
        "--unsafe-write-keys-to-disk", action="store_true", help="write to a file system that is not in memory"
    )
    where.add_argument(
        "--rehearse", action="store_true", help="go through all of it but get no key: would it be granted?"
    )
    get.add_argument(
        "--lease", type=Path, metavar="FILE", help="keep what sealgate keys renew needs there; in memory, too"
    )
    get.add_argument("--json", action="store_true", help="say what was released, as JSON, without keys")
    get.set_defaults(run=_get)
    add_renew(verbs)


def add_request(parser: argparse.ArgumentParser) -> None:
    """What every request of a workload says: whom it trusts, whom it asks, for what, and how long it tries."""
    parser.add_argument(
        "--trust", type=Path, required=True, metavar="FILE", help="the trust file, inside the measured image"
    )
    parser.add_argument("--broker", required=True, metavar="HOST:PORT", help="the broker's workload port")
    parser.add_argument(
        "--purpose", type=_purpose, required=True, help="what the keys are for; one that the asset lists"
    )
    parser.add_argument(
        "--asset",
        type=_asset,
        action="append",
        required=True,
        metavar="NAME",
        help="tenants/T/assets/A; may be repeated",
    )
    add_wait(parser)


def _get(args: argparse.Namespace, doors: Doors) -> int:
    from clients.trust import read_trust_file  # noqa: PLC0415
    from clients.workload.deliver import check_descriptor, check_directory  # noqa: PLC0415
    from clients.workload.patience import Patience  # noqa: PLC0415

    check_ready(args, doors)
    check_result(args)
    trust = read_trust_file(args.trust, simulated=doors.simulated)
    disk = args.unsafe_write_keys_to_disk
    if args.rehearse:
        return rehearse_keys(args, doors, trust.trust())
    key = holder_key(args.lease, disk=disk)
    if args.dir is None:
        if args.owner or args.mode != "0600":
            raise Usage("--owner and --mode are for the files of --dir")
        check_descriptor(args.fd, disk=disk)
    else:
        check_directory(args.dir, disk=disk)
    owner = _owner(args.owner, args.mode)
    public = key.public if key else b""
    released = Patience(args.wait, told=say_waiting).until(lambda: _ask(args, doors, trust, public))
    if key is not None:
        keep_lease(args, trust.origin, released, key, owner)
    keep_result(args, released.result, owner)
    with gpus_ready(args, doors):
        _deliver(released, args.dir, args.fd, owner)
        _tell(released, as_json=args.json)
    return 0


def _ask(args: argparse.Namespace, doors: Doors, trust: TrustFile, public: bytes) -> Released:
    """One try. The challenge is asked for before the rest is loaded: most of a short boot is loading."""
    from clients.transport import connect  # noqa: PLC0415
    from clients.workload.challenge import get_challenge  # noqa: PLC0415

    with connect(args.broker, trust.broker_ca) as channel:
        challenge = get_challenge(channel, trust.origin)
        from clients.workload.keys import get_keys  # noqa: PLC0415

        return get_keys(
            channel,
            trust.trust(),
            tee_of(args, doors),
            args.purpose,
            args.asset,
            challenge=challenge,
            holder_key=public,
            devices=devices_of(args, doors),
            init_data=init_data_of(args),
            audience=args.result,
        )


def _deliver(released: Released, directory: Path | None, descriptor: int, owner: Owner) -> None:
    """Receipt and digest first: whoever waits for the key finds all three."""
    from clients.workload.deliver import deliver_to_descriptor, deliver_to_directory  # noqa: PLC0415

    try:
        for key in released.keys:
            if directory is None:
                deliver_to_descriptor(key.secret, descriptor)
                continue
            name = key.key_name.split("/")[3]
            files = {
                f"{name}.content": key.content_digest.hex().encode(),
                f"{name}.tlog-proof": released.receipt.encode(),
                f"{name}.key": key.secret,
            }
            deliver_to_directory(files, directory, owner)
    except OSError as error:
        raise unwritten("the keys cannot be written", error) from error


def _tell(released: Released, *, as_json: bool) -> None:
    names = [key.key_name for key in released.keys]
    end = released.lease_end.isoformat().replace("+00:00", "Z")
    if as_json:
        sizes = [len(key.secret) for key in released.keys]
        document = {"keys": names, "sizes": sizes, "lease": released.lease_id, "lease_end": end}
        print(json.dumps({**document, "index": released.receipt.index}))
        return
    for name in names:
        print(f"released {name}, lease until {end}, entry {released.receipt.index} of the log", file=sys.stderr)


def _purpose(text: str) -> str:
    if PURPOSE.fullmatch(text) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a purpose: [a-z][a-z0-9-]{{0,31}}")
    return text


def _asset(text: str) -> str:
    if ASSET.fullmatch(text) is None:
        raise argparse.ArgumentTypeError(f"expected {ASSET_SAYS}, got {text[:80]!r}")
    return text


def _owner(text: str | None, mode: str) -> Owner:
    """Names are looked up before anything is asked for, so that a wrong one costs no release."""
    import grp  # noqa: PLC0415
    import pwd  # noqa: PLC0415

    from clients.workload.deliver import Owner  # noqa: PLC0415

    if re.fullmatch("0?[0-7]{3}", mode) is None or int(mode, 8) & 0o007:
        raise Usage(f"--mode {mode} is not an octal mode that leaves others nothing, such as 0640")
    user, _, group = (text or "").partition(":")
    if text is not None and not (user or group):
        raise Usage("--owner is USER:GROUP, USER or :GROUP")
    try:
        uid = None if not user else int(user) if user.isdecimal() else pwd.getpwnam(user).pw_uid
        gid = None if not group else int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid
    except KeyError as error:
        raise Usage(f"--owner {text}: there is no such user or group here") from error
    return Owner(user=uid, group=gid, mode=int(mode, 8))
