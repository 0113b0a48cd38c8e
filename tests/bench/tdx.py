"""TDX verification, with everything kept and with nothing, against dcap-qvl and the two P-256 checks it contains."""

from __future__ import annotations

import datetime as dt
import hashlib
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import dcap_qvl
from awscrt import crypto
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from attest.ecdsa import spki_of_p256
from attest.evidence import Collateral
from attest.tdx.quote import parse
from attest.verify import verify
from tests.makers.intel import mint
from tests.makers.qvl import collateral_of

__all__ = ["Figures", "bench_tdx", "measure_tdx"]

_NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
_DATA = bytes(range(64))
_CALLS = 60


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Medians over the rounds: rate of ours over dcap-qvl's with all kept; time of ours over its with nothing kept.

    Of what is kept the signature of the quoting enclave's report is a part, for a platform that comes again; `first`
    is the rate without it, for one that comes for the first time, and so are `overhead_us` and its two checks.
    """

    warm: float
    first: float
    cold: float
    overhead_us: float
    bare_us: float
    dcap_us: float


def measure_tdx(rounds: int = 9) -> Figures:
    """Interleaved rounds of the five sides, CPU time."""
    sides = _sides()
    times: list[tuple[float, ...]] = []
    for number in range(rounds + 1):
        row = tuple(_cpu(side) for side in sides)
        if number:  # the first round warms all sides up
            times.append(row)
    return Figures(
        warm=statistics.median(dcap / warm for warm, *_, dcap in times),
        first=statistics.median(dcap / first for _, first, *_, dcap in times),
        cold=statistics.median(cold / dcap for _, _, cold, _, dcap in times),
        overhead_us=statistics.median(first - bare for _, first, _, bare, _ in times) * 1e6,
        bare_us=statistics.median(bare for *_, bare, _ in times) * 1e6,
        dcap_us=statistics.median(dcap for *_, dcap in times) * 1e6,
    )


def bench_tdx(rounds: int = 7) -> dict[str, str]:
    """For people."""
    f = measure_tdx(rounds)
    return {
        "rate over dcap-qvl's, all kept": f"{f.warm:.1f}; {f.first:.1f} with both signatures of the quote checked",
        "time over dcap-qvl's, nothing kept": f"{f.cold:.2f}",
        "own overhead": f"{f.overhead_us:.0f} us beside two bare checks of {f.bare_us:.0f} us",
    }


def _cpu(call: Callable[[], object]) -> float:
    started = time.process_time()
    for _ in range(_CALLS):
        call()
    return (time.process_time() - started) / _CALLS


def _sides() -> tuple[Callable[[], object], ...]:
    """Ours with all kept, with all but the enclave's report, with nothing; the bare checks, dcap-qvl."""
    vendor = mint(now=_NOW)
    evidence, offered = vendor.platform().evidence(_DATA), vendor.collateral()
    collateral, anchors, root = Collateral(tdx=(offered,)), vendor.anchors, vendor.root.der
    terms = {"report_data": _DATA, "now": _NOW, "revocation": "required"}
    kept = verify(evidence, collateral, anchors, **terms).kept  # type: ignore[arg-type]
    unvouched = replace(kept, pck_chains=tuple(replace(chain, vouched=None) for chain in kept.pck_chains))
    theirs, seconds = collateral_of(offered), int(_NOW.timestamp())

    def warm() -> object:
        return verify(evidence, collateral, anchors, kept=kept, **terms)  # type: ignore[arg-type]

    def first() -> object:
        return verify(evidence, collateral, anchors, kept=unvouched, **terms)  # type: ignore[arg-type]

    def cold() -> object:
        return verify(evidence, collateral, anchors, **terms)  # type: ignore[arg-type]

    def dcap() -> object:
        return dcap_qvl.verify_with_root_ca(evidence.quote, theirs, root, seconds)

    return warm, first, cold, _bare(evidence.quote, kept.pck_chains[0].spki), dcap


def _bare(quote: bytes, pck: bytes) -> Callable[[], None]:
    """The two signatures of a quote by AWS-LC, each with its key read anew."""
    found = parse(quote)
    proof = found.proof
    checks = [
        (spki, message, encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")))
        for spki, message, raw in (
            (pck, proof.qe_report.raw, proof.qe_report_signature),
            (spki_of_p256(proof.attestation_key), found.signed, proof.signature),
        )
    ]

    def check() -> None:
        for spki, message, signature in checks:
            if not crypto.EC.new_key_from_der_data(spki).verify(hashlib.sha256(message).digest(), signature):
                raise ValueError("the bare side must verify too")

    return check
