"""The check that stands between a reply and the first key that is opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from attest.errors import AttestError
from attest.tlog.entry import check_place, parse_leaf
from attest.tlog.proof_file import ProofFile, verify
from clients.errors import NotTrusted
from clients.trust import Trust

__all__ = ["Expected", "check_receipt"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What the leaf must say, computed from the client's own state and the bytes that it is about to open."""

    bound: bytes
    wrapped_digests: Sequence[bytes]
    names: Sequence[str]
    lease_id: str


def check_receipt(leaf: bytes, proof: ProofFile, expected: Expected, trust: Trust) -> None:
    """Raises NotTrusted at the first of these that does not hold.

    1. the leaf is one of our schema and of a log of the pinned deployment that the trust file lists
    2. a checkpoint of that log, signed by it, includes the leaf; the tree's size is the checkpoint's
    3. the leaf stands at the place it claims
    4. it grants, it binds this request, each wrapped key is in it, and so is the lease
    5. it is simulated only where the trust file is
    """
    try:
        parsed = parse_leaf(leaf)
        key = trust.log_key(parsed.header.log)  # 1
        verify(proof, leaf, key.name, [key])  # 2
        check_place(parsed.header, key.name, proof.index)  # 3
    except AttestError as error:
        raise NotTrusted(error.check, f"the receipt does not prove the release: {error}") from error
    body: Mapping[str, Any] = parsed.body
    try:
        keys = [(line["asset"], line["wrapped_digest"]) for line in body["keys"]]
        lease = body["lease"]["id"] if body["lease"] else ""
        told = {"type": body["type"], "bound": body["bound"], "simulated": body["simulated"]}
    except (KeyError, TypeError) as error:
        raise NotTrusted("RECEIPT_BODY", "the receipt's entry is not a release") from error
    _equal("RECEIPT_TYPE", "entry type", "release.granted", told["type"])  # 4
    _equal("RECEIPT_BOUND", "bound", expected.bound.hex(), told["bound"])
    wanted = [(name, d.hex()) for name, d in zip(expected.names, expected.wrapped_digests, strict=True)]
    _equal("RECEIPT_KEYS", "keys", wanted, keys)
    _equal("RECEIPT_LEASE", "lease", expected.lease_id, lease)
    _equal("SIMULATED", "simulated", trust.simulated, told["simulated"])  # 5


def _equal(check: str, what: str, expected: object, got: object) -> None:
    if expected != got:
        raise NotTrusted(check, f"the receipt's {what} is {got}, expected {expected}")
