"""What a device's evidence proves by itself, under the pinned root: nothing that NVIDIA publishes is needed yet.

Sources: attest/gpu/report.py and certs.py name theirs. The signature covers request and response as they were received.
A device's report has no field for the machine that it is in: which evidence belongs together is bound by the measured
guest that collected it (attest/binding.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from attest.anchors import Anchors
from attest.ecdsa import verify_p384
from attest.errors import NotAuthentic, NotBound
from attest.evidence import DeviceEvidence
from attest.finding import Finding, Outcome
from attest.gpu.certs import VerifiedDeviceChain, authenticate
from attest.gpu.opaque import Opaque
from attest.gpu.report import Report, parse

__all__ = ["ProvenDevice", "prove_device"]

_NONCE_SIZE = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenDevice:
    """A report that a device of this chain signed. Whether NVIDIA still stands by the chain is not known yet."""

    report: Report
    chain: VerifiedDeviceChain
    findings: tuple[Finding, ...]


def prove_device(
    evidence: DeviceEvidence,
    anchors: Anchors,
    *,
    nonce: bytes | None,
    now: datetime,
    opaque: Mapping[tuple[str, bytes], Opaque],
    chains: Mapping[bytes, VerifiedDeviceChain],
) -> ProvenDevice:
    """Everything that needs the evidence and the pinned roots alone.

    1. the report is an SPDM 1.1 report of its kind     4. the leaf's key signed the report
    2. its chain ends in a pinned device root           5. firmware, chip and PDI are the certificates'
    3. each certificate is valid at `now`               6. it was made for `nonce`

    With `nonce` None step 6 is a skipped finding. `opaque` and `chains` are what was read before (KeptDevices). Raises
    AttestError.
    """
    report = parse(evidence.report, evidence.kind, opaque)  # 1
    chain = chains.get(evidence.chain)
    if chain is None or chain.root not in anchors.nvidia or chain.family.kind != evidence.kind:
        chain = authenticate(evidence.chain, evidence.kind, anchors)  # 2
    chain.window.check(now, path="chain")  # 3
    r, s = report.signature
    verify_p384(chain.spki, report.signed, r, s, check="GPU_SIGNATURE", path="report.signature")  # 4
    fwid = _check_firmware(report, chain)  # 5
    bound = _check_nonce(report, nonce)  # 6
    return ProvenDevice(report=report, chain=chain, findings=(*_ON_THE_WAY, fwid, bound))


def _check_firmware(report: Report, chain: VerifiedDeviceChain) -> Finding:
    """FWID, CHIP_INFO and a switch's own PDI, each as the certificates say it."""
    opaque, family = report.opaque, chain.family
    if opaque.chip_info and not family.products.fullmatch(opaque.chip_info):
        path = "report.opaque[35]"
        raise NotAuthentic("GPU_ARCHITECTURE", path, expected=f"a chip of {family.chip}", got=opaque.chip_info)
    if opaque.device_pdi is not None and opaque.device_pdi != chain.pdi:
        raise NotAuthentic("GPU_PDI_MISMATCH", "report.opaque[22]", expected=chain.pdi, got=opaque.device_pdi)
    if opaque.fwid is None:
        return _NO_FWID
    if opaque.fwid != chain.fwid:
        raise NotAuthentic("GPU_FWID_MISMATCH", "report.opaque[20]", expected=chain.fwid or "none", got=opaque.fwid)
    return _SAME_FWID


def _check_nonce(report: Report, nonce: bytes | None) -> Finding:
    if nonce is None:
        return _UNBOUND
    if len(nonce) != _NONCE_SIZE:
        raise NotBound("NONCE_REQUIRED", "nonce", expected=f"{_NONCE_SIZE} bytes to compare with", got=nonce)
    if report.nonce != nonce:
        raise NotBound("GPU_NONCE_MISMATCH", "report.nonce", expected=nonce, got=report.nonce)
    return _BOUND


def _finding(check: str, path: str, outcome: Outcome, expected: str, got: str) -> Finding:
    return Finding(check=check, path=path, outcome=outcome, expected=expected, got=got)


def _passed(check: str, path: str, expected: str, got: str) -> Finding:
    return _finding(check, path, Outcome.PASSED, expected, got)


# What has passed whenever a device comes back at all.
_ON_THE_WAY = (
    _passed("GPU_REPORT_FORMAT", "report", "an SPDM 1.1 measurement report", "one"),
    _passed("CHAIN_ROOT_NOT_PINNED", "chain.root", "a pinned device root", "one"),
    _passed("CHAIN_SIGNATURE", "chain", "four ECDSA signatures", "all verify"),
    _passed("GPU_ARCHITECTURE", "chain", "four names of one design", "one"),
    _passed("CERT_EXPIRED", "chain", "each valid now", "all are"),
    _passed("GPU_SIGNATURE", "report.signature", "a signature by the leaf's key", "one"),
)
_SAME_FWID = _passed("GPU_FWID_MISMATCH", "report.opaque[20]", "the FWID of the leaf", "the same")
_NO_FWID = _finding("GPU_FWID_MISMATCH", "report.opaque[20]", Outcome.SKIPPED, "the FWID of the leaf", "none reported")
_BOUND = _passed("GPU_NONCE_MISMATCH", "report.nonce", "the 32 bytes asked for", "the same")
_UNBOUND = _finding(
    "GPU_NONCE_MISMATCH", "report.nonce", Outcome.SKIPPED, "32 bytes to compare with",
    "none given: this evidence may be a replay",
)  # fmt: skip
