"""`sealgate evidence verify|show`: is this authentic, and what does it say? Offline, under vendors' own roots alone."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clients.cli.log_keys import add_log_keys
from clients.errors import Usage

if TYPE_CHECKING:
    from clients.cli.main import Doors

__all__ = ["register"]

_ROOMS = {
    "snp": "evidence_snp",
    "tdx": "evidence_intel",
    "sgx": "evidence_intel",
    "nvidia": "evidence_nvidia",
    "azure-snp": "evidence_azure",
    "azure-tdx": "evidence_azure",
}
_VERIFY = """The chain must end in a root of the vendor's that is built in, whatever certificates are given. Without
--crl revocation is shown as not checked; without --report-data (nvidia: --nonce) the evidence may be a replay, which is
shown too. With --rim, measurements that differ from the manifests refuse the evidence. Of tdx and sgx the lists of
--collateral are required, and a TCB status that is not accepted refuses; what else a default profile would find is
said apart. With --ccel, or an event log beside the quote in JSON, that log has to add up to the RTMRs. Under Azure's
paravisor (azure-snp, azure-tdx) freshness is the vTPM quote's nonce: --nonce, or --report-data, of which it is the
SHA-256. --collateral takes bundles of all vendors' collateral too: with --trust or --signed-by their own signature is
checked, else it is said not to be; their pieces are verified by their vendors' signatures either way.

examples:
  sealgate evidence verify --type snp --evidence report.bin --certs vcek.der cert_chain.pem --crl milan.crl
  sealgate evidence verify --type snp --evidence extended.bin --report-data 3f0c... --at 2026-05-01T12:00:00Z --json
  sealgate evidence verify --type snp --evidence report.bin --certs certs/
  sealgate evidence verify --type tdx --evidence quote.bin --collateral intel.json --accept-status OutOfDate
  sealgate evidence verify --type tdx --evidence quote.json \
      --collateral tcb.json qe.json pck.crl root.crl tcb-chain.pem pck-chain.pem
  sealgate evidence verify --type nvidia --evidence gpu.txt --chain chain.pem --rim driver.xml vbios.xml --nonce 931d...
  sealgate evidence verify --type nvidia --evidence gpus.json --crl l1-root.crl l2-gh100.crl
  sealgate evidence verify --type tdx --evidence quote.bin --collateral intel.json --ccel ccel.bin
  sealgate evidence verify --type snp --evidence report.bin --collateral collateral.bundle --trust trust.json
  sealgate evidence verify --type azure-snp --evidence evidence.json --certs cert_chain.pem --nonce 6368616c...

exit codes:
  0 authentic   2 usage   4 refused"""
_SHOW = """Nothing is verified: this only says what the bytes claim.

example:
  sealgate evidence show --type snp --evidence report.bin
  sealgate evidence show --type tdx --evidence quote.hex
  sealgate evidence show --type nvidia --evidence gpus.json
  sealgate evidence show --type azure-tdx --evidence evidence.json"""
_EVIDENCE_HELP = (
    "bytes, hexadecimal or base64; snp: a report, with certificate table or not, an HCL report, JSON of CoCo, of "
    "Azure's containers or attestation service; tdx, sgx: a quote, or JSON of CoCo, dstack and others that has one; "
    "nvidia: a report or JSON of NVIDIA's SDK, its remote service or CoCo; azure-snp, azure-tdx: JSON of CoCo"
)


def register(subparsers: Any) -> None:
    """Adds the command with `verify` and `show`."""
    about = "Verifies or shows attestation evidence, offline."
    evidence = subparsers.add_parser("evidence", help="verify or show attestation evidence, offline", description=about)
    actions = evidence.add_subparsers(metavar="ACTION", title="actions", required=True)
    verify = _action(actions, "verify", "is it authentic, under the vendor's own roots?", _VERIFY)
    files: dict[str, Any] = {"type": Path, "nargs": "+", "action": "extend", "default": [], "metavar": "FILE"}
    verify.add_argument("--certs", **files, help="certificates: PEM, DER, a certificate table, Azure's THIM; folders")
    verify.add_argument("--crl", **files, help="revocation lists of the root, PEM or DER; may be repeated")
    verify.add_argument("--rim", **files, help="nvidia: manifests (RIMs), as NVIDIA publishes them; may be repeated")
    verify.add_argument("--ocsp", **files, help="nvidia: OCSP responses, DER; may be repeated")
    verify.add_argument(
        "--collateral",
        **files,
        help="a bundle that `sealgate collateral export` wrote; tdx, sgx, azure-tdx: also JSON of QuoteCollateral, or "
        "Intel's documents, lists and chains in a file each",
    )
    signer = verify.add_mutually_exclusive_group()
    signer.add_argument("--trust", type=Path, metavar="FILE", help="the trust file of the site that signed a bundle")
    signer.add_argument("--signed-by", metavar="VKEY", help="the log key of the site that signed a bundle")
    add_log_keys(verify, beside="needed with such a file")
    verify.add_argument("--ccel", type=Path, metavar="FILE", help="tdx: the event log (CCEL, or dstack's JSON)")
    verify.add_argument(
        "--accept-status", metavar="STATUS,...", help="tdx, sgx: TCB statuses to accept, or any (default: UpToDate)"
    )
    verify.add_argument(
        "--nonce", metavar="HEX", help="nvidia: the 32 bytes of each report; azure: extraData of the quote"
    )
    verify.add_argument("--report-data", metavar="HEX", help="the 64 bytes that REPORT_DATA has to be")
    verify.add_argument("--at", metavar="RFC3339", help="judge validity at this time (default: now)")
    verify.set_defaults(run=_verify)
    _action(actions, "show", "what do the bytes say?", _SHOW).set_defaults(run=_show)


def _action(actions: Any, name: str, summary: str, epilog: str) -> Any:
    parser = actions.add_parser(
        name, help=summary, description=summary, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--type",
        choices=list(_ROOMS),
        required=True,
        help="the kind of TEE or device",
    )
    parser.add_argument("--evidence", type=Path, required=True, metavar="FILE", help=_EVIDENCE_HELP)
    parser.add_argument("--chain", type=Path, metavar="FILE", help="nvidia: the device's certificate chain, PEM")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _verify(args: argparse.Namespace, doors: Doors) -> int:
    if args.type in ("tdx", "sgx"):
        _check_options(args, "chain", "rim", "ocsp", "nonce", "certs", "crl", *(["ccel"] if args.type == "sgx" else []))
    elif args.type.startswith("azure-"):
        others = ("certs", "crl") if args.type == "azure-tdx" else ()
        _check_options(args, "ccel", "chain", "rim", "ocsp", "accept_status", *others)
    else:
        devices = args.type == "nvidia"
        _check_options(args, "ccel", "accept_status", *(() if devices else ("chain", "rim", "ocsp", "nonce")))
    return int(_room(args).verify(args, doors))


def _check_options(args: argparse.Namespace, *others: str) -> None:
    """Raises Usage for an option of another kind of evidence: nothing that is given is passed over."""
    for name in others:
        if getattr(args, name, None):
            raise Usage(f"--{name.replace('_', '-')} is not for --type {args.type}")


def _show(args: argparse.Namespace, doors: Doors) -> int:
    if args.type != "nvidia":
        _check_options(args, "chain")
    return int(_room(args).show(args, doors))


def _room(args: argparse.Namespace) -> Any:
    """The module for this kind of evidence: the command line must start fast."""
    return importlib.import_module(f"clients.cli.{_ROOMS[args.type]}")
