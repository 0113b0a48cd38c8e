"""The measures of TDX and SGX verification; those of collateral as a service stand in a part of their own."""

from __future__ import annotations

import datetime as dt
import random
from collections import Counter

from attest.errors import AttestError
from attest.evidence import Collateral, TdxEvidence
from attest.tdx.quote import parse
from attest.verify import verify
from tests.bench.tdx import measure_tdx
from tests.makers.intel import mint
from tests.measure.collateral import TDX
from tests.measure.snp import run_tests
from tests.measure.table import Measure, Result

__all__ = ["MEASURES"]

_NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)


def _vectors(_long: bool) -> Result:
    return run_tests("tests/attest/tdx/test_vectors.py", "tests/attest/tdx/test_eventlog.py")


def _differential(_long: bool) -> Result:
    return run_tests("tests/attest/tdx/test_differential.py")


def _flips(long: bool) -> Result:
    """One-bit flips of a good quote, each position once before any twice; nothing kept, so that all of it is read."""
    vendor = mint(now=_NOW)
    data = bytes(range(64))
    good, anchors = vendor.platform().quote(data) + bytes(64), vendor.anchors
    collateral = Collateral(tdx=(vendor.collateral(),))
    kept = verify(TdxEvidence(quote=good), collateral, anchors, report_data=data, now=_NOW, revocation="required").kept
    bits = list(range(8 * len(good)))
    random.Random(6).shuffle(bits)
    wanted = 50_000 if long else 8_000
    accepted: list[int] = []
    checks = Counter[str]()
    for number in range(wanted):
        bit = bits[number % len(bits)]
        changed = bytearray(good)
        changed[bit // 8] ^= 1 << bit % 8
        evidence = TdxEvidence(quote=bytes(changed))
        try:
            verify(evidence, collateral, anchors, report_data=data, now=_NOW, revocation="required", kept=kept)
        except AttestError as error:
            checks[error.check] += 1
            continue
        accepted.append(bit // 8)
    signed = len(parse(good).signed)
    places = ", ".join(map(str, sorted(set(accepted)))) or "none"
    common = ", ".join(f"{name} {count}" for name, count in checks.most_common(5))
    figure = f"{len(accepted)} of {wanted} accepted, at bytes: {places} ({len(good)} in all, {signed} signed); {common}"
    return Result(figure=figure, met=not accepted)


def _warm(long: bool) -> Result:
    f = measure_tdx(15 if long else 9)
    both = f"{f.first:.2f} with both signatures of the quote checked"
    return Result(figure=f"{f.warm:.2f} times its rate ({f.dcap_us:.0f} us each); {both}", met=f.warm >= 4)


def _cold(long: bool) -> Result:
    f = measure_tdx(15 if long else 9)
    return Result(figure=f"{f.cold:.2f} times its time", met=f.cold <= 1.5)


def _overhead(long: bool) -> Result:
    f = measure_tdx(15 if long else 9)
    return Result(figure=f"{f.overhead_us:.0f} us beside {f.bare_us:.0f} us", met=f.overhead_us <= 100)


VERIFICATION = (
    Measure(name="every tdx/ and ccel/ vector", target="the manifest's verdict and status at its time", take=_vectors),
    Measure(
        name="dcap-qvl on every vector and 140 generated cases",
        target="the same verdict, or a difference that is named",
        take=_differential,
    ),
    Measure(name="one-bit flips of a good quote", target="none accepted (short form: 8,000 of 50,000)", take=_flips),
    Measure(name="rate over dcap-qvl's, collateral kept", target="at least 4", take=_warm),
    Measure(name="time over dcap-qvl's, nothing kept", target="at most 1.5", take=_cold),
    Measure(name="own overhead over two bare P-256 checks", target="at most 100 us", take=_overhead),
)
MEASURES = (*VERIFICATION, *TDX)
