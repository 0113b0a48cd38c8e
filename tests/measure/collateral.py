"""The measures of fetched collateral, of bundles and of releases without a network; other topics list them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from attest.evidence import HardwareEvidence, SnpEvidence
from tests.kbs.collateral.built import DATA, NOW, VENDOR, built
from tests.makers import intel
from tests.makers.kds import FakeKds
from tests.makers.pcs import FakePcs
from tests.makers.vendor_http import Answer, VendorServer
from tests.measure.table import Measure, Result

__all__ = ["GPU", "MEASURES", "PRODUCT", "TDX"]

_AT_ONCE = 1_000


def _pytest(*arguments: str) -> Result:
    """Runs tests; met if some ran, none failed and none was skipped."""
    command = [sys.executable, "-m", "pytest", "--no-header", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    last = (done.stdout.strip().splitlines() or ["nothing ran"])[-1]
    return Result(figure=last, met=done.returncode == 0 and "passed" in last and "skipped" not in last)


def _faults(vendor: str) -> Callable[[bool], Result]:
    """Every answer of the vendor's that is wrong in one way, with its error's name; nothing is left open."""

    def take(_long: bool) -> Result:
        return _pytest(f"tests/kbs/collateral/test_{vendor}.py", "tests/kbs/outbound")

    return take


def _late(vendor: FakeKds | FakePcs) -> Callable[..., Answer]:
    """The right answers, late enough for all to be waiting."""

    def handle(path: str, headers: dict[str, str]) -> Answer:
        answer = vendor(path, headers)
        return Answer(status=answer.status, body=answer.body, headers=answer.headers, slow_s=0.2)

    return handle


async def _storm(vendor: FakeKds | FakePcs, evidence: list[HardwareEvidence]) -> Result:
    threads = threading.active_count()
    with tempfile.TemporaryDirectory() as name:
        async with VendorServer(_late(vendor)) as server:
            async with built(Path(name) / "s.db", vendor, server, seconds=60) as it:
                waiting = (it.verify(evidence[n % len(evidence)], DATA) for n in range(_AT_ONCE))
                results = await asyncio.gather(*waiting)
            await server.idle()
            asked = sorted(server.asked.values())
    verdicts = len({used.digest for _, used in results})
    left = threading.active_count() - threads
    once = set(asked) == {1}
    return Result(
        figure=f"{len(results)} verified; requests by piece {asked}; {verdicts} set of collateral; 0 connections open, "
        f"{left} threads more (the loop's own pool)",
        met=once and len(results) == _AT_ONCE and verdicts == 1 and left <= 8,
    )


def _chips(_long: bool) -> Result:
    chip = VENDOR.chip(7)
    return asyncio.run(_storm(FakeKds(VENDOR, chip), [SnpEvidence(report=chip.report(DATA))]))


def _family(_long: bool) -> Result:
    vendor = intel.mint(now=NOW)
    fleet: list[HardwareEvidence] = [vendor.platform(number=number).evidence(DATA) for number in range(50)]
    return asyncio.run(_storm(FakePcs(vendor), fleet))


def _unused(_long: bool) -> Result:
    return _pytest("tests/kbs/collateral/test_usage.py")


def _certificates(_long: bool) -> Result:
    return _pytest("tests/kbs/collateral/test_pck.py")


def _node(_long: bool) -> Result:
    return _pytest(
        "tests/kbs/collateral/test_nvidia.py::test_a_thousand_first_requests_fetch_each_piece_once",
        "tests/kbs/collateral/test_nvidia.py::test_a_node_gets_all_it_needs_once",
    )


def _cold_node(_long: bool) -> Result:
    return _pytest("tests/flow/test_cold_devices.py")


def _cold(_long: bool) -> Result:
    return _pytest("tests/flow/test_cold_broker.py")


def _offline(_long: bool) -> Result:
    return _pytest("tests/clients/test_evidence_bundle_cli.py", "tests/attest/tdx/test_collateral_json.py")


def _ahead(_long: bool) -> Result:
    return _pytest(
        "tests/kbs/release/test_preflight.py", "tests/attest/snp/test_grace.py", "tests/flow/test_collateral.py"
    )


def _again(_long: bool) -> Result:
    return _pytest("tests/flow/test_replay.py")


_NAMED = "429, 500, half a body, another's answer, an old list, a hang: each by name, no wrong acceptance, nothing open"
PRODUCT = (
    Measure(name="a fake KDS that misbehaves", target=_NAMED, take=_faults("kds")),
    Measure(name="1,000 first requests for one chip at once", target="one fetch of each piece", take=_chips),
    Measure(
        name="a bundle, and Intel's documents in every spelling, before the offline verifier",
        target="every kind of evidence judged; whether the bundle's own signature was checked is said",
        take=_offline,
    ),
    Measure(
        name="a look ahead: grace of both vendors, announced TCB recoveries, what is not at hand",
        target="each told apart, and grace over at its date",
        take=_ahead,
    ),
    Measure(
        name="a decision made again from stored evidence and collateral alone",
        target="the same decision_digest, the cache lost and the vendor gone",
        take=_again,
    ),
)
TDX = (
    Measure(name="a fake PCS and PCCS that misbehave", target=_NAMED, take=_faults("pcs")),
    Measure(
        name="quotes that name their PCK certificate, types 1 to 4",
        target="the right certificate, one fetch, verified before it is kept; or refused by name",
        take=_certificates,
    ),
    Measure(name="1,000 first requests for one FMSPC at once", target="one fetch of each piece", take=_family),
    Measure(
        name="a cold broker with an imported bundle and no network",
        target="releases a key to a TDX node, and none when the bundle has ended",
        take=_cold,
    ),
)
GPU = (
    Measure(name="a fake RIM service, responder and list host that misbehave", target=_NAMED, take=_faults("nvidia")),
    Measure(
        name="responses about devices that are gone",
        target="not asked for after 30 days without a decision; what decisions rest on stays",
        take=_unused,
    ),
    Measure(name="1,000 first requests for one manifest at once", target="one fetch of each piece", take=_node),
    Measure(
        name="a cold broker with an imported bundle and no network, GPUs",
        target="releases a key to a node with GPUs; nothing is fetched for one that would be refused anyway",
        take=_cold_node,
    ),
)
MEASURES = (*PRODUCT, *TDX, *GPU)
