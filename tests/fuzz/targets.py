"""What is fuzzed. Each target is given any bytes; whatever leaves it but AttestError is a finding, and so is acceptance
of evidence whose signed bytes differ from those that were signed."""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
from collections.abc import Callable, Mapping

from attest.anchors import BUILT_IN, Anchors
from attest.errors import AttestError
from attest.evidence import Collateral, SnpEvidence, read_certificates
from attest.gpu import report as gpu_report
from attest.gpu.certs import authenticate
from attest.gpu.forms import read_devices
from attest.gpu.opaque import parse_gpu, parse_switch
from attest.gpu.rim import verify_rim
from attest.snp import report as snp_report
from attest.snp.shapes import read_evidence
from attest.snp.table import read_table
from attest.tdx import quote
from attest.tdx.collateral_json import read_collateral
from attest.tdx.pem import read_chain
from attest.tdx.signed import read_signed
from attest.tdx.tcb_info import read_identity, read_tcb_info
from attest.tlog.canonical import parse_canonical
from attest.tlog.entry import parse_leaf
from attest.tlog.note import Note
from attest.tlog.proof_file import ProofFile
from attest.tlog.shape import Place, Shapes, value_of
from attest.verify import Kept, verify
from tests.makers.amd import mint
from tests.makers.log import draft

__all__ = ["TARGETS", "ForgeryAccepted"]

_NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
_DATA = bytes(range(64))


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


def patched(data: bytes) -> None:
    """A good report with pieces of it overwritten: offset (2 bytes), length (1 byte), bytes, and so on."""
    anchors, evidence, collateral, kept = _made()
    report = bytearray(evidence.report)
    while len(data) >= 4:
        offset, length = int.from_bytes(data[:2], "big") % len(report), 1 + data[2] % 32
        piece = data[3 : 3 + length][: len(report) - offset]
        report[offset : offset + len(piece)] = piece
        data = data[3 + length :]
    changed = SnpEvidence(report=bytes(report), certificates=evidence.certificates)
    try:
        verify(changed, collateral, anchors, report_data=_DATA, now=_NOW, revocation="required", kept=kept)
    except AttestError:
        return
    if report[: snp_report.SIGNED_SIZE] != evidence.report[: snp_report.SIGNED_SIZE]:
        raise ForgeryAccepted(report.hex())


def _documents(data: bytes) -> object:
    """What Intel signs, read as if it were signed."""
    found = []
    for name, read in (("tcbInfo", read_tcb_info), ("enclaveIdentity", read_identity)):
        with contextlib.suppress(AttestError):
            found.append(read(read_signed(data, name, check="FORMAT", path="body").members))
    return found


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
