"""`sealgate enrol` and `sealgate login`: a person's key, made here, and the certificate that it is worth today."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clients.cli.output import write_new, write_over
from clients.cli.waiting import add_wait, say_waiting
from clients.errors import Denied, Usage

if TYPE_CHECKING:
    from clients.cli.main import Doors
    from clients.operator.enrolment import Certified

__all__ = ["register"]

_ENROL = """Makes a key pair on this machine and enrols it with the code that you were given: NAME.key, mode 0600, and
NAME.pem, its certificate for the broker's people port. The code works once, within 24 hours, and is read from
a file or an open descriptor, never from the command line. The private key never leaves this machine."""
_LOGIN = """Gets a fresh certificate for an enrolled key, by proving that you have the key. Certificates live 24 hours
at most; the key stays. The old certificate need not be valid any more."""
_EPILOG = """examples:
  sealgate enrol --trust trust.json --broker broker.example:8443 --code-file code.txt --out alice
  sealgate enrol --trust trust.json --broker broker.example:8443 --code-fd 3 --out alice --wait 30s 3<code.txt
  sealgate login --trust trust.json --broker broker.example:8443 --key alice.key --cert alice.pem"""
_MAX_CODE = 128


def register(subparsers: Any) -> None:
    """Adds the commands."""
    raw = argparse.RawDescriptionHelpFormatter
    enrol = subparsers.add_parser(
        "enrol", help="become who your code was made for", description=_ENROL, epilog=_EPILOG, formatter_class=raw
    )
    login = subparsers.add_parser(
        "login", help="a fresh certificate for your key", description=_LOGIN, epilog=_EPILOG, formatter_class=raw
    )
    for parser in (enrol, login):
        parser.add_argument("--trust", type=Path, required=True, metavar="FILE", help="the deployment's trust file")
        parser.add_argument("--broker", required=True, metavar="HOST:PORT", help="the broker's workload port")
        add_wait(parser)
        parser.add_argument("--json", action="store_true", help="print one JSON object")
    code = enrol.add_mutually_exclusive_group(required=True)
    code.add_argument("--code-file", type=Path, metavar="FILE", help="the file that holds the code")
    code.add_argument("--code-fd", type=int, metavar="N", help="the open descriptor that holds the code")
    enrol.add_argument("--out", type=Path, required=True, metavar="NAME", help="writes NAME.key and NAME.pem")
    enrol.set_defaults(run=_enrol)
    login.add_argument("--key", type=Path, required=True, metavar="FILE", help="your private key, PEM")
    login.add_argument("--cert", type=Path, required=True, metavar="FILE", help="where the certificate goes")
    login.set_defaults(run=_login)


def _enrol(args: argparse.Namespace, doors: Doors) -> int:
    """The key is on disk before the code is used up, so that nobody is enrolled with a key that is lost."""
    from clients.operator.enrolment import PersonKey, enrol  # noqa: PLC0415
    from clients.transport import connect  # noqa: PLC0415
    from clients.trust import read_trust  # noqa: PLC0415
    from clients.workload.patience import Patience  # noqa: PLC0415

    trust = read_trust(args.trust, simulated=doors.simulated)
    key_file, certificate = (args.out.with_name(f"{args.out.name}.{end}") for end in ("key", "pem"))
    code = _code(args.code_file, args.code_fd)
    made = not key_file.exists()
    key = PersonKey.generate() if made else _key(key_file)
    if made:
        write_new(key_file, key.pem(), mode=0o600)

    tries = 0

    def ask() -> Certified:
        nonlocal tries
        tries += 1
        with connect(args.broker, trust.broker_ca) as channel:
            return enrol(channel, trust, code, key)

    try:
        certified = Patience(args.wait, told=say_waiting).until(ask)
    except (Denied, Usage):
        if made and tries == 1:  # an answer that was lost may have enrolled it: then the key is kept for login
            key_file.unlink()
        raise
    write_over(certificate, certified.chain)
    _tell(certified, key_file, certificate, as_json=args.json)
    return 0


def _login(args: argparse.Namespace, doors: Doors) -> int:
    from clients.operator.enrolment import login  # noqa: PLC0415
    from clients.transport import connect  # noqa: PLC0415
    from clients.trust import read_trust  # noqa: PLC0415
    from clients.workload.patience import Patience  # noqa: PLC0415

    trust = read_trust(args.trust, simulated=doors.simulated)
    key = _key(args.key)

    def ask() -> Certified:
        with connect(args.broker, trust.broker_ca) as channel:
            return login(channel, trust, key)

    certified = Patience(args.wait, told=say_waiting).until(ask)
    write_over(args.cert, certified.chain)
    _tell(certified, args.key, args.cert, as_json=args.json)
    return 0


def _code(path: Path | None, descriptor: int | None) -> str:
    """The code; what is wrong with it is said without it."""
    try:
        source = path if path is not None else descriptor
        with open(source if source is not None else -1, "rb") as file:
            data = file.read(_MAX_CODE)
        return data.decode("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Usage(f"the code cannot be read: {getattr(error, 'strerror', None) or 'it is not text'}") from error


def _key(path: Path) -> Any:
    from clients.operator.enrolment import PersonKey  # noqa: PLC0415
    from clients.operator.identity import read_secret  # noqa: PLC0415

    return PersonKey.load(read_secret(path), name=str(path))


def _tell(certified: Certified, key: Path, certificate: Path, *, as_json: bool) -> None:
    ends = certified.ends.isoformat(timespec="seconds").replace("+00:00", "Z")
    if as_json:
        told = {"principal": certified.principal, "key": str(key), "certificate": str(certificate), "ends": ends}
        print(json.dumps(told))
        return
    print(
        f"you are {certified.principal}; {certificate} is valid until {ends}, renew it with sealgate login",
        file=sys.stderr,
    )
