"""One attested request: a fresh recipient key, evidence over it and over what is asked, as it travels.

Getting, rehearsing and renewing differ in what is asked; that it is bound into the evidence is the same, and done here.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from sealgate.v1.attestation_pb2 import (
    Attestation,
    AzureEvidence,
    DeviceEvidence,
    HpkeSuite,
    SnpEvidence,
    TdxEvidence,
)

from attest import binding
from attest import evidence as attest_evidence
from clients.errors import NotTrusted, Unavailable
from clients.workload.devices import NO_DEVICES, Devices
from clients.workload.recipient import SUITE, RecipientKey
from clients.workload.tee import Tee

__all__ = ["Attested", "attested", "insist", "result_of"]

_REPEATS = 2
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Attested:
    """What goes over the wire, what it binds, and the private half that can open the answer."""

    message: Attestation
    bound: bytes
    recipient: RecipientKey


def attested(
    tee: Tee,
    challenge: bytes,
    request: binding.Request,
    holder_key: bytes = b"",
    devices: Devices = NO_DEVICES,
    init_data: bytes = b"",
) -> Attested:
    """Evidence for one request, for a recipient key that is made here and used once; raises Unavailable.

    The devices' comes first, over challenge and recipient key: the CPU's commits to exactly what they gave.
    `holder_key` is the public half that a lease is to belong to, DER SubjectPublicKeyInfo, or empty. `init_data` is
    what the host gave at launch, as it gave it, or empty: the evidence holds its digest from the start.
    """
    recipient = RecipientKey()
    collected = devices.collect(binding.device_nonce(challenge, SUITE, recipient.public))
    digests = [binding.device_digest(d.kind, d.report, d.chain) for d in collected]
    transcript = binding.transcript(challenge, SUITE, recipient.public, holder_key, request.digest(), digests)
    bound = binding.bound(transcript)
    message = Attestation(
        challenge=challenge,
        suite=HpkeSuite.HPKE_SUITE_MLKEM768_X25519,
        recipient_key=recipient.public,
        holder_key=holder_key,
        devices=[DeviceEvidence(kind=d.kind, report=d.report, chain=d.chain) for d in collected],
        init_data=init_data,
    )
    evidence = tee.collect(bound)
    if isinstance(evidence, attest_evidence.TdxEvidence):
        message.tdx.CopyFrom(TdxEvidence(quote=evidence.quote, event_log=evidence.event_log))
    elif isinstance(evidence, attest_evidence.AzureEvidence):
        message.azure.CopyFrom(
            AzureEvidence(
                hcl_report=evidence.hcl_report,
                tpm_quote=evidence.tpm_quote,
                tpm_signature=evidence.tpm_signature,
                pcrs=evidence.pcrs,
                certificates=evidence.certificates,
                td_quote=evidence.td_quote,
            )
        )
    else:
        message.snp.CopyFrom(SnpEvidence(report=evidence.report, certificates=evidence.certificates))
    return Attested(message=message, bound=bound, recipient=recipient)


def insist(call: Callable[[], T]) -> T:
    """A lost answer is asked for again by the very same request: the broker then gives the stored one."""
    for _ in range(_REPEATS):
        try:
            return call()
        except Unavailable as error:
            if not error.lost:
                raise
    return call()


def result_of(given: str, audience: str) -> str:
    """The attestation result that came back, empty where none was asked for.

    It is for `audience` to verify, with the deployment's JWK Set: nothing here rests on it. Raises NotTrusted if it is
    missing, or is for somebody else: whom it is for is no part of the evidence, so that it may have been exchanged.
    """
    if not audience:
        return ""
    if not given:
        raise NotTrusted("RESULT_MISSING", f"an attestation result for {audience} was asked for, and none came")
    told = _audience(given)
    if told != audience:
        raise NotTrusted("RESULT_AUDIENCE", f"the attestation result is for {told or 'nobody'}, not for {audience}")
    return given


def _audience(token: str) -> str:
    """What a JWT says in `aud`, unverified; empty for what is none."""
    try:
        claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
        return str(claims["aud"])
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""
