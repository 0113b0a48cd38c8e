"""Evidence of a guest under Azure's paravisor: the HCL report that was made at boot, and a quote of the vTPM now.

Source: Microsoft, "Azure confidential VMs: guest attestation design". The report lies in an NV index of the vTPM and
vouches for the key that quotes are signed with, which lies beside it; what is asked for here is bound by the quote's
nonce. On TDX the host turns the TDREPORT in the report into a TD quote, which alone can be verified elsewhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TypeVar

from attest.azure.hcl import TDX, HclReport, check_variable_data, parse_hcl
from attest.errors import AttestError, NotBound
from attest.evidence import AzureEvidence
from attest.tpm import inspect_tpm_quote
from clients.errors import Unavailable
from clients.workload.imds import Imds
from clients.workload.tee import REPORT_DATA
from clients.workload.tpm import FIXED_TPM, RESTRICTED, SIGN, Tpm
from clients.workload.tpm_codes import HANDLE
from clients.workload.tpm_wire import TpmRefused

__all__ = ["AK", "HCL_REPORT", "AzureGuest"]

HCL_REPORT = 0x01400001  # NV index
AK = 0x81000003  # persistent handle
_TRIES = 4
_AGAIN_S = 2.0
_REPORT_DATA = {2: slice(0x50, 0x90), 4: slice(0x80, 0xC0)}  # in an SNP report, and in a TDREPORT
_KEY = FIXED_TPM | RESTRICTED | SIGN
T = TypeVar("T")


class AzureGuest:
    """The door: the guest's vTPM, and its host's metadata service."""

    simulated = False

    def __init__(self, tpm: Tpm, imds: Imds) -> None:
        self._tpm = tpm
        self._imds = imds

    def is_there(self) -> bool:
        """Whether there is a paravisor: whether the vTPM has the index of its report. Raises Unavailable."""
        return self._tpm.has_index(HCL_REPORT)

    def collect(self, report_data: bytes) -> AzureEvidence:
        """Evidence over these 64 bytes.

        1. the HCL report, whole: its own digest is in the hardware's report
        2. the vTPM's key is the one that it vouches for
        3. all PCRs, and a quote over them with SHA-256 of the 64 bytes for a nonce; nothing extended one meanwhile
        4. what the host adds: a TD quote over the TDREPORT, or the certificates of the chip

        Raises Unavailable. What is checked is for the sake of a sentence here: the broker believes none of it.
        """
        if len(report_data) != REPORT_DATA:
            raise ValueError(f"report data are {REPORT_DATA} bytes")
        blob, hcl = _again(self._report, "what it signed is not what lies beside it")  # 1
        self._check_key(hcl)  # 2
        nonce = hashlib.sha256(report_data).digest()
        message, signature, pcrs = _again(lambda: self._quote(nonce), "PCRs were extended while they were quoted")  # 3
        is_td = hcl.kind == TDX
        return AzureEvidence(
            hcl_report=blob,
            tpm_quote=message,
            tpm_signature=signature,
            pcrs=pcrs,
            certificates=() if is_td else self._imds.certificates(),  # 4
            td_quote=self._imds.td_quote(hcl.hardware) if is_td else b"",
        )

    def _report(self) -> tuple[bytes, HclReport] | None:
        """Step 1: None if another report was made while it was read, as writing the guest's own data to it does."""
        blob = self._tpm.nv_read(HCL_REPORT)
        try:
            hcl = parse_hcl(blob)
            check_variable_data(hcl, hcl.hardware[_REPORT_DATA[hcl.kind]])
        except NotBound:
            return None
        except AttestError as error:
            raise Unavailable(
                f"the paravisor's report in NV index {HCL_REPORT:#010x} cannot be read: {error}"
            ) from error
        return blob, hcl

    def _check_key(self, hcl: HclReport) -> None:
        """Step 2: a key that the report does not vouch for, or that signs what the TPM did not make, proves nothing."""
        try:
            modulus, attributes = self._tpm.public(AK)
        except TpmRefused as error:
            if error.base != HANDLE:
                raise
            raise Unavailable(f"the vTPM has no attestation key at {AK:#010x}: it was evicted") from error
        if modulus != hcl.modulus:
            raise Unavailable(f"the vTPM's key at {AK:#010x} is not the one that the paravisor's report vouches for")
        if attributes & _KEY != _KEY:
            raise Unavailable(f"the vTPM's key at {AK:#010x} is no restricted signing key of this TPM alone")

    def _quote(self, nonce: bytes) -> tuple[bytes, bytes, tuple[bytes, ...]] | None:
        """Step 3: None if a PCR was extended between the reading and the quote, as units of a boot do."""
        pcrs = self._tpm.pcrs()
        message, signature = self._tpm.quote(AK, nonce)
        try:
            quoted = inspect_tpm_quote(message, pcrs)
        except NotBound:
            return None
        except AttestError as error:
            raise Unavailable(f"what the vTPM signed is no quote of its PCRs: {error}") from error
        if quoted.extra_data != nonce:
            raise Unavailable("the vTPM's quote is over another nonce than it was given")
        return message, signature, pcrs


def _again(attempt: Callable[[], T | None], what: str) -> T:
    for _ in range(_TRIES):
        found = attempt()
        if found is not None:
            return found
    raise Unavailable(f"the vTPM gave nothing whole in {_TRIES} tries: {what}", retry_after=_AGAIN_S)
