"""`sealgate evidence verify|show --type tdx|sgx`: is this quote authentic, and what does Intel say of its platform?"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from clients.cli.evidence_collateral import bundle_lines, read_given
from clients.cli.evidence_files import NOT_TRUSTED, finding_document, read_file, read_hex, read_time, refused
from clients.cli.evidence_forms import read_quote_file
from clients.errors import Usage

if TYPE_CHECKING:
    from attest.finding import Finding
    from attest.tdx.claims import PckIdentity, SgxClaims, TcbStatus, TcbVerdict, TdxClaims
    from attest.tdx.events import Event
    from attest.tdx.quote import Quote
    from attest.tdx.verify import Authentic
    from clients.cli.main import Doors

__all__ = ["show", "verify"]

_TD_FIELDS = ("mr_td", "mr_seam", "mr_config_id", "mr_owner", "mr_owner_config", "report_data", "tee_tcb_svn",
              "tee_tcb_svn2", "mr_servicetd")  # fmt: skip
_SGX_FIELDS = ("mrenclave", "mrsigner", "attributes", "configid", "report_data")
_QUIET = (
    "verdict",
    "authentic",
    "type",
    "at",
    "findings",
    "default_profile",
    "tcb",
    "collateral_bundles",
    "events",
    "check",
    "path",
    "expected",
    "got",
)


def verify(args: argparse.Namespace, doors: Doors) -> int:
    """Prints whether the quote is authentic, and apart from it what the default profile finds; the exit code.

    An authentic quote at a TCB status that was not accepted is refused with the same document.
    """
    from attest.anchors import BUILT_IN  # noqa: PLC0415
    from attest.errors import AttestError, Malformed, NotBound  # noqa: PLC0415
    from attest.tdx.claims import TdxClaims  # noqa: PLC0415
    from attest.tdx.eventlog import verify_event_log  # noqa: PLC0415
    from attest.tdx.verify import verify_quote  # noqa: PLC0415

    if not args.collateral:
        raise Usage(
            f"--type {args.type} needs --collateral FILE: Intel's documents about the platform's family, or a bundle"
        )
    accepted = _statuses(args.accept_status)
    now = doors.now if args.at is None else read_time(args.at)
    wanted = None if args.report_data is None else read_hex(args.report_data, "--report-data")
    evidence = read_file(args.evidence)
    log = None if args.ccel is None else read_file(args.ccel)
    events: tuple[Event, ...] = ()
    try:
        given = read_given(args, doors, intel=True)
        offered = given.collateral.tdx
        quote, beside = read_quote_file(evidence)
        log = beside if log is None and beside and args.type == "tdx" else log
        found = verify_quote(quote, offered, BUILT_IN, now=now, revocation_required=True)
        claims = found.claims
        if _type_of(claims) != args.type:
            raise Malformed("TEE_TYPE", "quote.header.tee_type", expected=args.type, got=_type_of(claims))
        if wanted is not None and wanted != claims.report_data:
            raise NotBound("REPORT_DATA_MISMATCH", "report.report_data", expected=wanted, got=claims.report_data)
        if log is not None and isinstance(claims, TdxClaims):
            events = verify_event_log(log, claims.rtmrs)
    except AttestError as error:
        return refused(error, args.json)
    document = _authentic(found, now, bound=wanted is not None) | ({} if log is None else {"events": _events(events)})
    document |= given.document()
    fine = claims.tcb_verdict.status in accepted
    if not fine:
        expected = ", ".join(status.name for status in sorted(accepted))
        document |= {"verdict": "refused", "check": "TCB_STATUS_NOT_ACCEPTED", "path": "tcb.status",
                     "expected": expected, "got": claims.tcb_verdict.status.name}  # fmt: skip
    print(json.dumps(document) if args.json else "\n".join(_authentic_lines(document)))
    return 0 if fine else NOT_TRUSTED


def show(args: argparse.Namespace, _doors: Doors) -> int:
    """Prints what a quote claims; nothing is verified."""
    from attest.errors import AttestError  # noqa: PLC0415
    from attest.tdx.quote import parse  # noqa: PLC0415

    try:
        document = _unverified(parse(read_quote_file(read_file(args.evidence))[0]))
    except AttestError as error:
        return refused(error, args.json)
    print(json.dumps(document) if args.json else "\n".join(["not verified", *_lines(document, ("verdict",))]))
    return 0


def _events(events: Sequence[Event]) -> list[dict[str, Any]]:
    """Each extension; `proven` says that the text is what was measured, and not what the log says of it."""
    return [
        {"rtmr": each.register, "digest": each.digest.hex(), "text": each.text, "proven": each.proven}
        for each in events
    ]


def _statuses(text: str | None) -> frozenset[TcbStatus]:
    """The statuses of --accept-status; `any` is every one but Revoked, which nothing lifts."""
    from attest.tdx.claims import TcbStatus  # noqa: PLC0415

    if text is None:
        return frozenset({TcbStatus.UpToDate})
    allowed = {status.name: status for status in TcbStatus if status is not TcbStatus.Revoked}
    if text == "any":
        return frozenset(allowed.values())
    unknown = [name for name in text.split(",") if name not in allowed]
    if unknown:
        raise Usage(f"--accept-status knows no {unknown[0]!r}; it is any, or a list of {', '.join(allowed)}")
    return frozenset(allowed[name] for name in text.split(","))


def _type_of(claims: TdxClaims | SgxClaims) -> str:
    from attest.tdx.claims import TdxClaims  # noqa: PLC0415

    return "tdx" if isinstance(claims, TdxClaims) else "sgx"


def _authentic(found: Authentic, now: datetime, *, bound: bool) -> dict[str, Any]:
    """The verdict, what the quote says, what Intel says, and beside it what a profile without any wishes would find."""
    from attest.ear import vector_of  # noqa: PLC0415
    from attest.finding import Outcome  # noqa: PLC0415

    claims, verdict = found.claims, found.claims.tcb_verdict
    default = [f for f in _default(claims) if f.outcome is not Outcome.SKIPPED]
    vector = vector_of(default)
    return {
        "verdict": "authentic",
        "authentic": True,
        "type": _type_of(claims),
        "at": now.isoformat(),
        "expires": found.expires.isoformat(),
        "quote_version": claims.quote_version,
        "tcb_status": verdict.status.name,
        "advisory_ids": list(verdict.advisories),
        "tcb": _tcb(verdict),
        **_platform(claims.pck),
        **_report(claims),
        "signed_bytes_sha256": claims.signed_bytes.hex(),
        "findings": [*map(finding_document, found.findings), _binding(bound=bound)],
        "default_profile": {
            "status": vector.status.name.lower(),
            "trustworthiness_vector": vector.document(),
            "acceptable": all(f.outcome is Outcome.PASSED for f in default),
            "findings": [finding_document(f) for f in default],
        },
    }


def _default(claims: TdxClaims | SgxClaims) -> tuple[Finding, ...]:
    from attest.tdx.appraise import appraise_sgx, appraise_tdx  # noqa: PLC0415
    from attest.tdx.claims import TdxClaims  # noqa: PLC0415
    from attest.tdx.profile import TdxProfile  # noqa: PLC0415

    return appraise_tdx(claims, TdxProfile()) if isinstance(claims, TdxClaims) else appraise_sgx(claims)


def _binding(*, bound: bool) -> dict[str, str]:
    got = "the same" if bound else "none given: this evidence may be a replay"
    return {
        "check": "REPORT_DATA_MISMATCH", "path": "report.report_data", "outcome": "passed" if bound else "skipped",
        "expected": "64 bytes to compare with", "got": got,
    }  # fmt: skip


def _tcb(verdict: TcbVerdict) -> dict[str, Any]:
    return {
        "status": verdict.status.name,
        "advisory_ids": list(verdict.advisories),
        "tcb_info_evaluation_data_number": verdict.tcb_info_evaluation,
        "qe_identity_evaluation_data_number": verdict.qe_identity_evaluation,
        "parts": {
            part.name: {
                "status": part.status.name,
                "tcb_date": part.tcb_date.isoformat(),
                "advisory_ids": list(part.advisories),
            }
            for part in verdict.parts
        },
    }


def _platform(pck: PckIdentity) -> dict[str, Any]:
    return {
        "fmspc": pck.fmspc.hex(),
        "ppid": pck.ppid.hex(),
        "platform_instance_id": pck.platform_instance_id.hex(),
        "pceid": pck.pceid.hex(),
        "pcesvn": pck.pcesvn,
        "cpusvn": bytes(pck.components).hex(),
    }


def _report(said: Any) -> dict[str, Any]:
    """What claims and unverified reports have in common, whichever TEE; what a report does not have is left out."""
    names = _TD_FIELDS if hasattr(said, "mr_td") else _SGX_FIELDS
    found: dict[str, Any] = {name: getattr(said, name).hex() for name in names if getattr(said, name) is not None}
    if hasattr(said, "mr_td"):
        attributes = getattr(said.td_attributes, "raw", said.td_attributes)
        found |= {f"rtmr{number}": value.hex() for number, value in enumerate(said.rtmrs)}
        found |= {"td_attributes": f"{attributes:#x}", "xfam": f"{said.xfam:#x}", "debug": bool(attributes & 0xFF)}
    else:
        found |= {"isvprodid": said.isvprodid, "isvsvn": said.isvsvn, "debug": said.debug}
    return found


def _unverified(quote: Quote) -> dict[str, Any]:
    from attest.tdx.certification import carried  # noqa: PLC0415
    from attest.tdx.pck import SGX_EXTENSION, read_pck  # noqa: PLC0415
    from attest.x509 import load_certificate  # noqa: PLC0415

    certification = quote.proof.certification
    certificates = [load_certificate(der, path=f"pck_chain[{n}]") for n, der in enumerate(carried(certification))]
    pck = next((c for c in certificates if SGX_EXTENSION in c.extensions), None)
    return {
        "verdict": "not verified",
        "type": "sgx" if quote.td is None else "tdx",
        "quote_version": quote.version,
        **_report(quote.sgx if quote.td is None else quote.td),
        "qe_mrsigner": quote.proof.qe_report.mrsigner.hex(),
        "qe_isvsvn": quote.proof.qe_report.isvsvn,
        "certification_type": certification.kind,
        "certificates": [c.common_name for c in certificates],
        **(_platform(read_pck(pck)) if pck is not None else {}),
    }


def _lines(document: Mapping[str, Any], but: tuple[str, ...]) -> list[str]:
    """One short line for each value that says something."""
    told = {name: _shown(value) for name, value in document.items() if name not in but}
    return [f"  {name:<20} {text}" for name, text in told.items() if len(text) < 3 or text.strip("0")]


def _shown(value: Any) -> str:
    return (", ".join(map(str, value)) or "none") if isinstance(value, list) else str(value)


def _authentic_lines(document: Mapping[str, Any]) -> list[str]:
    lines = [f"authentic  {document['type']} {document['fmspc']}, judged at {document['at']}"]
    if document["verdict"] == "refused":
        lines = [f"refused  {document['check']}: expected {document['expected']}, got {document['got']}", *lines]
    lines += [*_lines(document, _QUIET), *bundle_lines(document)]
    for name, part in document["tcb"]["parts"].items():
        advisories = f"; {', '.join(part['advisory_ids'])}" if part["advisory_ids"] else ""
        lines.append(f"  tcb {name:<16} {part['status']} of {part['tcb_date'][:10]}{advisories}")
    for event in document.get("events", ()):
        told = event["text"] + ("" if event["proven"] else ", as the log says")
        lines.append(f"  rtmr{event['rtmr']} {event['digest'][:16]}… {told}")
    for finding in document["findings"]:
        skipped = finding["outcome"] == "skipped"
        lines.append(f"  {'skip' if skipped else 'ok  '} {finding['check']}" + f"  {finding['got']}" * skipped)
    failed = [f for f in document["default_profile"]["findings"] if f["outcome"] == "failed"]
    lines.append("a default profile would " + ("refuse it:" if failed else "accept the platform"))
    return lines + [f"  {f['check']} {f['path']}: expected {f['expected']}, got {f['got']}" for f in failed]
