"""Drafts of reference values. A draft says where it is from; nothing becomes trusted by being drafted."""

from __future__ import annotations

from collections.abc import Sequence

from sealgate.v1.decisions_pb2 import ExplainDecisionResponse

from attest.reference import COVERS
from clients.errors import NotTrusted, Usage

__all__ = ["draft", "warning"]


def draft(
    answer: ExplainDecisionResponse, *, name: str, value_name: str, covers: Sequence[str], shared: bool
) -> dict[str, object]:
    """A reference-set document (`sealgate.reference-set/1` without its version) from a refused boot.

    Raises Usage for a `covers` that is none, NotTrusted NO_MEASUREMENT if the decision holds no measurement.
    """
    unknown = sorted(set(covers) - COVERS)
    if unknown or not covers:
        raise Usage(f"--covers takes one or more of {', '.join(sorted(COVERS))}, not {', '.join(unknown) or 'nothing'}")
    if not any(answer.measurement):
        raise NotTrusted("NO_MEASUREMENT", "the decision behind this ticket holds no measurement")
    value = {
        "name": value_name,
        "platform": answer.platform,
        "measurement": answer.measurement.hex(),
        "covers": sorted(set(covers)),
    }
    return {"name": name, "state": "active", "shared": shared, "values": [value]}


def warning(answer: ExplainDecisionResponse) -> str:
    """What whoever uses the draft must know."""
    simulated = " The machine was simulated." if answer.simulated else ""
    return (
        f"This draft comes from an unproven machine: entry {answer.index} refused it ({answer.reason}). Its "
        "measurement says what booted there, not that it is what you built. Compute the digest from your own "
        "firmware, kernel, initrd and command line (sealgate measure snp) and compare before you register it."
        f"{simulated}"
    )
