"""A workload's story: from nothing to keys, in one function."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sealgate.v1.key_release_pb2 import ReleaseKeysRequest, ReleaseKeysResponse

from attest import binding
from attest.tlog.proof_file import ProofFile
from clients.errors import NotTrusted
from clients.transport import Channel
from clients.trust import Trust
from clients.workload.attested import attested, insist, result_of
from clients.workload.challenge import get_challenge
from clients.workload.devices import NO_DEVICES, Devices
from clients.workload.receipt import Expected, check_receipt, proof_of
from clients.workload.tee import Tee

__all__ = ["Released", "ReleasedKey", "get_keys"]

_RELEASE = "/sealgate.v1.KeyRelease/ReleaseKeys"
_VERSION = re.compile(r"(tenants/[a-z0-9-]+/assets/[a-z0-9-]+)/keyVersions/([1-9][0-9]{0,9})", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ReleasedKey:
    """A key in the clear: for an asset's key version its private half. `content_digest` is empty or 32 bytes."""

    key_name: str
    content_digest: bytes
    secret: bytes

    def __repr__(self) -> str:
        return f"<ReleasedKey {self.key_name}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """Keys, the lease on them, the receipt in the form in which it is kept, and the attestation result if asked for."""

    keys: tuple[ReleasedKey, ...]
    lease_id: str
    lease_end: datetime
    receipt: ProofFile
    result: str = ""


def get_keys(
    channel: Channel,
    trust: Trust,
    tee: Tee,
    purpose: str,
    names: Sequence[str],
    *,
    challenge: bytes | None = None,
    holder_key: bytes = b"",
    devices: Devices = NO_DEVICES,
    init_data: bytes = b"",
    audience: str = "",
) -> Released:
    """Gets the newest key of each named asset.

    1. a challenge from the deployment that the trust file pins
    2. a recipient key for this request alone, and evidence over both and over what is asked
    3. the keys, wrapped
    4. the receipt, checked against our own state: nothing is opened before
    5. the keys, opened

    `challenge` is one that was got already; `holder_key` the public half that the lease is to belong to, without
    which it cannot be renewed; `devices` are attested with the CPU; `init_data` is what the host gave at launch;
    `audience` is a relying party that a result is asked for.
    Raises Denied, Locked, Unavailable, NotTrusted.
    """
    challenge = challenge or get_challenge(channel, trust.origin)  # 1
    request = binding.Request(action="release", origin=trust.origin, purpose=purpose, names=tuple(names))
    proof = attested(tee, challenge, request, holder_key, devices, init_data)  # 2
    message = ReleaseKeysRequest(attestation=proof.message, purpose=purpose, names=names, result_audience=audience)
    response = insist(lambda: channel.call(_RELEASE, message, ReleaseKeysResponse))  # 3
    infos = [
        binding.key_info(proof.bound, k.key_name, purpose, response.lease.lease_id, k.content_digest)
        for k in response.keys
    ]
    receipt = _checked(response, infos, proof.bound, names, trust)  # 4
    keys = tuple(
        ReleasedKey(key_name=k.key_name, content_digest=k.content_digest, secret=proof.recipient.open(k.wrapped, info))
        for k, info in zip(response.keys, infos, strict=True)
    )  # 5
    return Released(
        keys=keys,
        lease_id=response.lease.lease_id,
        lease_end=response.lease.end_time.ToDatetime(tzinfo=UTC),
        receipt=receipt,
        result=result_of(response.attestation_result, audience),
    )


def _checked(
    response: ReleaseKeysResponse, infos: Sequence[bytes], bound: bytes, names: Sequence[str], trust: Trust
) -> ProofFile:
    """Step 4."""
    assets = []
    for key in response.keys:
        match = _VERSION.fullmatch(key.key_name)
        if match is None:
            raise NotTrusted("KEY_NAME", f"the broker named a key {key.key_name!r}, which is no key version")
        assets.append(match[1])
    if assets != list(names):
        raise NotTrusted("KEY_NAME", f"asked for {', '.join(names)}, got keys of {', '.join(assets) or 'nothing'}")
    digests = [binding.wrapped_digest(info, k.wrapped) for k, info in zip(response.keys, infos, strict=True)]
    proof = proof_of(response.receipt)
    expected = Expected(
        bound=bound,
        wrapped_digests=digests,
        names=names,
        lease_id=response.lease.lease_id,
        lease_end=response.lease.end_time.ToMilliseconds(),
    )
    check_receipt(response.receipt.leaf, proof, expected, trust.informed(response.receipt.signers))
    return proof
