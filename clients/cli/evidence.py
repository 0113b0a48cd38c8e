"""`sealgate evidence verify|show`: is this authentic, and what does it say? Offline, under vendors' own roots alone."""

from __future__ import annotations

import argparse
import binascii
import importlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clients.cli.evidence_files import finding_document, read_file, read_hex, read_time, refused
from clients.errors import Usage

if TYPE_CHECKING:
    from attest.evidence import Collateral, SnpEvidence
    from attest.finding import Finding
    from attest.profile import Claims
    from attest.snp.report import Report
    from clients.cli.main import Doors

__all__ = ["register"]

_TCBS = ("reported", "committed", "current", "launch")
_VERIFY = """The chain must end in a root of the vendor's that is built in, whatever certificates are given. Without
--crl revocation is shown as not checked; without --report-data (nvidia: --nonce) the evidence may be a replay, which is
shown too. With --rim, measurements that differ from the manifests refuse the evidence. Of tdx and sgx the lists of
--collateral are required, and a TCB status that is not accepted refuses; what else a default profile would find is said
apart. With --ccel the event log has to add up to the RTMRs. Under Azure's paravisor (azure-snp, azure-tdx) freshness is
the vTPM quote's nonce: --nonce, or --report-data, of which it is the SHA-256.

examples:
  sealgate evidence verify --type snp --evidence report.bin --certs vcek.der cert_chain.pem --crl milan.crl
  sealgate evidence verify --type snp --evidence extended.bin --report-data 3f0c... --at 2026-05-01T12:00:00Z --json
  sealgate evidence verify --type tdx --evidence quote.bin --collateral intel.json --accept-status OutOfDate
  sealgate evidence verify --type nvidia --evidence gpu.txt --chain chain.pem --rim driver.xml vbios.xml --nonce 931d...
  sealgate evidence verify --type nvidia --evidence gpus.json --crl l1-root.crl l2-gh100.crl
  sealgate evidence verify --type tdx --evidence quote.bin --collateral intel.json --ccel ccel.bin
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
    "a report, a report with certificate table, JSON of Confidential Containers, or any of them in hex; "
    "tdx, sgx: a quote, also in hex; nvidia: a report or JSON of NVIDIA's SDK, its remote service or CoCo; "
    "azure-snp, azure-tdx: JSON of CoCo"
)


def register(subparsers: Any) -> None:
    """Adds the command with `verify` and `show`."""
    about = "Verifies or shows attestation evidence, offline."
    evidence = subparsers.add_parser("evidence", help="verify or show attestation evidence, offline", description=about)
    actions = evidence.add_subparsers(metavar="ACTION", title="actions", required=True)
    verify = _action(actions, "verify", "is it authentic, under the vendor's own roots?", _VERIFY)
    files: dict[str, Any] = {"type": Path, "nargs": "+", "action": "extend", "default": [], "metavar": "FILE"}
    verify.add_argument("--certs", **files, help="certificates, PEM or DER, in any order; may be repeated")
    verify.add_argument("--crl", **files, help="revocation lists of the root, PEM or DER; may be repeated")
    verify.add_argument("--rim", **files, help="nvidia: manifests (RIMs), as NVIDIA publishes them; may be repeated")
    verify.add_argument("--ocsp", **files, help="nvidia: OCSP responses, DER; may be repeated")
    verify.add_argument("--collateral", **files, help="tdx, sgx, azure-tdx: Intel's documents, JSON of QuoteCollateral")
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
        choices=["snp", "tdx", "sgx", "nvidia", "azure-snp", "azure-tdx"],
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
        return int(importlib.import_module("clients.cli.evidence_intel").verify(args, doors))
    _check_options(args, "ccel")
    if args.type.startswith("azure-"):
        others = ("certs", "crl") if args.type == "azure-tdx" else ("collateral",)
        _check_options(args, "chain", "rim", "ocsp", "accept_status", *others)
        return int(importlib.import_module("clients.cli.evidence_azure").verify(args, doors))
    _check_options(args, "collateral", "accept_status")
    if args.type == "nvidia":
        return int(importlib.import_module("clients.cli.evidence_nvidia").verify(args, doors))
    _check_options(args, "chain", "rim", "ocsp", "nonce")
    from attest.anchors import BUILT_IN  # noqa: PLC0415
    from attest.errors import AttestError  # noqa: PLC0415
    from attest.snp.shapes import read_evidence  # noqa: PLC0415
    from attest.verify import inspect_without_binding, verify  # noqa: PLC0415

    now = doors.now if args.at is None else read_time(args.at)
    report_data = None if args.report_data is None else read_hex(args.report_data, "--report-data")
    evidence_bytes = _read_evidence_file(args.evidence)
    certificate_files = [(path, read_file(path)) for path in args.certs]
    crls = tuple(read_file(path) for path in args.crl)
    try:
        evidence = read_evidence(evidence_bytes)
        collateral = _collateral(certificate_files, crls)
        common: dict[str, Any] = {"now": now, "revocation": "optional"}
        if report_data is None:
            inspected = inspect_without_binding(evidence, collateral, BUILT_IN, **common)
            claims, findings = inspected.claims, inspected.findings
        else:
            verified = verify(evidence, collateral, BUILT_IN, report_data=report_data, **common)
            claims, findings = verified.claims, verified.findings
    except AttestError as error:
        return refused(error, args.json)
    document = _authentic(claims, findings, now)
    print(json.dumps(document) if args.json else "\n".join(_authentic_lines(document)))
    return 0


def _check_options(args: argparse.Namespace, *others: str) -> None:
    """Raises Usage for an option of another kind of evidence: nothing that is given is passed over."""
    for name in others:
        if getattr(args, name, None):
            raise Usage(f"--{name.replace('_', '-')} is not for --type {args.type}")


def _show(args: argparse.Namespace, doors: Doors) -> int:
    if args.type == "nvidia":
        return int(importlib.import_module("clients.cli.evidence_nvidia").show(args, doors))
    _check_options(args, "chain")
    if args.type.startswith("azure-"):
        return int(importlib.import_module("clients.cli.evidence_azure").show(args, doors))
    if args.type in ("tdx", "sgx"):
        return int(importlib.import_module("clients.cli.evidence_intel").show(args, doors))
    from attest.errors import AttestError  # noqa: PLC0415
    from attest.snp.report import parse  # noqa: PLC0415
    from attest.snp.shapes import read_evidence  # noqa: PLC0415

    data = _read_evidence_file(args.evidence)
    try:
        evidence = read_evidence(data)
        document = _unverified(parse(evidence.report), evidence)
    except AttestError as error:
        return refused(error, args.json)
    print(json.dumps(document) if args.json else "\n".join(["not verified", *_lines(document, ("verdict",))]))
    return 0


def _read_evidence_file(path: Path) -> bytes:
    """The evidence; a file that is nothing but hexadecimal text is decoded."""
    data = read_file(path)
    text = b"".join(data.split())
    try:
        return binascii.unhexlify(text) if text else data
    except binascii.Error:
        return data


def _collateral(files: Sequence[tuple[Path, bytes]], crls: tuple[bytes, ...]) -> Collateral:
    from attest.evidence import Collateral, read_certificates  # noqa: PLC0415

    found = [der for path, data in files for der in read_certificates(data, path=str(path))]
    return Collateral(certificates=tuple(found), crls=crls)


def _authentic(claims: Claims, findings: Iterable[Finding], now: datetime) -> dict[str, Any]:
    """The verdict, what the report says, and beside it what a profile without any wishes would find."""
    from attest.ear import vector_of  # noqa: PLC0415
    from attest.finding import Outcome  # noqa: PLC0415
    from attest.snp.appraise import appraise_snp  # noqa: PLC0415
    from attest.snp.profile import SnpProfile  # noqa: PLC0415

    snp = claims.snp
    if snp is None:
        raise TypeError(f"{claims.platform} evidence is shown elsewhere")
    default = [f for f in appraise_snp(snp, SnpProfile()) if f.outcome is not Outcome.SKIPPED]
    vector = vector_of(default)
    return {
        "verdict": "authentic",
        "type": claims.platform,
        "at": now.isoformat(),
        "product": snp.product,
        **_said(snp),
        "signing_key": snp.signing_key.name,
        "csp_id": snp.csp_id,
        **{f"{name}_tcb": getattr(snp, f"{name}_tcb").components() for name in _TCBS},
        "signed_bytes_sha256": snp.signed_bytes.hex(),
        "findings": [finding_document(f) for f in findings],
        "default_profile": {
            "status": vector.status.name.lower(),
            "trustworthiness_vector": vector.document(),
            "acceptable": all(f.outcome is Outcome.PASSED for f in default),
            "findings": [finding_document(f) for f in default],
        },
    }


def _said(report: Any) -> dict[str, Any]:
    """What report and claims have in common."""
    names = ("measurement", "report_data", "host_data", "chip_id", "report_id", "report_id_ma", "family_id", "image_id",
             "id_key_digest", "author_key_digest")  # fmt: skip
    return {
        "version": report.version,
        "policy": f"{report.policy.raw:#x}",
        "debug": report.policy.debug,
        "vmpl": report.vmpl,
        "guest_svn": report.guest_svn,
        "platform_info": f"{report.platform_info.raw:#x}",
        "platform": sorted(report.platform_info.names),
        "current_firmware": str(report.current_firmware),
        "committed_firmware": str(report.committed_firmware),
        **{name: getattr(report, name).hex() for name in names},
    }


def _unverified(report: Report, evidence: SnpEvidence) -> dict[str, Any]:
    return {
        "verdict": "not verified",
        "type": "snp",
        "signing_key": report.key_info[1].name,
        "cpuid": list(report.cpuid or ()),
        **_said(report),
        **{f"{name}_tcb": getattr(report, f"{name}_tcb").hex() for name in _TCBS},
        "certificates": len(evidence.certificates),
    }


def _lines(document: Mapping[str, Any], but: Sequence[str]) -> list[str]:
    """One short line for each value that says something."""
    told = {name: _shown(value) for name, value in document.items() if name not in but}
    return [f"  {name:<20} {text}" for name, text in told.items() if len(text) < 3 or text.strip("0")]


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{key} {part}" for key, part in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _authentic_lines(document: Mapping[str, Any]) -> list[str]:
    but = ("verdict", "type", "product", "at", "findings", "default_profile")
    lines = [f"authentic  {document['type']} {document['product']}, judged at {document['at']}", *_lines(document, but)]
    for finding in document["findings"]:
        skipped = finding["outcome"] == "skipped"
        lines.append(f"  {'skip' if skipped else 'ok  '} {finding['check']}" + f"  {finding['got']}" * skipped)
    failed = [f for f in document["default_profile"]["findings"] if f["outcome"] == "failed"]
    lines.append("a default profile would " + ("refuse it:" if failed else "accept the platform"))
    return lines + [f"  {f['check']} {f['path']}: expected {f['expected']}, got {f['got']}" for f in failed]
