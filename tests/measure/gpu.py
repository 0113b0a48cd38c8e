"""The measures of NVIDIA GPU and NVSwitch verification."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from attest.anchors import BUILT_IN
from attest.evidence import Collateral, DeviceEvidence
from attest.gpu.appraise import appraise_device
from attest.gpu.forms import read_report
from attest.gpu.profile import GpuProfile
from attest.gpu.report import GPU
from attest.gpu.verify import KeptDevices, keep, verify_device
from kbs.release.release import release
from tests.bench.gpu import measure_gpu
from tests.makers.node import node_ask
from tests.makers.nvidia import hgx
from tests.makers.site import make_site, unslowed
from tests.measure.collateral import GPU as FETCHED
from tests.measure.table import Measure, Result
from tests.vectors import VECTORS

__all__ = ["MEASURES"]

_PEER = "nv-local-gpu-verifier==2.7.3"
_PEER_ENVIRONMENT = Path("build") / "nv-local-gpu-verifier"
_NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
_SAMPLES, _RIMS = "nvidia/nvtrust/samples", "nvidia/museop-nvgpu-attestation"
_FILES = (
    f"{_SAMPLES}/hopperAttestationReport.txt",
    f"{_SAMPLES}/hopperCertChain.txt",
    f"{_RIMS}/NV_GPU_DRIVER_GH100_550.90.07.swidtag",
    f"{_RIMS}/NV_GPU_VBIOS_1010_0200_882_96009F0001.swidtag",
)
_PROFILE = {"count": 1, "allow_unchecked_revocation": True, "allow_unstated_mode": True}


def _pytest(*arguments: str) -> Result:
    """Runs tests; met if some ran, none failed and none was skipped."""
    if VECTORS is None:
        return Result(figure="the captured evidence is not here (SEALGATE_VECTORS)", met=False)
    command = [sys.executable, "-m", "pytest", "--no-header", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1_200)
    last = (done.stdout.strip().splitlines() or ["nothing ran"])[-1]
    return Result(figure=last, met=done.returncode == 0 and "passed" in last and "skipped" not in last)


def _vectors(_long: bool) -> Result:
    return _pytest("tests/attest/gpu/test_vectors.py")


def _trailing(_long: bool) -> Result:
    return _pytest(
        "tests/attest/gpu/test_vectors.py", "tests/attest/gpu/test_report.py", "-k", "coco_report1 or trailing"
    )


def _xml(_long: bool) -> Result:
    return _pytest("tests/attest/gpu/test_rim.py")


def _negatives(_long: bool) -> Result:
    return _pytest("tests/attest/gpu", "--deselect", "tests/attest/gpu/test_rim.py")


def _splices(_long: bool) -> Result:
    return _pytest("tests/flow/test_devices.py", "tests/attest/test_devices.py")


def _release(long: bool) -> Result:
    """Releases to one node of 8 GPUs, 4 NVSwitches and its CPU, one after another, everything kept after the first."""
    spent = asyncio.run(_releases(200 if long else 40))
    middle = statistics.median(spent) * 1e3
    return Result(
        figure=f"p50 {middle:.1f} ms, worst {max(spent) * 1e3:.1f} ms, first {spent[0] * 1e3:.1f} ms", met=None
    )


async def _releases(count: int) -> list[float]:
    with tempfile.TemporaryDirectory() as directory:
        site = await make_site(Path(directory) / "site", gpu={"count": 8, "topology": "ppcie"})
        if site.nvidia is None:
            raise ValueError("a site without a throwaway NVIDIA")
        devices, spent = hgx(site.nvidia), []
        with site.open(repeats=unslowed()) as running:
            broker = running.broker
            for _ in range(count):
                challenge = broker.challenges.issue(broker.clock(), broker.random(16))
                ask = node_ask(site.chip, devices, challenge)
                started = time.perf_counter()
                await release(ask, broker)
                spent.append(time.perf_counter() - started)
        return spent


def _bench(long: bool) -> Result:
    f = measure_gpu(31 if long else 15)
    figure = (
        f"{f.share:.2f} of it; own overhead {f.overhead_us:.0f} us beside {f.bare_us:.0f} us; "
        f"appraisal another {f.appraised_us:.0f} us"
    )
    return Result(figure=figure, met=f.share >= 0.7 and f.overhead_us <= 120)


def _ours(*, anew: bool) -> list[float]:
    """CPU seconds of our verification and appraisal of the same report, 7 rounds."""
    if VECTORS is None:
        raise FileNotFoundError("the captured evidence is not here (SEALGATE_VECTORS)")
    report, chain, *rims = ((VECTORS / path).read_bytes() for path in _FILES)
    evidence = DeviceEvidence(kind=GPU, report=read_report(report), chain=chain)
    collateral, nonce = Collateral(rims=tuple(rims)), read_report(report)[4:36]
    profile = GpuProfile.parse(_PROFILE)
    kept = KeptDevices()

    def once() -> None:
        nonlocal kept
        authentic = verify_device(
            evidence, collateral, BUILT_IN, nonce=nonce, now=_NOW, revocation_required=False, kept=kept
        )
        if any(finding.outcome.value == "failed" for finding in appraise_device(0, authentic.claims, profile)):
            raise ValueError("the report must be accepted")
        if not anew:
            kept = keep([authentic])

    once()
    spent = []
    for _ in range(7):
        started = time.process_time()
        for _ in range(20):
            once()
        spent.append((time.process_time() - started) / 20)
    return spent


def _peer_interpreter() -> Path:
    """NVIDIA's verifier in an environment of its own, made once: its pins conflict with ours."""
    python = _PEER_ENVIRONMENT.absolute() / "bin" / "python"
    if not (_PEER_ENVIRONMENT / "made").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(_PEER_ENVIRONMENT)], check=True, timeout=120)
        install = [str(python), "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--quiet", _PEER]
        subprocess.run(install, check=True, timeout=400, capture_output=True)
        (_PEER_ENVIRONMENT / "made").touch()
    return python


