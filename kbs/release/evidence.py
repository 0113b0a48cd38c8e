"""Steps 2 and 3: what is needed to judge the platform; is the evidence authentic, and bound to this request?"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TypeVar

from attest import binding
from attest.azure.verify import presented
from attest.binding import bind
from attest.devices import (
    check_presented,
    judge_devices,
    prove_devices,
    why_unbound,
    with_devices,
    without_manifests,
)
from attest.errors import AttestError, NotBound
from attest.evidence import CpuEvidence, DeviceEvidence, SnpEvidence, TdxEvidence
from attest.gpu.prove import ProvenDevice
from attest.gpu.verify import AuthenticDevice, keep
from attest.profile import Claims, bound_init_data
from attest.verify import Verified, verify
from kbs.model.collateral import Gathered, Used
from kbs.model.release import Ask
from kbs.release.port import Broker

__all__ = ["Authentic", "authenticate"]

T = TypeVar("T")


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
    """With what is at hand; only if that lacks something, and nothing else is wrong, with what can be fetched.

    1. the CPU's evidence, with what is at hand     3. the CPU's evidence once more, with what was fetched
    2. what the devices' evidence proves alone      4. what NVIDIA says of the devices, at hand or fetched
    """
    hardware, report_data = presented(ask.evidence, bound)
    gathered, missed = broker.collateral.at_hand(hardware, now), None
    try:
        verified = _verify_cpu(ask, gathered, broker, request, bound, now)  # 1
    except AttestError as error:
        if not broker.collateral.curable(hardware, error):
            raise
        missed = error
    proven = await _prove_devices(ask, gathered, broker, now)  # 2
    if missed is not None:
        try:
            more = await broker.collateral.gather(hardware, missed, report_data=report_data, now=now)
        except NotBound as error:
            raise _named(error, ask, request) from error
        if more is None:
            raise missed
        gathered = more
        verified = _verify_cpu(ask, gathered, broker, request, bound, now)  # 3
    devices, gathered = await _judge_devices(ask, proven, gathered, broker, now)  # 4
    kept = replace(verified.kept, devices=keep(devices))
    return with_devices(verified.claims, devices), broker.collateral.keep(hardware, gathered, kept)


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
        raise _named(error, ask, request) from error


def _named(error: NotBound, ask: Ask, request: bytes) -> NotBound:
    """The change of the devices that explains it, if one does."""
    return why_unbound(error, ask.device_digests(), lambda digests: binding.bound(ask.transcript(request, digests)))


async def _prove_devices(ask: Ask, gathered: Gathered, broker: Broker, now: int) -> list[ProvenDevice]:
    """One after another, and between two of them everybody else has a turn."""
    known = gathered.kept.devices if gathered.kept else None
    return await _each(prove_devices(ask.devices, broker.anchors, nonce=ask.device_nonce(), now=_utc(now), kept=known))


async def _judge_devices(
    ask: Ask, proven: Sequence[ProvenDevice], gathered: Gathered, broker: Broker, now: int
) -> tuple[list[AuthenticDevice], Gathered]:
    """With what is at hand; if a status is missing, or a manifest that is required, with what can be fetched.

    What could not be fetched matters only where the devices lack it then: that is Unavailable. A manifest that NVIDIA
    does not have is for appraisal to find missing.
    """
    required = _requires_manifests(ask, broker)

    async def judged(under: Gathered) -> list[AuthenticDevice]:
        return await _each(
            judge_devices(
                proven,
                under.collateral,
                broker.anchors,
                now=_utc(now),
                revocation_required=True,
                kept=under.kept.devices if under.kept else None,
            )
        )

    gathered, failure, devices = broker.collateral.at_hand_for_devices(gathered, proven, now), None, []
    try:
        devices = await judged(gathered)
        if not (required and without_manifests(devices)):
            return devices, gathered
    except AttestError as error:
        failure = error
    if not broker.collateral.curable_for_devices(failure):
        if failure is not None:
            raise failure
        return devices, gathered
    gathered, unavailable = await broker.collateral.gather_for_devices(gathered, proven, now)
    try:
        devices = await judged(gathered)
    except AttestError as error:
        if unavailable is None or not broker.collateral.curable_for_devices(error):
            raise
        raise unavailable from unavailable.__cause__
    if unavailable is not None and required and without_manifests(devices):
        raise unavailable
    return devices, gathered


def _requires_manifests(ask: Ask, broker: Broker) -> bool:
    """Whether a profile of what is asked for refuses devices without manifests; others have none fetched.

    A name that is no asset's counts as one that does: whether it is there must not show in what is fetched for it.
    """
    snapshot = broker.catalogue.current()
    if any(name not in snapshot.assets for name in ask.names):
        return True
    profiles = (snapshot.profiles.get(snapshot.assets[name].profile) for name in ask.names)
    return any(
        gpu is not None and not gpu.allow_missing_rim for gpu in (p.profile.gpu for p in profiles if p is not None)
    )


async def _each(steps: Iterator[T]) -> list[T]:
    found = []
    for step in steps:
        found.append(step)
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
