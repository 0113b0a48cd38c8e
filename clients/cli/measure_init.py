"""`sealgate measure init-data`: what a host gives a guest at launch, in the one form whose digest is bound."""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clients.errors import Usage

if TYPE_CHECKING:
    from clients.cli.main import Doors

__all__ = ["register_init_data"]

_MAX = 16_384  # bytes, as the broker takes them
_EPILOG = """Init-data is one JSON object, such as {"job": "llm-7", "image": "sha256:3f0c..."}: what tells the jobs
of one image apart. The host gives its digest at launch (QEMU: host-data= of sev-snp-guest, mrconfigid= of tdx-guest, in
base64) and the file itself to the guest, by any way: it is compared with the digest. A profile's init_data lists what
each key may be.

example:
  sealgate measure init-data job.json --out init-data
  sealgate keys get --init-data init-data --trust /etc/sealgate/trust.json --broker broker.example:8443 \\
      --purpose training --asset tenants/acme/assets/llm --dir /run/keys

exit codes:
  0 ok   2 usage"""


def register_init_data(kinds: Any) -> None:
    """Adds the verb."""
    verb = kinds.add_parser(
        "init-data",
        help="the digest of what the host gives at launch",
        description="Writes init-data as it is sent, and prints its digest: HOST_DATA of SNP, MRCONFIGID of TDX.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.add_argument("file", type=Path, metavar="FILE", help="a JSON object")
    verb.add_argument("--out", type=Path, metavar="FILE", help="write it in canonical form, for keys get --init-data")
    verb.add_argument("--json", action="store_true", help="print one JSON object")
    verb.set_defaults(run=_run)


def _run(args: argparse.Namespace, _doors: Doors) -> int:
    from attest.errors import AttestError  # noqa: PLC0415
    from attest.tlog.canonical import canonical  # noqa: PLC0415
    from clients.cli.evidence_files import read_file  # noqa: PLC0415
    from clients.cli.output import check_output, write_over  # noqa: PLC0415

    if args.out is not None:
        check_output(args.out)
    try:
        data = canonical(json.loads(read_file(args.file), object_pairs_hook=_once), limit=_MAX)
    except (ValueError, RecursionError) as error:
        raise Usage(f"{args.file} is not a JSON object with each key once: {error}") from error
    except AttestError as error:
        raise Usage(f"{args.file} cannot be init-data: {error}") from error
    if args.out is not None:
        write_over(args.out, data)
    found = {"host_data": hashlib.sha256(data).digest(), "mr_config_id": hashlib.sha384(data).digest()}
    told = {name: {"hex": value.hex(), "base64": base64.b64encode(value).decode()} for name, value in found.items()}
    if args.json:
        print(json.dumps({"bytes": len(data), **told}))
        return 0
    for name, spelled in told.items():
        print("\n".join(f"{name:<13} {spelling:<7} {text}" for spelling, text in spelled.items()))
    return 0


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("one of its keys is there twice")
    return found
