"""A workload without its network: builds asks as the wire would deliver them, and opens what comes back."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sealgate.v1.attestation_pb2 import Attestation, HpkeSuite, SnpEvidence
from sealgate.v1.key_release_pb2 import ReleaseKeysRequest

from attest import binding
from attest import evidence as attest_evidence
from clients.workload.recipient import SUITE, RecipientKey
from kbs.model.release import Answer, Ask
from kbs.release.challenge import Challenges
from tests.makers.amd import Chip, healthy, pack, sign
from tests.makers.site import ASSET, MEASUREMENT, ORIGIN, PURPOSE

__all__ = ["Workload", "build", "holder_public", "report_for", "wire_request"]


@dataclass(frozen=True, kw_only=True)
class Workload:
    """An ask with the private half that can open the answer."""

    ask: Ask
    recipient: RecipientKey

    @property
    def bound(self) -> bytes:
        return binding.bound(self.ask.transcript(self.ask.request(ORIGIN).digest()))

    def open(self, answer: Answer) -> list[bytes]:
        """The released keys in the clear."""
        lease = answer.grant.lease
        if lease is None:
            return []
        return [
            self.recipient.open(
                k.wrapped,
                binding.key_info(self.bound, k.key_name, self.ask.purpose, lease.lease_id, k.content_digest),
            )
            for k in answer.grant.keys
        ]


def build(
    chip: Chip,
    challenges: Challenges,
    now: int,
    *,
    names: Sequence[str] = (ASSET,),
    purpose: str = PURPOSE,
    measurement: bytes = MEASUREMENT,
    rehearsal: bool = False,
    challenge: bytes | None = None,
    recipient: RecipientKey | None = None,
    init_data: bytes = b"",
    holder_key: bytes = b"",
    renews: str = "",
    collect: Callable[[bytes], attest_evidence.CpuEvidence] | None = None,
    **fields: int | bytes,
) -> Workload:
    """An ask over a fresh challenge, to renew the lease `renews` if given; every field of the report can be set.

    `collect` makes the evidence over the 64 bytes instead of `chip`.
    """
    recipient = recipient or RecipientKey()
    challenge = challenge or challenges.issue(now, os.urandom(16))
    action = "renew" if renews else "release"
    request = binding.Request(action=action, origin=ORIGIN, purpose=purpose, names=tuple(names), lease_id=renews)
    transcript = binding.transcript(challenge, SUITE, recipient.public, holder_key, request.digest(), [])
    bound = binding.bound(transcript)
    evidence: attest_evidence.CpuEvidence
    if collect is not None:
        evidence = collect(bound)
    else:
        given = {"report_data": bound, "measurement": measurement, **fields}
        base = healthy(chip.amd.product, version=3, kind=chip.kind, chip_id=chip.chip_id, tcb=chip.tcb)
        report = sign(chip.key, pack({**base, **given}))
        evidence = attest_evidence.SnpEvidence(report=report, certificates=chip.certificates)
    ask = Ask(
        challenge=challenge,
        suite=SUITE,
        recipient_key=recipient.public,
        holder_key=holder_key,
        evidence=evidence,
        devices=(),
        init_data=init_data,
        purpose=purpose,
        names=tuple(names),
        rehearsal=rehearsal,
        action=action,
        lease_id=renews,
    )
    return Workload(ask=ask, recipient=recipient)


def holder_public(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A holder key as it is bound: DER SubjectPublicKeyInfo."""
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def report_for(
    chip: Chip, challenge: bytes, recipient_key: bytes, origin: str, purpose: str, names: Sequence[str]
) -> bytes:
    """A report of the demo's image over one request."""
    request = binding.Request(action="release", origin=origin, purpose=purpose, names=tuple(names))
    transcript = binding.transcript(challenge, SUITE, recipient_key, b"", request.digest(), [])
    return chip.report(binding.bound(transcript), measurement=MEASUREMENT)


def wire_request(chip: Chip, challenge: bytes, *, purpose: str = PURPOSE, names: Sequence[str] = (ASSET,)) -> bytes:
    """A ReleaseKeysRequest as it goes over the wire, for a recipient key that is thrown away."""
    recipient = RecipientKey()
    attestation = Attestation(
        challenge=challenge,
        suite=HpkeSuite.HPKE_SUITE_MLKEM768_X25519,
        recipient_key=recipient.public,
        snp=SnpEvidence(
            report=report_for(chip, challenge, recipient.public, ORIGIN, purpose, names),
            certificates=chip.certificates,
        ),
    )
    return ReleaseKeysRequest(attestation=attestation, purpose=purpose, names=names).SerializeToString()
