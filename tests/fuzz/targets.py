"""What is fuzzed. Each target is given any bytes; whatever leaves it but AttestError is a finding, and so is acceptance
of evidence whose signed bytes differ from those that were signed."""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import warnings
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from attest.anchors import BUILT_IN, Anchors
from attest.azure.hcl import parse_hcl
from attest.azure.shapes import read_azure
from attest.errors import AttestError
from attest.evidence import Collateral, SnpEvidence, read_certificates
from attest.extensions import read_extensions
from attest.gpu import report as gpu_report
from attest.gpu.certs import authenticate
from attest.gpu.forms import read_devices
from attest.gpu.opaque import parse_gpu, parse_switch
from attest.gpu.rim import verify_rim
from attest.intel_form import recognise_intel, recognise_intel_list
from attest.names import certificate_parts, common_name, list_parts
from attest.snp import report as snp_report
from attest.snp.shapes import read_evidence
from attest.snp.table import read_table
from attest.tdx import quote
from attest.tdx.collateral_json import read_collateral
from attest.tdx.forms import recognise_identity, recognise_tcb_info
from attest.tdx.pem import read_chain
from attest.tdx.signed import Signed, read_signed
from attest.tdx.tcb_info import read_identity, read_tcb_info
from attest.tlog.canonical import parse_canonical
from attest.tlog.entry import parse_leaf
from attest.tlog.note import Note
from attest.tlog.proof_file import ProofFile
from attest.tlog.shape import Place, Shapes, value_of
from attest.tpm import verify_tpm_quote
from attest.verify import Kept, verify
from clients.errors import Unavailable
from clients.workload.tpm import Tpm
from clients.workload.tpm_wire import TpmWire
from tests.makers import azure, intel
from tests.makers.amd import mint
from tests.makers.log import draft

__all__ = ["TARGETS", "ForgeryAccepted"]

_NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
_DATA = bytes(range(64))
_Read = TypeVar("_Read")


class ForgeryAccepted(Exception):
    """Evidence was accepted that nobody signed."""


@functools.cache
def _made() -> tuple[Anchors, SnpEvidence, Collateral, Kept]:
    vendor = mint(now=_NOW)
    chip = vendor.chip()
    evidence, collateral = chip.evidence(_DATA), Collateral(crls=(vendor.crl(),))
    good = verify(evidence, collateral, vendor.anchors, report_data=_DATA, now=_NOW, revocation="required")
    return vendor.anchors, evidence, collateral, good.kept


def _quiet(parse: Callable[[bytes], object]) -> Callable[[bytes], None]:
    def target(data: bytes) -> None:
        try:
            parse(data)
        except AttestError:
            return

    return target


def _patch(good: bytes, data: bytes) -> bytes:
    """`good` with pieces of it overwritten: offset (2 bytes), length (1 byte), bytes, and so on."""
    found = bytearray(good)
    while len(data) >= 4:
        offset, length = int.from_bytes(data[:2], "big") % len(found), 1 + data[2] % 32
        piece = data[3 : 3 + length][: len(found) - offset]
        found[offset : offset + len(piece)] = piece
        data = data[3 + length :]
    return bytes(found)


def patched(data: bytes) -> None:
    """A good report, patched, is accepted only if what is signed is the same."""
    anchors, evidence, collateral, kept = _made()
    report = _patch(evidence.report, data)
    changed = SnpEvidence(report=report, certificates=evidence.certificates)
    try:
        verify(changed, collateral, anchors, report_data=_DATA, now=_NOW, revocation="required", kept=kept)
    except AttestError:
        return
    if report[: snp_report.SIGNED_SIZE] != evidence.report[: snp_report.SIGNED_SIZE]:
        raise ForgeryAccepted(report.hex())


@functools.cache
def _intel() -> tuple[bytes, bytes]:
    vendor = intel.mint(now=_NOW)
    return vendor.platform().pck.der, vendor.crl(revoked=[7])


def intel_forms(data: bytes) -> None:
    """A certificate and a list, patched: what is recognised by its form is what a library and its parts say."""
    certificate, crl = (_patch(good, data) for good in _intel())
    known, listed = recognise_intel(certificate), recognise_intel_list(crl)
    if known is not None:
        with contextlib.suppress(ValueError), warnings.catch_warnings(action="ignore"):
            found = x509.load_der_x509_certificate(certificate)
            parts = certificate_parts(certificate)
            if known != (parts, common_name(parts.subject), read_extensions(found)):
                raise ForgeryAccepted(certificate.hex())
    if listed is not None:
        with contextlib.suppress(ValueError):
            critical = [each.oid for each in x509.load_der_x509_crl(crl).extensions if each.critical]
            if listed != list_parts(crl) or critical:
                raise ForgeryAccepted(crl.hex())


