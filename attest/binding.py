"""What is bound into REPORT_DATA: one transcript for request, recipient key, CPU and devices.

`bind()` turns fields into bytes in exactly one way. The domain fixes number, order and type of the fields that follow;
any change of them is a new domain. Every digest in this product that stands for more than one value is made with it.

Source: the design of this product, docs/architecture.md, section "Binding".
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = [
    "Request",
    "bind",
    "bound",
    "device_digest",
    "device_nonce",
    "key_info",
    "transcript",
    "wrapped_digest",
    "wrapped_preimage",
]

_TYPE_ERROR = "bind() takes bytes, str, int and flat lists of these, got {}"


def bind(domain: str, *fields: object) -> bytes:
    """The unambiguous encoding of `fields` under `domain`.

    Items are bytes, str (UTF-8) or a non-negative int below 2**64 (8 bytes, big-endian), each behind its length
    (4 bytes, big-endian); a list is its count followed by its items and never nests. Absent is empty bytes.
    Raises TypeError for anything else, OverflowError for an int out of range.
    """
    return b"".join(map(_field, (domain, *fields)))


def _field(field: object) -> bytes:
    if isinstance(field, list):
        return len(field).to_bytes(4, "big") + b"".join(map(_item, field))
    return _item(field)


def _item(item: object) -> bytes:
    if type(item) is int:
        item = item.to_bytes(8, "big")
    elif isinstance(item, str):
        item = item.encode("utf-8")
    if not isinstance(item, bytes):
        raise TypeError(_TYPE_ERROR.format(type(item).__name__))
    return len(item).to_bytes(4, "big") + item


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked for, as far as it is inside the evidence.

    `action` is `release`, `renew` or `identity`; `origin` the deployment's constant name; `names` full resource names
    as sent, in order; `lease_id` is empty unless renewing.
    """

    action: str
    origin: str
    purpose: str
    names: tuple[str, ...]
    lease_id: str = ""

    def encoded(self) -> bytes:
        """The preimage of `digest`."""
        return bind("sealgate/v1/request", self.action, self.origin, self.purpose, list(self.names), self.lease_id)

    def digest(self) -> bytes:
        """SHA-256 of the request, 32 bytes."""
        return hashlib.sha256(self.encoded()).digest()


def device_nonce(challenge: bytes, suite: int, recipient_key: bytes) -> bytes:
    """The 32-byte nonce that devices sign over, so that they need no challenge of their own."""
    return hashlib.sha256(bind("sealgate/v1/device-nonce", challenge, suite, recipient_key)).digest()


def device_digest(kind: str, report: bytes, chain: bytes) -> bytes:
    """SHA-384 of one device's evidence; `report` and `chain` are the bytes of the request's fields untouched."""
    return hashlib.sha384(bind("sealgate/v1/device", kind, report, chain)).digest()


def transcript(
    challenge: bytes, suite: int, recipient_key: bytes, holder_key: bytes, request: bytes, devices: Sequence[bytes]
) -> bytes:
    """The preimage of `bound`. `request` is `Request.digest()`; `devices` are device digests in request order."""
    return bind("sealgate/v1/transcript", challenge, suite, recipient_key, holder_key, request, list(devices))


def bound(encoded_transcript: bytes) -> bytes:
    """SHA-512 of the transcript: the 64 bytes of SNP REPORT_DATA and TDX REPORTDATA."""
    return hashlib.sha512(encoded_transcript).digest()


def key_info(bound: bytes, key_name: str, purpose: str, lease_id: str, content_digest: bytes) -> bytes:
    """The HPKE `info` of one released key: all its context, since HPKE here has no AAD."""
    return bind("sealgate/v1/release", bound, key_name, purpose, lease_id, content_digest)


def wrapped_preimage(info: bytes, wrapped: bytes) -> bytes:
    """The preimage of `wrapped_digest`."""
    return bind("sealgate/v1/wrapped", info, wrapped)


def wrapped_digest(info: bytes, wrapped: bytes) -> bytes:
    """SHA-256 that stands in the log entry for one wrapped key, 32 bytes."""
    return hashlib.sha256(wrapped_preimage(info, wrapped)).digest()
