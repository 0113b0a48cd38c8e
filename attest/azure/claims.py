"""What a paravisor's evidence says beyond the hardware's own report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["ParavisorClaims"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParavisorClaims:
    """The vTPM's side: `pcrs` by number (bank SHA-256), `nonce` is the quote's extraData.

    `secure_boot` is what the paravisor says of the virtual machine, None if it does not; `user_data` is 64 bytes that
    the guest may have written, or empty. The attestation key is known by the SHA-256 of its SubjectPublicKeyInfo.
    """

    pcrs: Mapping[int, bytes]
    nonce: bytes
    secure_boot: bool | None
    user_data: bytes
    key_sha256: bytes
    reset_count: int