def _documents(data: bytes) -> object:
    """What Intel signs, read as if it were signed; what is recognised by its form is what its members say."""
    found: list[object] = []
    with contextlib.suppress(AttestError):
        found.append(_both(data, "tcbInfo", recognise_tcb_info, read_tcb_info))
    with contextlib.suppress(AttestError):
        found.append(_both(data, "enclaveIdentity", recognise_identity, read_identity))
    return found


def _both(
    data: bytes, name: str, recognise: Callable[[str], _Read | None], read: Callable[[Mapping[str, Any]], _Read]
) -> _Read:
    recognised = read_signed(data, name, recognise, check="FORMAT", path="body")
    value = recognised.document(read)
    decoded: Signed[_Read] = read_signed(data, name, lambda _: None, check="FORMAT", path="body")
    if (value, recognised.raw, recognised.signature) != (decoded.document(read), decoded.raw, decoded.signature):
        raise ForgeryAccepted(data.hex())
    return value


@functools.cache
def _shapes() -> Shapes[Place]:
    shapes: Shapes[Place] = Shapes(lambda places: places)
    for index in range(100):
        raw = draft(index, "key", simulated=False).body
        for _ in range(16):
            shapes.learn(raw)
    return shapes


def shape(data: bytes) -> None:
    """What has the shape of an entry is canonical, and found in it is what it says."""
    found = _shapes().find(data)
    if found is not None and value_of(*found) != parse_canonical(data):
        raise ForgeryAccepted(data.hex())


def tpm_quote(data: bytes) -> None:
    """Signed as it is, so that all of it is read; accepted only if nothing is left over and the PCRs are those."""
    key = azure.attestation_key()
    signature = key.sign(data[:1_024], PKCS1v15(), SHA256())
    with contextlib.suppress(AttestError):
        verify_tpm_quote(data[:1_024], signature, azure.PCR_VALUES, key.public_key())


def tpm_answers(data: bytes) -> None:
    """What a TPM answers, whatever it was asked: pieces of `data`, each behind its length."""
    pieces = []
    while data:
        length = int.from_bytes(data[:2], "big") % 512
        pieces.append(data[2 : 2 + length])
        data = data[2 + length :]
    asks: tuple[Callable[[Tpm], object], ...] = (
        lambda tpm: tpm.nv_read(0x01400001),
        lambda tpm: tpm.public(0x81000003),
        lambda tpm: tpm.pcrs(),
        lambda tpm: tpm.quote(0x81000003, bytes(32)),
    )
    for ask in asks:
        left = iter(pieces)
        wire = TpmWire(lambda _, left=left: next(left, b""), clock=lambda: 0.0, sleep=lambda _: None)  # type: ignore[misc]
        with contextlib.suppress(Unavailable):
            ask(Tpm(wire))


TARGETS: Mapping[str, Callable[[bytes], None]] = {
    "report": _quiet(snp_report.parse),
    "patched": patched,
    "evidence": _quiet(read_evidence),
    "table": _quiet(lambda data: list(read_table(data))),
    "quote": _quiet(quote.parse),
    "pck_chain": _quiet(lambda data: read_chain(data, path="chain")),
    "intel_documents": _quiet(_documents),
    "intel_collateral": _quiet(read_collateral),
    "certificates": _quiet(read_certificates),
    "intel forms": intel_forms,
    "hcl": _quiet(parse_hcl),
    "azure evidence": _quiet(read_azure),
    "tpm quote": tpm_quote,
    "tpm answers": tpm_answers,
    "gpu report": _quiet(lambda data: gpu_report.parse(data, gpu_report.GPU)),
    "switch report": _quiet(lambda data: gpu_report.parse(data, gpu_report.SWITCH)),
    "gpu opaque": _quiet(parse_gpu),
    "switch opaque": _quiet(parse_switch),
    "gpu chain": _quiet(lambda data: authenticate(data, gpu_report.GPU, BUILT_IN)),
    "gpu forms": _quiet(read_devices),
    "rim": _quiet(lambda data: verify_rim(data, BUILT_IN)),
    "leaf": _quiet(parse_leaf),
    "shape": shape,
    "note": _quiet(Note.parse),
    "proof": _quiet(ProofFile.parse),
}
