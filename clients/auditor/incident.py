"""What an auditor keeps when a log is not what it was: one file that others can judge without asking the broker.

The broker's own file (`sealgate-broker incident`) has the store's head in it; this one has what was published and what
was kept elsewhere. Checkpoints and receipts are signed notes: two that contradict each other convict whoever holds the
log key, with the trust file alone.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping

from attest.errors import AttestError
from attest.tlog.checkpoint import Checkpoint, open_checkpoint
from attest.tlog.fields import format_base64
from attest.tlog.proof_file import ProofFile
from clients.auditor.report import Report
from clients.trust import Trust

__all__ = ["bundle"]

_VERSION = "sealgate.audit-incident/1"


def bundle(
    report: Report,
    trust: Trust,
    at: int,
    *,
    published: bytes | None,
    saved: bytes | None,
    receipts: Mapping[str, bytes],
) -> dict[str, object]:
    """The document. Signed parts are base64 of their bytes as they came; `at` is ms since 1970 by the auditor's clock.

    `contradictions` lists the pairs of signed checkpoints of one size with different roots: each is a proof by itself.
    Other findings are for whoever also holds the published files, which must be kept beside the bundle.
    """
    proofs = {name: ProofFile.parse(raw).checkpoint for name, raw in receipts.items()}
    notes = {"published": published, "saved": saved, **proofs}
    return {
        "v": _VERSION,
        "at": at,
        "deployment": trust.origin,
        "log_keys": [key.vkey for key in trust.log_keys],
        "report": report.document(),
        "published": None if published is None else _encode(published),
        "saved": None if saved is None else _encode(saved),
        "receipts": {name: _encode(raw) for name, raw in receipts.items()},
        "contradictions": _contradictions({name: raw for name, raw in notes.items() if raw is not None}, trust),
    }


def _contradictions(notes: Mapping[str, bytes], trust: Trust) -> list[dict[str, object]]:
    seen: dict[tuple[str, int], tuple[str, Checkpoint]] = {}
    found: list[dict[str, object]] = []
    for name, raw in notes.items():
        tree = _open(raw, trust)
        if tree is None:
            continue
        first, other = seen.setdefault((tree.origin, tree.size), (name, tree))
        if other.root != tree.root:
            roots = [format_base64(other.root), format_base64(tree.root)]
            found.append({"origin": tree.origin, "size": tree.size, "notes": [first, name], "roots": roots})
    return found


def _open(raw: bytes, trust: Trust) -> Checkpoint | None:
    """The checkpoint, if a key of the trust file signed it under its own name."""
    for key in trust.log_keys:
        try:
            return open_checkpoint(raw, key.name, [key]).checkpoint
        except AttestError:
            continue
    return None


def _encode(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")
