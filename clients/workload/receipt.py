"""The check that stands between a reply and the first key that is opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sealgate.v1.receipt_pb2 import Receipt

from attest.errors import AttestError
from attest.tlog.entry import check_place, parse_leaf
from attest.tlog.proof_file import ProofFile, verify
from clients.errors import NotTrusted
from clients.trust import Trust

__all__ = ["Expected", "check_entry", "check_receipt", "proof_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What the leaf must say, computed from the client's own state and the bytes that it is about to open.

    A digest is None where nothing was wrapped; `lease_end` in ms is the end that the reply told, None without a lease.
    """

    bound: bytes
    wrapped_digests: Sequence[bytes | None]
    names: Sequence[str]
    lease_id: str
    entry_type: str = "release.granted"
    lease_end: int | None = None


def proof_of(receipt: Receipt) -> ProofFile:
    """The receipt as it is kept; raises NotTrusted for what is no proof."""
    try:
        return ProofFile(
            index=receipt.index, hashes=tuple(receipt.hashes), checkpoint=receipt.checkpoint, extra=receipt.leaf
        )
    except AttestError as error:
        raise NotTrusted(error.check, f"the receipt is no proof: {error}") from error


def check_receipt(leaf: bytes, proof: ProofFile, expected: Expected, trust: Trust) -> None:
    """Raises NotTrusted at the first of these that does not hold.

    1. the leaf is one of our schema and of a log of the pinned deployment that the trust file lists
    2. a checkpoint of that log, signed by it, includes the leaf; the tree's size is the checkpoint's
    3. the leaf stands at the place it claims
    4. it is simulated only where the trust file is
    5. it is of the type expected, it binds this request, each wrapped key is in it, and so is the lease
    """
    body = check_entry(leaf, proof, trust)  # 1 to 4
    try:
        keys = [(line["asset"], line["wrapped_digest"]) for line in body["keys"]]
        lease = body["lease"] or {"id": "", "end": None}
        told = {"type": body["type"], "bound": body["bound"], "lease": lease["id"], "end": lease["end"]}
    except (KeyError, TypeError) as error:
        raise NotTrusted("RECEIPT_BODY", "the receipt's entry is not a release") from error
    _equal("RECEIPT_TYPE", "entry type", expected.entry_type, told["type"])  # 5
    _equal("RECEIPT_BOUND", "bound", expected.bound.hex(), told["bound"])
    digests = [None if digest is None else digest.hex() for digest in expected.wrapped_digests]
    _equal("RECEIPT_KEYS", "keys", list(zip(expected.names, digests, strict=True)), keys)
    _equal("RECEIPT_LEASE", "lease", expected.lease_id, told["lease"])
    _equal("RECEIPT_LEASE_END", "lease's end", expected.lease_end, told["end"])


def check_entry(leaf: bytes, proof: ProofFile, trust: Trust) -> Mapping[str, Any]:
    """Steps 1 to 4 of `check_receipt`: the body of an entry that is proven to be in a log of the trust file."""
    try:
        parsed = parse_leaf(leaf)
        key = trust.log_key(parsed.header.log)  # 1
        verify(proof, leaf, key.name, [key])  # 2
        check_place(parsed.header, key.name, proof.index)  # 3
    except AttestError as error:
        raise NotTrusted(error.check, f"the receipt does not prove the release: {error}") from error
    body: Mapping[str, Any] = parsed.body
    _equal("SIMULATED", "simulated", trust.simulated, body.get("simulated"))  # 4
    return body


def _equal(check: str, what: str, expected: object, got: object) -> None:
    if expected != got:
        raise NotTrusted(check, f"the receipt's {what} is {got}, expected {expected}")
