"""What goes into verification: evidence, and collateral to judge it with. Both are untrusted."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "AzureEvidence",
    "Collateral",
    "CpuEvidence",
    "DeviceEvidence",
    "HardwareEvidence",
    "SnpEvidence",
    "TdxCollateral",
    "TdxEvidence",
    "read_certificates",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SnpEvidence:
    """An attestation report and certificates that came with it: DER, any order, candidates and nothing more."""

    report: bytes
    certificates: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TdxEvidence:
    """A quote, whole and untouched, and the log of what was extended into the RTMRs (CCEL or dstack), or nothing."""

    quote: bytes
    event_log: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureEvidence:
    """Evidence of a guest under Azure's paravisor: the HCL report (NV index 0x01400001), and a quote of its vTPM.

    `tpm_quote` is a TPMS_ATTEST, `pcrs` the values of those that it selects, ascending. On SNP `certificates` may come
    along; on TDX `td_quote` has to, since the TDREPORT inside the HCL report can be verified by its own machine alone.
    """

    hcl_report: bytes
    tpm_quote: bytes
    tpm_signature: bytes
    pcrs: tuple[bytes, ...]
    certificates: tuple[bytes, ...] = ()
    td_quote: bytes = b""


HardwareEvidence = SnpEvidence | TdxEvidence
CpuEvidence = HardwareEvidence | AzureEvidence


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceEvidence:
    """One device's evidence, fields untouched. `kind` is `nvidia-gpu` or `nvidia-switch`."""

    kind: str
    report: bytes
    chain: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class TdxCollateral:
    """What Intel publishes about one platform family, each part exactly as it was received.

    Source: Intel "PCS API" version 4; the parts are those of Intel's QuoteCollateral. `tcb_info` and `qe_identity` are
    whole bodies of JSON, the signed object beside its signature. Issuer chains are PEM, CRLs DER or PEM.
    `pck_certificate_chain` (PEM) is needed for quotes that do not carry theirs.
    """

    tcb_info: bytes
    tcb_info_issuer_chain: bytes
    qe_identity: bytes
    qe_identity_issuer_chain: bytes
    pck_crl: bytes
    pck_crl_issuer_chain: bytes
    root_ca_crl: bytes
    pck_certificate_chain: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Collateral:
    """What the verifier has at hand: certificates and revocation lists, DER, as untrusted as the evidence.

    `tdx` may hold the collateral of several platform families; the one whose FMSPC is the quote's is used. `rims` are
    NVIDIA's manifests as they are published (signed XML), `ocsp` responses of its responder (DER).
    """

    certificates: tuple[bytes, ...] = ()
    crls: tuple[bytes, ...] = ()
    tdx: tuple[TdxCollateral, ...] = ()
    rims: tuple[bytes, ...] = ()
    ocsp: tuple[bytes, ...] = ()


def read_certificates(data: bytes, *, path: str = "certificates") -> tuple[bytes, ...]:
    """The certificates of a file, each as DER: one in DER, or any number in PEM. Raises Malformed CERT_MALFORMED."""
    from attest.x509 import load_pem_or_der  # noqa: PLC0415  # who only passes evidence on does without

    return tuple(certificate.der for certificate in load_pem_or_der(data, path=path))
