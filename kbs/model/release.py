"""What a workload asks and what it gets, after the wire and before it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from attest import binding
from attest.evidence import CpuEvidence, DeviceEvidence
from kbs.model.log import Place

__all__ = ["Answer", "Ask", "Grant", "Lease", "WrappedKey"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A request for keys, or to renew the lease on them, as it was received; nothing in it is believed.

    `action` is `release` or `renew`; `lease_id` is empty unless renewing; `audience` is whom an attestation result is
    asked for, empty if none is.
    """

    challenge: bytes
    suite: int
    recipient_key: bytes
    holder_key: bytes
    evidence: CpuEvidence
    devices: Sequence[DeviceEvidence]
    init_data: bytes
    purpose: str
    names: tuple[str, ...]
    rehearsal: bool
    action: str = "release"
    lease_id: str = ""
    audience: str = ""

    @property
    def challenge_digest(self) -> bytes:
        """SHA-256 of the challenge: the idempotency key."""
        return hashlib.sha256(self.challenge).digest()

    def request(self, origin: str) -> binding.Request:
        """What is asked for, as it was bound into the evidence."""
        return binding.Request(
            action=self.action, origin=origin, purpose=self.purpose, names=self.names, lease_id=self.lease_id
        )

    def device_nonce(self) -> bytes:
        """What every device must have signed over, 32 bytes."""
        return binding.device_nonce(self.challenge, self.suite, self.recipient_key)

    def device_digests(self) -> list[bytes]:
        """One digest for each device, in request order."""
        return [binding.device_digest(d.kind, d.report, d.chain) for d in self.devices]

    def transcript(self, request: bytes, digests: Sequence[bytes] | None = None) -> bytes:
        """The preimage of `bound`, over this request's digest and the devices', or over other digests of devices."""
        digests = self.device_digests() if digests is None else digests
        return binding.transcript(self.challenge, self.suite, self.recipient_key, self.holder_key, request, digests)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Who holds which keys until when; times in ms since 1970."""

    lease_id: str
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WrappedKey:
    """One key under the recipient's public key: `enc || ct`."""

    key_name: str
    wrapped: bytes
    content_digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What was granted, as it is stored for retries; a rehearsal has neither keys nor lease.

    `result` is the attestation result for `audience`, both empty where none was asked for.
    """

    keys: tuple[WrappedKey, ...]
    lease: Lease | None
    result: str = ""
    audience: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A grant with its place in the log and the checkpoint that covers it."""

    grant: Grant
    place: Place
    checkpoint: bytes
    simulated: bool
