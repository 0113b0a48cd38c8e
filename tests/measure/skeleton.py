"""The measures of the walking skeleton."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import io
import json
import os
import random
import subprocess
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from attest.binding import bind
from attest.tlog.entry import parse_leaf
from clients.cli.main import Doors
from clients.cli.main import main as sealgate
from deploy.demo import run as demo
from kbs.serve.site import Site
from kbs.store.read import Reader
from tests.bench.release import bench
from tests.flow.test_release import digests_of
from tests.makers.site import ASSET, ORIGIN
from tests.measure.storm import storm
from tests.measure.table import Measure, Result
from tests.vectors import VECTORS

__all__ = ["MEASURES"]

_ROOT = Path(__file__).resolve().parents[2]
_MS = "snp/microsoft-TEE-Attestation-Verification"
_REPORTS = ("milan", "genoa", "turin")


@functools.cache
def _fresh_clone() -> tuple[float, float]:
    """Seconds of `make demo` on a fresh clone with nothing installed, and of the second run there."""
    with tempfile.TemporaryDirectory(prefix="sealgate-measure-") as name:
        clone, home = Path(name) / "clone", Path(name) / "home"
        home.mkdir()
        subprocess.run(["git", "clone", "--quiet", str(_ROOT), str(clone)], check=True)
        dropped = {"VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "SEALGATE_VECTORS"}
        environment = {k: v for k, v in os.environ.items() if k not in dropped}
        environment |= {"HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache"), "PIP_NO_CACHE_DIR": "1"}
        seconds = []
        for _ in range(2):
            started = time.monotonic()
            subprocess.run(["make", "demo"], cwd=clone, env=environment, check=True, capture_output=True, timeout=300)
            seconds.append(time.monotonic() - started)
    return seconds[0], seconds[1]


def _demo_installed(_long: bool) -> Result:
    seconds = _fresh_clone()[0]
    return Result(figure=f"{seconds:.1f} s", met=seconds < 90)


def _demo_again(_long: bool) -> Result:
    seconds = _fresh_clone()[1]
    return Result(figure=f"{seconds:.1f} s", met=seconds < 10)


def _judge(evidence: Path, product: str) -> tuple[int, dict[str, str]]:
    """What `sealgate evidence verify --json` answers about one file with the certificates of a captured report."""
    if VECTORS is None:
        raise FileNotFoundError("the captured evidence is not here (SEALGATE_VECTORS)")
    certificates = [str(VECTORS / _MS / f"{product}_{name}.pem") for name in ("vcek", "ask", "ark")]
    command = ["evidence", "verify", "--type", "snp", "--evidence", str(evidence), "--certs", *certificates]
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = sealgate([*command, "--at", "2026-06-01T00:00:00Z", "--json"], Doors(now=datetime.now(UTC)))
    return code, json.loads(out.getvalue())


def _real_reports(_long: bool) -> Result:
    if VECTORS is None:
        raise FileNotFoundError("the captured evidence is not here (SEALGATE_VECTORS)")
    answers = {p: _judge(VECTORS / _MS / f"{p}_attestation_report.bin", p) for p in _REPORTS}
    verdicts = {product: (code, answer["verdict"]) for product, (code, answer) in answers.items()}
    return Result(figure=str(verdicts), met=all(v == (0, "authentic") for v in verdicts.values()))


def _flipped(long: bool) -> Result:
    if VECTORS is None:
        raise FileNotFoundError("the captured evidence is not here (SEALGATE_VECTORS)")
    rng, checks, accepted, flips = random.Random(1), Counter[str](), 0, 0
    with tempfile.TemporaryDirectory() as name:
        target = Path(name) / "report.bin"
        for product in _REPORTS:
            report = (VECTORS / _MS / f"{product}_attestation_report.bin").read_bytes()
            bits = range(8 * len(report)) if long else sorted(rng.sample(range(8 * len(report)), 300))
            for bit in bits:
                changed = bytearray(report)
                changed[bit // 8] ^= 1 << bit % 8
                target.write_bytes(changed)
                code, answer = _judge(target, product)
                flips += 1
                accepted += code != 4 or answer["verdict"] != "refused" or not answer["check"]
                checks[answer.get("check", "none")] += 1
    return Result(figure=f"{accepted} of {flips} accepted; refused by {dict(checks)}", met=accepted == 0)


def _two_hundred(_long: bool) -> Result:
    seen = asyncio.run(storm(200))
    fine = (seen.entries, seen.leases, seen.wrapped, seen.replies) == (1, 1, 1, 1) and seen.others == {
        "CHALLENGE_REUSED"
    }
    figure = (
        f"{seen.entries} entry, {seen.leases} lease, {seen.wrapped} set of wrapped bytes, {seen.replies} reply "
        f"to {seen.same} identical requests; {seen.different} different ones: {', '.join(sorted(seen.others))}"
    )
    return Result(figure=figure, met=fine)


def _vector(_long: bool) -> Result:
    expected = "000000016400000002616200000008000000000000000100000002000000017800000000"
    got = bind("d", b"ab", 1, [b"x", b""]).hex()
    return Result(figure=got, met=got == expected)


@functools.cache
def _told() -> tuple[int, int, int, int, int]:
    """The demonstration once more, looked into: (entries, digests, without a blob, texts searched, key bytes found)."""
    with tempfile.TemporaryDirectory(prefix="sealgate-measure-") as name:
        directory, out = Path(name) / "site", io.StringIO()
        with contextlib.redirect_stdout(out):
            demo.tell(directory)
        key = (directory / "node" / f"{ASSET.rpartition('/')[2]}.key").read_bytes()
        root = (directory / "root.key").read_bytes()
        reader = Reader(Site(directory=directory, deployment=ORIGIN).store)
        try:
            leaves = list(reader.leaves(0, reader.head().size))
            parsed = [parse_leaf(leaf) for leaf in leaves]
            digests = [(each.header.i, digest) for each in parsed for digest in digests_of(each.body)]
            missing = sum(reader.document(index, digest) is None for index, digest in digests)
        finally:
            reader.close()
        texts = [*leaves, out.getvalue().encode(), (directory / "broker.err").read_bytes()]
        needles = [n for secret in (key, root) for n in (secret, secret[:16], secret.hex().encode())]
        found = sum(needle in text for needle in needles for text in texts)
    return len(leaves), len(digests), missing, len(texts), found


def _blobs(_long: bool) -> Result:
    entries, digests, missing, _, _ = _told()
    return Result(
        figure=f"{digests} digests of {entries} entries, {missing} without a blob", met=digests > 0 and not missing
    )


def _no_key(_long: bool) -> Result:
    entries, _, _, texts, found = _told()
    return Result(
        figure=f"{found} found in {entries} entries and {texts - entries} outputs", met=entries > 0 and not found
    )


def _bench(long: bool) -> Result:
    return Result(figure=bench(rounds=15 if long else 7), met=None)


MEASURES = (
    Measure(name="demo on a fresh clone, with installation", target="under 90 s", take=_demo_installed),
    Measure(name="demo again, without", target="under 10 s", take=_demo_again),
    Measure(name="real Milan, Genoa and Turin reports", target="authentic", take=_real_reports),
    Measure(name="each with one bit flipped", target="refused, with its check name", take=_flipped),
    Measure(
        name="200 concurrent uses of one challenge",
        target="one entry, lease, set of wrapped bytes, reply; CHALLENGE_REUSED for different requests",
        take=_two_hundred,
    ),
    Measure(name="bind()", target="the vector of the design", take=_vector),
    Measure(name="digests of the demo's entries", target="every one resolves to a blob", take=_blobs),
    Measure(name="key bytes in entries and log lines of the demo", target="none", take=_no_key),
    Measure(name="release against its bare parts, CPU", target="printed", take=_bench),
)
