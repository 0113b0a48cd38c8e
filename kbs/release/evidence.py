"""Steps 2 and 3: what is needed to judge the platform; is the evidence authentic, and bound to this request?"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from attest import binding
from attest.azure.verify import presented
from attest.binding import bind
from attest.devices import check_presented, verify_devices, why_unbound, with_devices
from attest.errors import AttestError, NotBound
from attest.evidence import CpuEvidence, DeviceEvidence, SnpEvidence, TdxEvidence
from attest.gpu.verify import AuthenticDevice, keep
from attest.profile import Claims, bound_init_data
from attest.verify import Verified, verify
from kbs.model.collateral import Gathered, Used
from kbs.model.release import Ask
from kbs.release.port import Broker

__all__ = ["Authentic", "authenticate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Authentic:
    """Claims that are proven for this request, with the bytes that prove it and what that rested on."""

    claims: Claims
    request: bytes
    transcript: bytes
    bound: bytes
    evidence: bytes
    collateral: Used


async def authenticate(ask: Ask, broker: Broker, now: int) -> Authentic:
    """Raises AttestError at the first failure, or Unavailable; nothing is stored but what verified."""
    check_presented(ask.devices, ask.device_nonce())
    request = ask.request(broker.deployment)
    transcript = ask.transcript(request.digest())
    bound = binding.bound(transcript)
    claims, used = await _verify(ask, broker, request.digest(), bound, now)
    init_data = bound_init_data(ask.init_data, claims)
    return Authentic(
        claims=replace(claims, init_data=init_data),
        request=request.encoded(),
        transcript=transcript,
        bound=bound,
        evidence=_encoded(ask.evidence, ask.init_data, ask.devices),
        collateral=used,
    )


async def _verify(ask: Ask, broker: Broker, request: bytes, bound: bytes, now: int) -> tuple[Claims, Used]:
    """With what is at hand; only if that lacks something, and nothing else is wrong, with what can be fetched."""

    hardware, report_data = presented(ask.evidence, bound)

    async def under(gathered: Gathered) -> tuple[Claims, Used]:
        verified = _verify_cpu(ask, gathered, broker, request, bound, now)
        devices = await _verify_devices(ask, gathered, broker, now)
        kept = replace(verified.kept, devices=keep(devices))
        return with_devices(verified.claims, devices), broker.collateral.keep(hardware, gathered, kept)

    try:
        return await under(broker.collateral.at_hand(hardware, now))
    except AttestError as error:
        more = await broker.collateral.gather(hardware, error, report_data=report_data, now=now)
        if more is None:
            raise
    return await under(more)


def _verify_cpu(ask: Ask, gathered: Gathered, broker: Broker, request: bytes, bound: bytes, now: int) -> Verified:
    try:
        return verify(
            ask.evidence,
            gathered.collateral,
            broker.anchors,
            report_data=bound,
            now=_utc(now),
            revocation="required",
            kept=gathered.kept,
        )
    except NotBound as error:
        raise why_unbound(
            error, ask.device_digests(), lambda digests: binding.bound(ask.transcript(request, digests))
        ) from error


async def _verify_devices(ask: Ask, gathered: Gathered, broker: Broker, now: int) -> list[AuthenticDevice]:
    """One after another, and between two of them everybody else has a turn."""
    found = []
    for device in verify_devices(
        ask.devices,
        gathered.collateral,
        broker.anchors,
        nonce=ask.device_nonce(),
        now=_utc(now),
        revocation_required=True,
        kept=gathered.kept.devices if gathered.kept else None,
    ):
        found.append(device)
        await asyncio.sleep(0)
    return found


def _encoded(evidence: CpuEvidence, init_data: bytes, devices: Sequence[DeviceEvidence] = ()) -> bytes:
    """The preimage of `evidence_digest`: the CPU's evidence, around which that of the devices lies if there are any."""
    if isinstance(evidence, SnpEvidence):
        cpu = bind("sealgate/v1/evidence", "snp", evidence.report, list(evidence.certificates), init_data)
    elif isinstance(evidence, TdxEvidence):
        cpu = bind("sealgate/v1/evidence-tdx", evidence.quote, evidence.event_log, init_data)
    else:
        quote = evidence.tpm_quote, evidence.tpm_signature, list(evidence.pcrs)
        hardware = list(evidence.certificates), evidence.td_quote
        cpu = bind("sealgate/v1/evidence-azure", evidence.hcl_report, *quote, *hardware, init_data)
    if not devices:
        return cpu
    fields = [field for device in devices for field in (device.kind, device.report, device.chain)]
    return bind("sealgate/v1/evidence-node", cpu, fields)


def _utc(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1_000, UTC)
