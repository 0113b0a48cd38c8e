"""A release against its bare parts: one P-384 verification, one HPKE seal, one row with its hash; a sync for many.

CPU time of the process (all threads), sides interleaved, the median of the rounds' ratios.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from awscrt import crypto
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from attest.evidence import SnpEvidence
from attest.snp.report import SIGNED_SIZE
from kbs.release.recipient import SUITES
from kbs.release.release import release
from tests.makers.site import SimulatedSite, make_site, unslowed
from tests.makers.workload import Workload, build

__all__ = ["bench"]

_SUITE = SUITES[1]
_BATCH = 64
_RELEASES = 192


def bench(rounds: int = 7) -> str:
    """One line with the medians."""
    return asyncio.run(_bench(rounds))


async def _bench(rounds: int) -> str:
    with tempfile.TemporaryDirectory() as name:
        site = await make_site(Path(name) / "site")
        bare = _Bare(site, Path(name) / "bare.db")
        ours, parts = [], []
        with site.open(repeats=unslowed()) as running:
            challenges, clock = running.broker.challenges, running.broker.clock
            for number in range(rounds + 1):
                workloads = [build(site.chip, challenges, clock()) for _ in range(_RELEASES)]
                started = time.process_time()
                for first in range(0, _RELEASES, _BATCH):
                    asks = [w.ask for w in workloads[first : first + _BATCH]]
                    await asyncio.gather(*(release(ask, running.broker) for ask in asks))
                middle = time.process_time()
                bare.run(workloads)
                if number:  # the first round warms both sides up
                    ours.append((middle - started) / _RELEASES * 1e6)
                    parts.append((time.process_time() - middle) / _RELEASES * 1e6)
    ratio = statistics.median(a / b for a, b in zip(ours, parts, strict=True))
    return (
        f"release {statistics.median(ours):.0f} us, bare parts {statistics.median(parts):.0f} us, ratio {ratio:.2f} "
        f"({rounds} rounds of {_RELEASES}, {_BATCH} at once)"
    )


class _Bare:
    """The primitives alone, as a program without any of our checks would call them."""

    def __init__(self, site: SimulatedSite, path: Path) -> None:
        self._verify = _bare_p384(site)
        self._secret = os.urandom(32)
        self._signer = Ed25519PrivateKey.generate()
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.execute("CREATE TABLE entry (leaf BLOB, hash BLOB)")

    def run(self, workloads: list[Workload]) -> None:
        for first in range(0, len(workloads), _BATCH):
            self._database.execute("BEGIN IMMEDIATE")
            for workload in workloads[first : first + _BATCH]:
                ask = workload.ask
                assert isinstance(ask.evidence, SnpEvidence)
                self._verify(ask.evidence.report)
                leaf = _SUITE.suite.encrypt(self._secret, _SUITE.parse(ask.recipient_key), info=ask.challenge)
                self._database.execute("INSERT INTO entry VALUES (?, ?)", (leaf, hashlib.sha256(leaf).digest()))
            self._database.execute("COMMIT")
            self._signer.sign(b"one checkpoint for the batch")


def _bare_p384(site: SimulatedSite) -> Callable[[bytes], None]:
    """Verifies one report's signature with AWS-LC and nothing around it."""
    spki = site.chip.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    key = crypto.EC.new_key_from_der_data(spki)

    def check(report: bytes) -> None:
        r = int.from_bytes(report[SIGNED_SIZE : SIGNED_SIZE + 72], "little")
        s = int.from_bytes(report[SIGNED_SIZE + 72 : SIGNED_SIZE + 144], "little")
        digest = hashlib.sha384(report[:SIGNED_SIZE]).digest()
        if not key.verify(digest, encode_dss_signature(r, s)):
            raise ValueError("the bare side must verify too")

    return check
