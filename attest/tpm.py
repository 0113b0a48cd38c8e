"""A TPM 2.0 quote: signed by an attestation key that the caller trusts for a reason of its own, over PCRs and a nonce.

Source: TCG "Trusted Platform Module Library", Part 2: TPMS_ATTEST (10.12.12), TPMS_QUOTE_INFO (10.12.4),
TPML_PCR_SELECTION (10.9.7). Integers are big-endian. The signature is RSASSA-PKCS1-v1_5 with SHA-256.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from attest.errors import Malformed, NotAuthentic, NotBound
from attest.reader import Reader

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

__all__ = ["PCRS", "TpmQuote", "inspect_tpm_quote", "verify_tpm_quote"]

PCRS = 24
_MAGIC = 0xFF544347
_QUOTE = 0x8018
_SHA256 = 0x000B
_MAX = 1_024
_MAX_NAME, _MAX_DATA, _MAX_DIGEST = 68, 66, 64


@dataclass(frozen=True, slots=True, kw_only=True)
class TpmQuote:
    """What an authentic quote says: the nonce in `extra_data`, and the values of the PCRs it was made over.

    `reset_count` and `restart_count` are the TPM's, unkeyed or not as the TPM makes them; they are for people.
    """

    extra_data: bytes
    pcrs: Mapping[int, bytes]
    reset_count: int
    restart_count: int
    firmware_version: int


def verify_tpm_quote(message: bytes, signature: bytes, pcrs: Sequence[bytes], key: RSAPublicKey) -> TpmQuote:
    """Verifies a quote and that `pcrs`, 32 bytes each in ascending order, are just those it selects.

    Raises NotAuthentic TPM_SIGNATURE; Malformed TPM_FORMAT for what is no quote over one selection of SHA-256 PCRs;
    NotBound TPM_PCR where the PCRs given are not those selected, in number or in value. The nonce is the caller's.
    """
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415  # who makes a quote does without
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15  # noqa: PLC0415
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415

    _check_size(message)
    try:
        key.verify(signature, message, PKCS1v15(), SHA256())
    except InvalidSignature:
        raise NotAuthentic(
            "TPM_SIGNATURE", "tpm.signature", expected="a signature by the attestation key", got="another"
        ) from None
    return inspect_tpm_quote(message, pcrs)


def inspect_tpm_quote(message: bytes, pcrs: Sequence[bytes]) -> TpmQuote:
    """As `verify_tpm_quote`, but of nobody's signature: for the guest whose TPM made it, never a reason to believe."""
    _check_size(message)
    reader = Reader(message, path="tpm.quote", length="TPM_FORMAT", reserved="TPM_FORMAT")
    _is("magic", _int(reader, 4), _MAGIC)
    _is("type", _int(reader, 2), _QUOTE)
    _sized(reader, "qualifiedSigner", _MAX_NAME)
    extra_data = _sized(reader, "extraData", _MAX_DATA)
    _int(reader, 8)  # clock
    reset_count, restart_count = _int(reader, 4), _int(reader, 4)
    safe = reader.u8()
    if safe > 1:
        raise Malformed("TPM_FORMAT", "tpm.quote.clockInfo.safe", expected="0 or 1", got=safe)
    firmware_version = _int(reader, 8)
    selected = _selection(reader)
    digest = _sized(reader, "pcrDigest", _MAX_DIGEST)
    reader.end()
    return TpmQuote(
        extra_data=extra_data,
        pcrs=_matched(selected, digest, pcrs),
        reset_count=reset_count,
        restart_count=restart_count,
        firmware_version=firmware_version,
    )


def _check_size(message: bytes) -> None:
    if len(message) > _MAX:
        raise Malformed("TPM_FORMAT", "tpm.quote", expected=f"at most {_MAX} bytes", got=len(message))


def _selection(reader: Reader) -> tuple[int, ...]:
    """One selection of the bank of SHA-256: with two banks, or another, the digest would be of something else."""
    _is("pcrSelect.count", _int(reader, 4), 1)
    _is("pcrSelect.hash", _int(reader, 2), _SHA256)
    _is("pcrSelect.sizeofSelect", reader.u8(), PCRS // 8)
    bits = int.from_bytes(reader.take(PCRS // 8), "little")
    return tuple(number for number in range(PCRS) if bits >> number & 1)


def _matched(selected: Sequence[int], digest: bytes, pcrs: Sequence[bytes]) -> Mapping[int, bytes]:
    if not selected or len(pcrs) != len(selected) or any(len(value) != 32 for value in pcrs):
        expected = f"32 bytes for each of PCR {', '.join(map(str, selected)) or '(none selected)'}"
        raise NotBound("TPM_PCR", "tpm.pcrs", expected=expected, got=f"{len(pcrs)} values")
    computed = hashlib.sha256(b"".join(pcrs)).digest()
    if computed != digest:
        raise NotBound("TPM_PCR", "tpm.quote.pcrDigest", expected=digest, got=computed)
    return dict(zip(selected, pcrs, strict=True))


def _int(reader: Reader, size: int) -> int:
    return int.from_bytes(reader.take(size), "big")


def _sized(reader: Reader, field: str, limit: int) -> bytes:
    """A TPM2B: its size in 2 bytes, then as many."""
    size = _int(reader, 2)
    if size > limit:
        raise Malformed("TPM_FORMAT", f"tpm.quote.{field}", expected=f"at most {limit} bytes", got=size)
    return reader.take(size)


def _is(field: str, got: int, expected: int) -> None:
    if got != expected:
        raise Malformed("TPM_FORMAT", f"tpm.quote.{field}", expected=f"{expected:#x}", got=f"{got:#x}")
