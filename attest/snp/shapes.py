"""The shapes in which SNP evidence is met: a report, a report with a certificate table, or JSON.

They cannot be confused: a report begins with its version, which is small, and JSON with a brace.
"""

from __future__ import annotations

from attest.errors import Malformed
from attest.evidence import SnpEvidence
from attest.snp.coco import read_coco
from attest.snp.report import REPORT_SIZE
from attest.snp.table import ENTRY_SIZE, read_table

__all__ = ["MAX_EVIDENCE", "read_evidence"]

MAX_EVIDENCE = 1 << 18


def read_evidence(data: bytes) -> SnpEvidence:
    """The report and the certificates beside it; raises Malformed. Nothing of it is authentic, nor is the report read.

    What follows a report is a certificate table if it is long enough for one entry, else bytes too many: SNP_LENGTH.
    """
    if len(data) > MAX_EVIDENCE:
        raise Malformed("EVIDENCE_SIZE", "evidence", expected=f"at most {MAX_EVIDENCE} bytes", got=len(data))
    if data.lstrip()[:1] == b"{":
        return read_coco(data)
    if len(data) < REPORT_SIZE + ENTRY_SIZE:
        if len(data) != REPORT_SIZE:
            raise Malformed("SNP_LENGTH", "report", expected=f"{REPORT_SIZE} bytes", got=f"{len(data)} bytes")
        return SnpEvidence(report=data)
    return SnpEvidence(report=data[:REPORT_SIZE], certificates=read_table(data[REPORT_SIZE:]))
