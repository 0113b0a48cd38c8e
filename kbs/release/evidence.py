"""Steps 2 and 3: what is needed to judge the platform; is the evidence authentic, and bound to this request?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from attest import binding
from attest.binding import bind
from attest.errors import Malformed
from attest.evidence import CpuEvidence, SnpEvidence
from attest.profile import Claims, bound_init_data
from attest.verify import verify
from kbs.model.release import Ask
from kbs.release.port import Broker

__all__ = ["Authentic", "authenticate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Authentic:
    """Claims that are proven for this request, with the bytes that prove it."""

    claims: Claims
    request: bytes
    transcript: bytes
    bound: bytes
    evidence: bytes


def authenticate(ask: Ask, broker: Broker, now: int) -> Authentic:
    """Raises AttestError at the first failure; nothing is stored but what verified."""
    if ask.devices:
        raise Malformed(
            "UNSUPPORTED_EVIDENCE", "attestation.devices", expected="none", got=f"{len(ask.devices)} devices"
        )
    request = ask.request(broker.deployment)
    transcript = ask.transcript(request.digest())
    bound = binding.bound(transcript)
    verified = verify(
        ask.evidence,
        broker.shelf.collateral(),
        broker.anchors,
        report_data=bound,
        now=_utc(now),
        revocation="required",
        kept=broker.shelf.kept(ask.evidence),
    )
    broker.shelf.keep(ask.evidence, verified.kept)
    init_data = bound_init_data(ask.init_data, verified.claims)
    return Authentic(
        claims=replace(verified.claims, init_data=init_data),
        request=request.encoded(),
        transcript=transcript,
        bound=bound,
        evidence=_encoded(ask.evidence, ask.init_data),
    )


def _encoded(evidence: CpuEvidence, init_data: bytes) -> bytes:
    """The preimage of `evidence_digest`."""
    if isinstance(evidence, SnpEvidence):
        return bind("sealgate/v1/evidence", "snp", evidence.report, list(evidence.certificates), init_data)
    return bind("sealgate/v1/evidence-tdx", evidence.quote, evidence.event_log, init_data)


def _utc(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1_000, UTC)
