"""A throwaway paravisor: a vTPM's key, quotes over any PCRs and nonce, and the HCL report that vouches for the key."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256

__all__ = ["PCR_VALUES", "attestation_key", "hcl_report", "jwk", "key_of", "quote", "report_data_of", "variable_data"]

PCR_VALUES = tuple(hashlib.sha256(b"pcr %d" % number).digest() for number in range(24))


@cache
def key_of(size: int) -> RSAPrivateKey:
    return generate_private_key(public_exponent=65_537, key_size=size)


def attestation_key() -> RSAPrivateKey:
    """One key for the whole test run; making one takes longer than using it."""
    return key_of(2_048)


def _number(value: int) -> str:
    data = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def jwk(key: RSAPrivateKey | RSAPublicKey, kid: str = "HCLAkPub", **changed: object) -> dict[str, object]:
    numbers = (key if isinstance(key, RSAPublicKey) else key.public_key()).public_numbers()
    found: dict[str, object] = {"kid": kid, "key_ops": ["sign"], "kty": "RSA", "e": "AQAB", "n": _number(numbers.n)}
    return found | changed


def variable_data(**changed: object) -> bytes:
    document: dict[str, object] = {
        "keys": [jwk(attestation_key()), jwk(attestation_key(), "HCLEkPub")],
        "vm-configuration": {"console-enabled": True, "secure-boot": True, "tpm-enabled": True},
        "user-data": "00" * 64,
    }
    return json.dumps(document | changed, separators=(",", ":")).encode()


def report_data_of(variable: bytes) -> bytes:
    return hashlib.sha256(variable).digest() + bytes(32)


def hcl_report(hardware: bytes, variable: bytes, *, kind: int = 2, **fields: int) -> bytes:
    """`fields` replaces header values by name: version, size, request, status, data_version, data_kind, hash_type..."""
    length = len(variable)
    given = {
        "version": 2, "size": 32 + 1_184 + 20 + length, "request": 2, "status": 0, "data_size": 20 + length,
        "data_version": 1, "data_kind": kind, "hash_type": 1, "length": length,
    } | fields  # fmt: skip
    head = struct.pack("<4s4I12x", b"HCLA", *(given[name] for name in ("version", "size", "request", "status")))
    data = struct.pack(
        "<5I", *(given[name] for name in ("data_size", "data_version", "data_kind", "hash_type", "length"))
    )
    return head + hardware.ljust(1_184, b"\0") + data + variable + bytes(64)


@dataclass(frozen=True, kw_only=True)
class Quote:
    message: bytes
    signature: bytes
    pcrs: tuple[bytes, ...]


def quote(
    nonce: bytes,
    *,
    selected: Sequence[int] = tuple(range(24)),
    pcrs: Sequence[bytes] | None = None,
    key: RSAPrivateKey | None = None,
    magic: int = 0xFF544347,
    kind: int = 0x8018,
    banks: Sequence[tuple[int, int]] = ((0x000B, 3),),
    safe: int = 1,
    tail: bytes = b"",
) -> Quote:
    """A signed TPMS_ATTEST over the PCRs `selected`."""
    values = tuple(PCR_VALUES[number] for number in selected) if pcrs is None else tuple(pcrs)
    bits = sum(1 << number for number in selected).to_bytes(3, "little")
    select = b"".join(struct.pack(">HB", bank, size) + bits.ljust(size, b"\0")[:size] for bank, size in banks)
    digest = hashlib.sha256(b"".join(values)).digest()
    message = (
        struct.pack(">IHH34sH", magic, kind, 34, b"\0\x0b" + bytes(32), len(nonce)) + nonce
        + struct.pack(">QIIBQ", 1_000, 3, 0, safe, 0x2020_0312_0012_0003)
        + struct.pack(">I", len(banks)) + select + struct.pack(">H", len(digest)) + digest + tail
    )  # fmt: skip
    signature = (key or attestation_key()).sign(message, PKCS1v15(), SHA256())
    return Quote(message=message, signature=signature, pcrs=values)
