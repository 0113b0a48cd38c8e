"""Rehearsal: everything that getting keys is, on a real machine, but for the keys.

So an image is tried before its measurement is activated, and a change of policy before it matters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sealgate.v1.key_release_pb2 import ReleaseKeysRequest, ReleaseKeysResponse

from attest import binding
from attest.tlog.entry import parse_leaf
from attest.tlog.proof_file import ProofFile
from clients.errors import NotTrusted
from clients.transport import Channel
from clients.trust import Trust
from clients.workload.attested import attested, insist
from clients.workload.challenge import get_challenge
from clients.workload.devices import NO_DEVICES, Devices
from clients.workload.receipt import Expected, check_receipt, proof_of
from clients.workload.tee import Tee

__all__ = ["Rehearsed", "rehearse"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsed:
    """The proof that it is logged, and the ticket under which an operator sees every check."""

    receipt: ProofFile
    ticket: str


def rehearse(
    channel: Channel,
    trust: Trust,
    tee: Tee,
    purpose: str,
    names: Sequence[str],
    *,
    challenge: bytes | None = None,
    devices: Devices = NO_DEVICES,
    init_data: bytes = b"",
) -> Rehearsed:
    """A rehearsal that would have been a release.

    Raises Denied, with a ticket, where it would not; and NotTrusted if a key or a lease comes back all the same.
    """
    challenge = challenge or get_challenge(channel, trust.origin)
    request = binding.Request(action="release", origin=trust.origin, purpose=purpose, names=tuple(names))
    proof = attested(tee, challenge, request, devices=devices, init_data=init_data)
    message = ReleaseKeysRequest(attestation=proof.message, purpose=purpose, names=names, validate_only=True)
    response = insist(lambda: channel.call("/sealgate.v1.KeyRelease/ReleaseKeys", message, ReleaseKeysResponse))
    if response.keys or response.HasField("lease"):
        raise NotTrusted("REHEARSAL", "the broker answered a rehearsal with keys or a lease")
    receipt = proof_of(response.receipt)
    expected = Expected(
        bound=proof.bound,
        wrapped_digests=[None] * len(names),
        names=names,
        lease_id="",
        entry_type="release.rehearsed",
    )
    check_receipt(response.receipt.leaf, receipt, expected, trust.informed(response.receipt.signers))
    return Rehearsed(receipt=receipt, ticket=str(parse_leaf(response.receipt.leaf).body.get("id", "")))
