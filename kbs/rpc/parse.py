"""Bytes from the wire to values, with every limit. Raises Refused REQUEST_MALFORMED, naming the field."""

from __future__ import annotations

import json
import re
from typing import TypeVar

from google.protobuf.message import DecodeError, Message
from google.protobuf.timestamp_pb2 import Timestamp
from sealgate.v1.attestation_pb2 import Attestation
from sealgate.v1.attestation_pb2 import AzureEvidence as AzureMessage
from sealgate.v1.key_release_pb2 import ReleaseKeysRequest, RenewLeaseRequest

from attest.evidence import AzureEvidence, CpuEvidence, DeviceEvidence, SnpEvidence, TdxEvidence
from attest.tpm import PCRS
from kbs.model.names import PURPOSE, AssetName, InvalidName
from kbs.model.refusal import Refused
from kbs.model.release import Ask

__all__ = ["LEASE_ID", "MAX_MESSAGE", "parse", "parse_ask", "parse_json", "parse_renewal", "parse_time"]

MAX_MESSAGE = 256 * 1_024
_AUDIENCE = re.compile(r"[!-~]{1,255}", re.ASCII)
LEASE_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
_MAX_NAMES = 16
_MAX_DEVICES = 16
_MAX_CERTIFICATES = 16
_MAX_BYTES = {"challenge": 57, "recipient_key": 1_216, "holder_key": 256, "init_data": 16_384}

M = TypeVar("M", bound=Message)


def parse(kind: type[M], data: bytes) -> M:
    """The message, or Refused REQUEST_MALFORMED."""
    try:
        return kind.FromString(data)
    except DecodeError:
        raise _bad("message", f"a {kind.DESCRIPTOR.full_name}", f"{len(data)} bytes that are none") from None


def parse_json(text: str, field: str) -> object:
    """A value that people wrote as JSON; no key twice, no number that is not whole. Refused DOCUMENT_INVALID."""
    try:
        return json.loads(text, object_pairs_hook=_once, parse_float=_no_number, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise Refused("DOCUMENT_INVALID", check=field, expected="JSON", got=str(error)[:200]) from None


def parse_time(time: Timestamp, field: str) -> int:
    """A moment in ms since 1970; Refused REQUEST_MALFORMED for one that Timestamp does not allow."""
    try:
        return time.ToMilliseconds()
    except ValueError:
        raise _bad(field, "a time from the year 1 to 9999", "one that is none") from None


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(k for k in keys if keys.count(k) > 1)!r} stands there twice")
    return found


def _no_number(text: str) -> object:
    raise ValueError(f"{text} is not a whole number")


def parse_ask(data: bytes) -> Ask:
    """A ReleaseKeysRequest as an Ask: sizes, counts, names and purpose are fine; nothing else is known of it."""
    message = parse(ReleaseKeysRequest, data)
    return _ask(message, rehearsal=message.validate_only)


def parse_renewal(data: bytes) -> Ask:
    """A RenewLeaseRequest as an Ask, in the same way."""
    message = parse(RenewLeaseRequest, data)
    if LEASE_ID.fullmatch(message.lease_id) is None:
        raise _bad("lease_id", "32 digits of lower-case hexadecimal", message.lease_id[:40])
    return _ask(message, rehearsal=False, action="renew", lease_id=message.lease_id)


def _ask(
    message: ReleaseKeysRequest | RenewLeaseRequest, *, rehearsal: bool, action: str = "release", lease_id: str = ""
) -> Ask:
    evidence = message.attestation
    for field, limit in _MAX_BYTES.items():
        _most(field, len(getattr(evidence, field)), limit, "bytes")
    _most("devices", len(evidence.devices), _MAX_DEVICES, "devices")
    if PURPOSE.fullmatch(message.purpose) is None:
        raise _bad("purpose", "[a-z][a-z0-9-]{0,31}", message.purpose[:40])
    return Ask(
        challenge=evidence.challenge,
        suite=int(evidence.suite),
        recipient_key=evidence.recipient_key,
        holder_key=evidence.holder_key,
        evidence=_cpu(evidence),
        devices=[DeviceEvidence(kind=d.kind, report=d.report, chain=d.chain) for d in evidence.devices],
        init_data=evidence.init_data,
        purpose=message.purpose,
        names=_names(message),
        rehearsal=rehearsal,
        action=action,
        lease_id=lease_id,
        audience=_audience(message.result_audience),
    )


def _audience(text: str) -> str:
    if text and _AUDIENCE.fullmatch(text) is None:
        raise _bad("result_audience", "up to 255 printable characters of ASCII, without spaces", text[:40])
    return text


def _cpu(evidence: Attestation) -> CpuEvidence:
    kind = evidence.WhichOneof("cpu")
    if kind is None:
        raise _bad("attestation.cpu", "exactly one evidence of the CPU's TEE: snp, tdx or azure", "none")
    if kind == "tdx":
        return TdxEvidence(quote=evidence.tdx.quote, event_log=evidence.tdx.event_log)
    if kind == "azure":
        return _azure(evidence.azure)
    _most("attestation.snp.certificates", len(evidence.snp.certificates), _MAX_CERTIFICATES, "certificates")
    return SnpEvidence(report=evidence.snp.report, certificates=tuple(evidence.snp.certificates))


def _azure(azure: AzureMessage) -> AzureEvidence:
    _most("attestation.azure.certificates", len(azure.certificates), _MAX_CERTIFICATES, "certificates")
    _most("attestation.azure.pcrs", len(azure.pcrs), PCRS, "PCRs")
    return AzureEvidence(
        hcl_report=azure.hcl_report,
        tpm_quote=azure.tpm_quote,
        tpm_signature=azure.tpm_signature,
        pcrs=tuple(azure.pcrs),
        certificates=tuple(azure.certificates),
        td_quote=azure.td_quote,
    )


def _names(message: ReleaseKeysRequest | RenewLeaseRequest) -> tuple[str, ...]:
    names = tuple(message.names)
    _most("names", len(names), _MAX_NAMES, "names")
    if not names:
        raise _bad("names", "at least one", "none")
    if len(set(names)) != len(names):
        raise _bad("names", "no name twice", "a duplicate")
    try:
        tenants = {AssetName.parse(name).tenant for name in names}
    except InvalidName as error:
        raise _bad("names", error.expected, error.got) from None
    if len(tenants) != 1:
        raise _bad("names", "one tenant", f"{len(tenants)} tenants")
    return names


def _most(field: str, count: int, limit: int, what: str) -> None:
    if count > limit:
        raise _bad(field, f"at most {limit} {what}", str(count))


def _bad(field: str, expected: str, got: str) -> Refused:
    return Refused("REQUEST_MALFORMED", check=field, expected=expected, got=got)