def _theirs(rounds: int) -> list[float]:
    """CPU seconds of each attestation by NVIDIA's verifier, the first left out."""
    if VECTORS is None:
        raise FileNotFoundError("the captured evidence is not here (SEALGATE_VECTORS)")
    script = Path(__file__).resolve().with_name("gpu_peer.py")
    files = [str((VECTORS / path).absolute()) for path in _FILES]
    command = [str(_peer_interpreter()), str(script), *files, str(int(_NOW.timestamp())), str(rounds + 1)]
    with tempfile.TemporaryDirectory() as elsewhere:  # it leaves its log where it stands
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300, cwd=elsewhere)
    document = json.loads(done.stdout.splitlines()[-1])
    if not document["succeeded"]:
        raise ValueError("NVIDIA's verifier did not accept the report")
    return [float(seconds) for seconds in document["seconds"][1:]]


def _against_peer(*, anew: bool, least: float) -> Result:
    """Rounds of both sides in turn, so that a busy moment of the machine meets both."""
    ratios, ours, theirs = [], 0.0, 0.0
    for _ in range(3):
        theirs, ours = statistics.median(_theirs(7)), statistics.median(_ours(anew=anew))
        ratios.append(theirs / ours)
    ratio = statistics.median(ratios)
    figure = f"{ratio:.0f} times; {theirs * 1e3:.1f} ms against {ours * 1e3:.2f} ms" if ratio >= 10 else (
        f"{ratio:.1f} times; {theirs * 1e3:.1f} ms against {ours * 1e3:.2f} ms"
    )  # fmt: skip
    return Result(figure=figure, met=ratio >= least)


def _peer_warm(_long: bool) -> Result:
    return _against_peer(anew=False, least=50)


def _peer_anew(_long: bool) -> Result:
    return _against_peer(anew=True, least=3)


MEASURES = (
    Measure(
        name="vectors",
        target="every captured report, chain, manifest and JSON file gets the manifest's verdict, whole sets included",
        take=_vectors,
    ),
    Measure(name="trailing byte", target="the report with one byte behind its signature passes", take=_trailing),
    Measure(name="negatives", target="each refused by its name; every row of the tables", take=_negatives),
    Measure(name="XML attacks", target="all refused, each within 2 s of CPU and 64 MiB", take=_xml),
    Measure(
        name="splice matrix",
        target="swapped, dropped, added, duplicated, reordered, replayed, mixed: each refused by its name",
        take=_splices,
    ),
    Measure(name="8 GPUs, 4 NVSwitches and the CPU in one release", target="p50, printed", take=_release),
    Measure(
        name="one GPU, chain and manifests kept",
        target="at least 0.7 of its bare P-384 check, own overhead at most 120 us",
        take=_bench,
    ),
    Measure(
        name="against nv-local-gpu-verifier, warm",
        target="at least 50 times, on the same report, network parts off",
        take=_peer_warm,
    ),
    Measure(
        name="against nv-local-gpu-verifier, all anew",
        target="at least 3 times, with chain and both manifests verified again",
        take=_peer_anew,
    ),
    *FETCHED,
)
