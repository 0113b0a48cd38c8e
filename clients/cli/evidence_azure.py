"""`sealgate evidence verify|show --type azure-snp|azure-tdx`: is this guest under Azure's paravisor authentic?"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from clients.cli.evidence_collateral import Given, bundle_lines, read_given
from clients.cli.evidence_files import certificate_files, finding_document, read_file, read_hex, read_time, refused
from clients.cli.evidence_forms import decoded, read_any_certificates
from clients.errors import Usage

if TYPE_CHECKING:
    from attest.evidence import AzureEvidence, Collateral
    from attest.finding import Finding
    from attest.profile import Claims
    from attest.verify import Inspected, Verified
    from clients.cli.main import Doors

__all__ = ["show", "verify"]

_HCL = b"HCLA"
_ALONE = (
    "an HCL report alone does not say what the guest booted: --evidence needs JSON of Confidential Containers with the "
    "vTPM's quote beside it. The SNP report inside one is verified by --type snp"
)
_QUIET = ("verdict", "type", "at", "findings", "default_profile", "pcrs", "collateral_bundles")


def verify(args: argparse.Namespace, doors: Doors) -> int:
    """Prints whether the evidence is authentic, and apart from it what the default profile finds; the exit code."""
    from attest.errors import AttestError  # noqa: PLC0415

    if args.type == "azure-tdx" and not args.collateral:
        raise Usage(
            "--type azure-tdx needs --collateral FILE: Intel's documents about the platform's family, or a bundle"
        )
    now = doors.now if args.at is None else read_time(args.at)
    try:
        given = read_given(args, doors, intel=args.type == "azure-tdx")
        found = _proven(args, given, now)
    except AttestError as error:
        return refused(error, args.json)
    document = _authentic(found.claims, found.findings, now) | given.document()
    print(json.dumps(document) if args.json else "\n".join(_told(document)))
    return 0


def show(args: argparse.Namespace, _doors: Doors) -> int:
    """Prints what the bytes claim; nothing is verified."""
    from attest.azure.hcl import SNP, parse_hcl  # noqa: PLC0415
    from attest.azure.shapes import read_azure  # noqa: PLC0415
    from attest.errors import AttestError  # noqa: PLC0415

    data = decoded(read_file(args.evidence))
    try:
        alone = data[:4] == _HCL
        evidence = None if alone else read_azure(data)
        hcl = parse_hcl(data if evidence is None else evidence.hcl_report)
    except AttestError as error:
        return refused(error, args.json)
    document: dict[str, Any] = {
        "verdict": "not verified",
        "type": "azure-snp" if hcl.kind == SNP else "azure-tdx",
        "vm_configuration": dict(hcl.vm_configuration),
        "user_data": hcl.user_data.hex(),
        "attestation_key_bits": hcl.modulus.bit_length(),
    }
    if evidence is not None:
        document |= {
            "td_quote_bytes": len(evidence.td_quote),
            "certificates": len(evidence.certificates),
            "pcrs": {str(number): value.hex() for number, value in enumerate(evidence.pcrs)},
        }
    print(json.dumps(document) if args.json else "\n".join(["not verified", *_lines(document, ("verdict",))]))
    return 0


def _proven(args: argparse.Namespace, given: Given, now: datetime) -> Inspected | Verified:
    """With --report-data the nonce is its SHA-256, with --nonce what is given; with neither it may be a replay."""
    from attest.anchors import BUILT_IN  # noqa: PLC0415
    from attest.azure.hcl import SNP, parse_hcl  # noqa: PLC0415
    from attest.azure.shapes import read_azure  # noqa: PLC0415
    from attest.errors import Malformed, NotBound  # noqa: PLC0415
    from attest.verify import inspect_without_binding, verify  # noqa: PLC0415

    data = read_file(args.evidence)
    if decoded(data)[:4] == _HCL:
        raise Usage(_ALONE)
    evidence = read_azure(data)
    kind = "azure-snp" if parse_hcl(evidence.hcl_report).kind == SNP else "azure-tdx"
    if kind != args.type:
        raise Malformed("UNSUPPORTED_EVIDENCE", "hcl.report_type", expected=args.type, got=kind)
    collateral = _collateral(args, given, evidence)
    # Intel's lists come with its collateral; AMD's are a file that may be missing, which is then shown.
    mode: Any = "optional" if kind == "azure-snp" else "required"
    if args.report_data is not None:
        wanted = read_hex(args.report_data, "--report-data")
        return verify(evidence, collateral, BUILT_IN, report_data=wanted, now=now, revocation=mode)
    found = inspect_without_binding(evidence, collateral, BUILT_IN, now=now, revocation=mode)
    nonce = None if args.nonce is None else read_hex(args.nonce, "--nonce")
    got = found.claims.paravisor.nonce if found.claims.paravisor else b""
    if nonce is not None and (not nonce or got != nonce):
        raise NotBound("TPM_NONCE", "tpm.quote.extraData", expected=nonce or "a nonce that is not empty", got=got)
    return found


def _collateral(args: argparse.Namespace, given: Given, evidence: AzureEvidence) -> Collateral:
    """What was given, without what the evidence brings itself."""
    files = certificate_files(args.certs)
    certificates = [der for path, data in files for der in read_any_certificates(data, path=str(path))]
    lists = tuple(read_file(path) for path in args.crl)
    whole = given.with_files(certificates=tuple(certificates), crls=lists)
    return replace(whole, certificates=tuple(der for der in whole.certificates if der not in evidence.certificates))


def _authentic(claims: Claims, findings: tuple[Finding, ...], now: datetime) -> dict[str, Any]:
    from attest.finding import Outcome  # noqa: PLC0415

    paravisor = claims.paravisor
    if paravisor is None:
        raise TypeError(f"{claims.platform} evidence is shown elsewhere")
    default = [f for f in _default(claims) if f.outcome is not Outcome.SKIPPED]
    return {
        "verdict": "authentic",
        "type": claims.platform,
        "at": now.isoformat(),
        "product": claims.product,
        "measurement": claims.measurement.hex(),
        "tcb": dict(claims.tcb),
        **({} if claims.tdx is None else {"tcb_status": claims.tdx.tcb_verdict.status.name}),
        "debug": claims.debug,
        "secure_boot": paravisor.secure_boot,
        "nonce": paravisor.nonce.hex(),
        "user_data": paravisor.user_data.hex(),
        "attestation_key_sha256": paravisor.key_sha256.hex(),
        "pcrs": {str(number): value.hex() for number, value in paravisor.pcrs.items()},
        "findings": [finding_document(f) for f in findings],
        "default_profile": {
            "acceptable": all(f.outcome is Outcome.PASSED for f in default),
            "findings": [finding_document(f) for f in default],
        },
    }


def _default(claims: Claims) -> tuple[Finding, ...]:
    """What the hardware's default profile finds. Which PCRs are good is for reference values, which are not here."""
    from attest.snp.appraise import appraise_snp  # noqa: PLC0415
    from attest.snp.profile import SnpProfile  # noqa: PLC0415
    from attest.tdx.appraise import appraise_tdx  # noqa: PLC0415
    from attest.tdx.profile import TdxProfile  # noqa: PLC0415

    if claims.snp is not None:
        return appraise_snp(claims.snp, SnpProfile())
    return () if claims.tdx is None else appraise_tdx(claims.tdx, TdxProfile())


def _lines(document: Mapping[str, Any], but: tuple[str, ...]) -> list[str]:
    told = {name: _text(value) for name, value in document.items() if name not in but}
    return [f"  {name:<22} {text}" for name, text in told.items() if len(text) < 3 or text.strip("0")]


def _text(value: Any) -> str:
    return " ".join(f"{key} {part}" for key, part in value.items()) if isinstance(value, dict) else str(value)


def _told(document: Mapping[str, Any]) -> list[str]:
    lines = [f"authentic  {document['type']} {document['product']}, judged at {document['at']}"]
    lines += [*_lines(document, _QUIET), *bundle_lines(document)]
    lines += [f"  pcr {number:<18} {value}" for number, value in document["pcrs"].items()]
    for finding in document["findings"]:
        skipped = finding["outcome"] == "skipped"
        lines.append(f"  {'skip' if skipped else 'ok  '} {finding['check']}" + f"  {finding['got']}" * skipped)
    failed = [f for f in document["default_profile"]["findings"] if f["outcome"] == "failed"]
    lines.append("a default profile would " + ("refuse the hardware:" if failed else "accept the hardware"))
    return lines + [f"  {f['check']} {f['path']}: expected {f['expected']}, got {f['got']}" for f in failed]
