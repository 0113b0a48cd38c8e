"""One GPU's report with chain, lists and manifests kept, against the bare P-384 check it contains; and all anew."""

from __future__ import annotations

import datetime as dt
import hashlib
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from awscrt import crypto
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from attest.evidence import Collateral
from attest.finding import acceptable
from attest.gpu.appraise import appraise_device
from attest.gpu.profile import GpuProfile
from attest.gpu.verify import keep, verify_device
from tests.makers.nvidia import mint
from tests.makers.nvidia_rim import manifests

__all__ = ["GpuFigures", "bench_gpu", "measure_gpu"]

_NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
_NONCE = bytes(range(32))
_CALLS = 100


@dataclass(frozen=True, kw_only=True)
class GpuFigures:
    """Medians over the rounds. `share` is bare over whole: 1.0 would be no overhead at all."""

    share: float
    overhead_us: float
    bare_us: float
    appraised_us: float
    anew_us: float


def measure_gpu(rounds: int = 7) -> GpuFigures:
    """Interleaved rounds of all sides, CPU time: bare, verified, verified and appraised, all verified anew."""
    bare, whole, appraised, anew = _sides()
    times: list[tuple[float, float, float, float]] = []
    for number in range(rounds + 1):
        row = (_cpu(bare), _cpu(whole), _cpu(appraised), _cpu(anew, 10))
        if number:  # the first round warms all sides up
            times.append(row)
    return GpuFigures(
        share=statistics.median(b / w for b, w, _, _ in times),
        overhead_us=statistics.median(w - b for b, w, _, _ in times) * 1e6,
        bare_us=statistics.median(b for b, *_ in times) * 1e6,
        appraised_us=statistics.median(a - w for _, w, a, _ in times) * 1e6,
        anew_us=statistics.median(n for *_, n in times) * 1e6,
    )


def bench_gpu(rounds: int = 7) -> dict[str, str]:
    """For people."""
    f = measure_gpu(rounds)
    return {
        "bare P-384 over one GPU's verification": f"{f.share:.2f}",
        "its own overhead": f"{f.overhead_us:.0f} us beside a bare check of {f.bare_us:.0f} us",
        "its appraisal": f"{f.appraised_us:.0f} us",
        "with chain, lists and both manifests anew": f"{f.anew_us / 1e3:.1f} ms",
    }


def _cpu(call: Callable[[], object], calls: int = _CALLS) -> float:
    started = time.process_time()
    for _ in range(calls):
        call()
    return (time.process_time() - started) / calls


def _sides() -> tuple[Callable[[], object], ...]:
    vendor = mint(now=_NOW)
    device, anchors = vendor.device(), vendor.anchors
    evidence = device.evidence(_NONCE)
    collateral = Collateral(crls=vendor.crls(), rims=manifests(vendor)[:2])
    profile = GpuProfile.parse({"count": 1})
    terms = {"nonce": _NONCE, "now": _NOW, "revocation_required": True}
    first = verify_device(evidence, collateral, anchors, **terms)  # type: ignore[arg-type]
    kept = keep([first])
    signed, raw = evidence.report[:-96], evidence.report[-96:]
    signature = encode_dss_signature(int.from_bytes(raw[:48], "big"), int.from_bytes(raw[48:], "big"))
    aws = crypto.EC.new_key_from_der_data(first.chain.spki)

    def bare() -> None:
        if not aws.verify(hashlib.sha384(signed).digest(), signature):
            raise ValueError("the bare side must verify too")

    def whole() -> object:
        return verify_device(evidence, collateral, anchors, kept=kept, **terms)  # type: ignore[arg-type]

    def appraised() -> None:
        authentic = verify_device(evidence, collateral, anchors, kept=kept, **terms)  # type: ignore[arg-type]
        if not acceptable(appraise_device(0, authentic.claims, profile)):
            raise ValueError("the device must be accepted too")

    def anew() -> object:
        return verify_device(evidence, collateral, anchors, **terms)  # type: ignore[arg-type]

    return bare, whole, appraised, anew
