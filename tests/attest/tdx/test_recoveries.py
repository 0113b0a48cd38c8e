"""Intel's own list of TCB recoveries, as captured."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest

from attest.anchors import BUILT_IN
from attest.tdx.published import check_recoveries
from tests.attest.refusal import refused
from tests.vectors import VECTORS, needs_vectors


@needs_vectors(2)
@pytest.mark.parametrize(
    ("folder", "at", "number", "event"),
    [
        ("0625", dt.datetime(2025, 6, 20, tzinfo=dt.UTC), 18, "2024-11-12"),
        ("1025", dt.datetime(2025, 10, 14, tzinfo=dt.UTC), 20, "2025-08-12"),
    ],
)
def test_intels_own_list_of_recoveries(folder: str, at: dt.datetime, number: int, event: str) -> None:
    """As captured, byte for byte, under the pinned root."""
    base = (VECTORS or Path()) / "tdx"
    body = (base / f"automata-network-automata-dcap-attestation/evm-assets/{folder}/tdxtcbeval.json").read_bytes()
    bundle = json.loads((base / "derived/bundles/tdx_00806f050000_platform_20251019_eval17.json").read_bytes())
    chain = bundle["tcb_info_issuer_chain"].encode()
    found = check_recoveries(body, chain, BUILT_IN, tee="TDX", now=at)
    assert found.events[number].date().isoformat() == event
    with refused("EVALUATIONS_MISMATCH"):
        check_recoveries(body, chain, BUILT_IN, tee="SGX", now=at)
    with refused("EVALUATIONS_SIGNATURE"):
        check_recoveries(body.replace(b"T00:00:00Z", b"T00:00:01Z", 1), chain, BUILT_IN, tee="TDX", now=at)
    with refused("COLLATERAL_EXPIRED"):
        check_recoveries(body, chain, BUILT_IN, tee="TDX", now=at + dt.timedelta(days=60))
    with refused("EVALUATIONS_FORMAT"):
        check_recoveries(b"{}", chain, BUILT_IN, tee="TDX", now=at)
