"""Steps 2 and 3: what is needed to judge the platform; is the evidence authentic, and bound to this request?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from attest import binding
from attest.binding import bind
from attest.errors import AttestError, Malformed
from attest.evidence import CpuEvidence, SnpEvidence
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
    if ask.devices:
        raise Malformed(
            "UNSUPPORTED_EVIDENCE", "attestation.devices", expected="none", got=f"{len(ask.devices)} devices"
        )
    request = ask.request(broker.deployment)
    transcript = ask.transcript(request.digest())
    bound = binding.bound(transcript)
    verified, used = await _verify(ask.evidence, broker, bound, now)
    init_data = bound_init_data(ask.init_data, verified.claims)
    return Authentic(
        claims=replace(verified.claims, init_data=init_data),
        request=request.encoded(),
        transcript=transcript,
        bound=bound,
        evidence=_encoded(ask.evidence, ask.init_data),
        collateral=used,
    )


async def _verify(evidence: CpuEvidence, broker: Broker, bound: bytes, now: int) -> tuple[Verified, Used]:
    """With what is at hand; only if that lacks something, and nothing else is wrong, with what can be fetched."""

    def under(gathered: Gathered) -> tuple[Verified, Used]:
        verified = verify(
            evidence,
            gathered.collateral,
            broker.anchors,
            report_data=bound,
            now=_utc(now),
            revocation="required",
            kept=gathered.kept,
        )
        return verified, broker.collateral.keep(evidence, gathered, verified.kept)

    try:
        return under(broker.collateral.at_hand(evidence, now))
    except AttestError as error:
        more = await broker.collateral.gather(evidence, error, report_data=bound, now=now)
        if more is None:
            raise
    return under(more)


def _encoded(evidence: CpuEvidence, init_data: bytes) -> bytes:
    """The preimage of `evidence_digest`."""
    if isinstance(evidence, SnpEvidence):
        return bind("sealgate/v1/evidence", "snp", evidence.report, list(evidence.certificates), init_data)
    return bind("sealgate/v1/evidence-tdx", evidence.quote, evidence.event_log, init_data)


def _utc(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1_000, UTC)
