"""SNP verification with the chain kept, against the bare P-384 check it contains; AWS-LC against OpenSSL."""

from __future__ import annotations

import datetime as dt
import hashlib
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from awscrt import crypto
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from attest.evidence import Collateral
from attest.snp.report import SIGNED_SIZE
from attest.verify import verify
from tests.makers.amd import mint

__all__ = ["Figures", "bench_snp", "measure_snp"]

_NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
_CALLS = 150


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Medians over the rounds. `share` is bare over whole: 1.0 would be no overhead at all."""

    share: float
    overhead_us: float
    bare_us: float
    awslc_over_openssl: float


def measure_snp(rounds: int = 7) -> Figures:
    """Interleaved rounds of the three sides, CPU time."""
    whole, bare, openssl = _sides()
    times: list[tuple[float, float, float]] = []
    for number in range(rounds + 1):
        row = (_cpu(whole), _cpu(bare), _cpu(openssl))
        if number:  # the first round warms all sides up
            times.append(row)
    return Figures(
        share=statistics.median(b / w for w, b, _ in times),
        overhead_us=statistics.median((w - b) for w, b, _ in times) * 1e6,
        bare_us=statistics.median(b for _, b, _ in times) * 1e6,
        awslc_over_openssl=statistics.median(o / b for _, b, o in times),
    )


def bench_snp(rounds: int = 7) -> dict[str, str]:
    """For people."""
    f = measure_snp(rounds)
    return {
        "bare P-384 over the whole verification": f"{f.share:.2f}",
        "own overhead": f"{f.overhead_us:.0f} us beside a bare check of {f.bare_us:.0f} us",
        "rate of AWS-LC over OpenSSL": f"{f.awslc_over_openssl:.2f}",
    }


def _cpu(call: Callable[[], object]) -> float:
    started = time.process_time()
    for _ in range(_CALLS):
        call()
    return (time.process_time() - started) / _CALLS


def _sides() -> tuple[Callable[[], object], Callable[[], object], Callable[[], object]]:
    vendor = mint(now=_NOW)
    chip, data = vendor.chip(), bytes(range(64))
    evidence, collateral = chip.evidence(data), Collateral(crls=(vendor.crl(),))
    terms = {"report_data": data, "now": _NOW, "revocation": "required"}
    anchors = vendor.anchors
    kept = verify(evidence, collateral, anchors, **terms).kept  # type: ignore[arg-type]
    signed = evidence.report[:SIGNED_SIZE]
    r, s = (int.from_bytes(evidence.report[SIGNED_SIZE + n : SIGNED_SIZE + n + 72], "little") for n in (0, 72))
    signature, public = encode_dss_signature(r, s), chip.key.public_key()
    aws = crypto.EC.new_key_from_der_data(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))

    def bare() -> None:
        if not aws.verify(hashlib.sha384(signed).digest(), signature):
            raise ValueError("the bare side must verify too")

    def openssl() -> None:
        public.verify(signature, hashlib.sha384(signed).digest(), ec.ECDSA(Prehashed(SHA384())))

    def whole() -> object:
        return verify(evidence, collateral, anchors, kept=kept, **terms)  # type: ignore[arg-type]

    return whole, bare, openssl
