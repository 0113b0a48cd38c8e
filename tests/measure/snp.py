"""The measures of SEV-SNP verification."""

from __future__ import annotations

import datetime as dt
import random
import subprocess
import sys
from collections import Counter

from attest.errors import AttestError
from attest.evidence import Collateral, SnpEvidence
from attest.snp.report import SIGNED_SIZE
from attest.verify import verify
from tests.bench.snp import measure_snp
from tests.makers.amd import mint
from tests.measure.table import Measure, Result
from tests.vectors import VECTORS

__all__ = ["MEASURES", "run_tests"]

_NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)


def run_tests(*arguments: str) -> Result:
    """Runs tests; met if some ran, none failed and none was skipped."""
    if VECTORS is None:
        return Result(figure="the captured evidence is not here (SEALGATE_VECTORS)", met=False)
    command = [sys.executable, "-m", "pytest", "--no-header", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1_200)
    last = (done.stdout.strip().splitlines() or ["nothing ran"])[-1]
    return Result(figure=last, met=done.returncode == 0 and "passed" in last and "skipped" not in last)


def _vectors(_long: bool) -> Result:
    return run_tests("tests/attest/snp/test_vectors.py")


def _calculator(_long: bool) -> Result:
    return run_tests("tests/attest/snp/test_measure.py")


def _properties(_long: bool) -> Result:
    return run_tests("tests/attest", "-m", "hypothesis", "--hypothesis-profile=fresh")


def _forgeries(long: bool) -> Result:
    """Random flips, truncations and additions to good evidence under a kept chain."""
    vendor = mint(now=_NOW)
    anchors, chip, data = vendor.anchors, vendor.chip(), bytes(range(64))
    evidence, collateral = chip.evidence(data), Collateral(crls=(vendor.crl(),))
    kept = verify(evidence, collateral, anchors, report_data=data, now=_NOW, revocation="required").kept
    rng, accepted, checks = random.Random(2), 0, Counter[str]()
    wanted = 50_000 if long else 5_000
    for _ in range(wanted):
        report, certificates = _changed(rng, evidence)
        try:
            changed = SnpEvidence(report=report, certificates=certificates)
            verify(changed, collateral, anchors, report_data=data, now=_NOW, revocation="required", kept=kept)
        except AttestError as error:
            checks[error.check] += 1
            continue
        # A change that leaves every byte that is used as it was, in a certificate that was not needed, is none.
        accepted += report != evidence.report or certificates[:2] != evidence.certificates[:2]
    common = ", ".join(f"{name} {count}" for name, count in checks.most_common(6))
    return Result(figure=f"{accepted} of {wanted} accepted; only AttestError raised; {common}", met=accepted == 0)


def _changed(rng: random.Random, evidence: SnpEvidence) -> tuple[bytes, tuple[bytes, ...]]:
    """One bit flipped in the report or in a certificate, or a report cut or grown."""
    report, certificates = bytearray(evidence.report), [bytearray(c) for c in evidence.certificates]
    kind = rng.randrange(6)
    if kind == 0:
        del report[rng.randrange(len(report)) :]
    elif kind == 1:
        report += rng.randbytes(rng.randrange(1, 64))
    elif kind == 2:
        target = certificates[rng.randrange(len(certificates))]
        target[rng.randrange(len(target))] ^= 1 << rng.randrange(8)
    else:
        limit = SIGNED_SIZE if kind < 5 else len(report)
        report[rng.randrange(limit)] ^= 1 << rng.randrange(8)
    return bytes(report), tuple(map(bytes, certificates))


def _fuzz(long: bool) -> Result:
    seconds = "300" if long else "64"
    done = subprocess.run(
        ["make", "--no-print-directory", "fuzz", f"SECONDS={seconds}"],
        capture_output=True, text=True, check=False, timeout=1_200,
    )  # fmt: skip
    last = (done.stdout.strip().splitlines() or ["did not run"])[-1]
    return Result(figure=f"{last} in {seconds} s", met=done.returncode == 0 and last == "nothing found")


def _share(long: bool) -> Result:
    f = measure_snp(15 if long else 9)
    return Result(figure=f"{f.share:.2f}", met=f.share >= 0.8)


def _overhead(long: bool) -> Result:
    f = measure_snp(15 if long else 9)
    scaled = f.overhead_us * 200 / f.bare_us
    figure = f"{f.overhead_us:.0f} us beside a bare check of {f.bare_us:.0f} us: {scaled:.0f} us on that machine"
    return Result(figure=figure, met=scaled <= 60)


def _rate(long: bool) -> Result:
    f = measure_snp(15 if long else 9)
    return Result(figure=f"{f.awslc_over_openssl:.2f}", met=f.awslc_over_openssl >= 1.8)


MEASURES = (
    Measure(
        name="every snp/ vector", target="the manifest's verdict, inside its window and not outside", take=_vectors
    ),
    Measure(name="random flips, truncations, additions", target="none accepted, only AttestError", take=_forgeries),
    Measure(name="hypothesis", target="finds nothing", take=_properties),
    Measure(name="atheris", target="finds nothing in 5 minutes (short form: 64 s)", take=_fuzz),
    Measure(name="measurement calculator", target="equal on all fixtures", take=_calculator),
    Measure(name="bare P-384 over a verification with its chain kept", target="at least 0.8", take=_share),
    Measure(name="own overhead, where bare P-384 takes 200 us", target="at most 60 us", take=_overhead),
    Measure(name="rate of AWS-LC over cryptography", target="at least 1.8", take=_rate),
)
