"""kill -9 under load, at every point of a release: never a key without its entry, never a fork, no stored reply lost.

Each round: a broker in a process of its own dies at a point while clients release keys over the wire; it is started
again; every request, answered or not, is repeated and must get its one answer; the log is then recomputed whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from sealgate.v1.key_release_pb2 import GetChallengeResponse, ReleaseKeysResponse

from attest.tlog.entry import parse_leaf
from attest.tlog.keys import VerifierKey
from attest.tlog.merkle import leaf_hash, root_of
from attest.tlog.proof_file import ProofFile, verify
from clients.trust import read_trust
from kbs.store.read import Reader
from tests.makers.site import SimulatedSite, make_site, save_vendor
from tests.makers.workload import wire_request

__all__ = ["POINTS", "Found", "soak"]

POINTS = (
    "challenged", "verified", "decided", "after-wrap", "begun", "judged", "placed", "before-commit", "after-commit",
    "before-reply", "signed", "published-tiles",
)  # fmt: skip
_SERVICE = "/sealgate.v1.KeyRelease"
_CLIENTS = 6


@dataclass(kw_only=True)
class Found:
    """What all rounds together saw. Every list of wrongs must stay empty."""

    kills: int = 0
    requests: int = 0
    unanswered: int = 0
    wrongs: list[str] = field(default_factory=list)


@contextlib.asynccontextmanager
async def _broker(directory: Path, *module: str) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module[0], str(directory), *module[1:],
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        if process.stdout is None:
            raise RuntimeError("the broker has no output")
        ports = json.loads(await process.stdout.readline())
        yield f"127.0.0.1:{ports['workload']}", process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def _call(channel: grpc.aio.Channel, method: str, request: bytes) -> bytes | None:
    call: Any = channel.unary_unary(f"{_SERVICE}/{method}")
    try:
        return bytes(await call(request, timeout=20))
    except grpc.aio.AioRpcError:
        return None


async def _client(channel: grpc.aio.Channel, site: SimulatedSite, sent: dict[bytes, bytes | None]) -> None:
    """Releases until the broker is gone; `sent` keeps each request with its reply."""
    while True:
        answer = await _call(channel, "GetChallenge", b"")
        if answer is None:
            return
        request = wire_request(site.chip, GetChallengeResponse.FromString(answer).challenge)
        sent[request] = None
        sent[request] = await _call(channel, "ReleaseKeys", request)
        if sent[request] is None:
            return


async def _round(site: SimulatedSite, point: str, count: int, found: Found) -> None:
    credentials = grpc.ssl_channel_credentials(read_trust(site.trust, simulated=True).broker_ca)
    sent: dict[bytes, bytes | None] = {}
    async with (
        _broker(site.directory, "tests.flow.crash_broker", point, str(count)) as (address, process),
        grpc.aio.secure_channel(address, credentials) as channel,
    ):
        await asyncio.gather(*(_client(channel, site, sent) for _ in range(_CLIENTS)))
        if await process.wait() != -9:
            found.wrongs.append(f"{point}: the broker was not killed")
    found.kills += 1
    found.requests += len(sent)
    found.unanswered += sum(reply is None for reply in sent.values())
    async with (
        _broker(site.directory, "deploy.demo.broker") as (address, _),
        grpc.aio.secure_channel(address, credentials) as channel,
    ):
        for request, reply in sent.items():
            again = await _call(channel, "ReleaseKeys", request)
            if again is None:
                found.wrongs.append(f"{point}: a request got no answer after the restart")
            elif reply is not None and again != reply:
                found.wrongs.append(f"{point}: a stored reply was lost")
            sent[request] = again
    _check_log(site, point, [r for r in sent.values() if r is not None], found)


def _check_log(site: SimulatedSite, point: str, replies: list[bytes], found: Found) -> None:
    """The whole log, recomputed, against every reply that left."""
    key = read_trust(site.trust, simulated=True).log_keys[0]
    reader = Reader(site.site.store)
    try:
        head = reader.head()
        leaves = list(reader.leaves(0, head.size))
    finally:
        reader.close()
    if root_of([leaf_hash(leaf) for leaf in leaves]) != head.root:
        found.wrongs.append(f"{point}: the root is not that of the entries")
    bounds = [body["bound"] for body in (parse_leaf(leaf).body for leaf in leaves) if body["type"] == "release.granted"]
    if len(bounds) != len(set(bounds)):
        found.wrongs.append(f"{point}: one request has two entries")
    for reply in replies:
        _check_reply(ReleaseKeysResponse.FromString(reply), leaves, key, point, found)


def _check_reply(
    response: ReleaseKeysResponse, leaves: list[bytes], key: VerifierKey, point: str, found: Found
) -> None:
    receipt = response.receipt
    proof = ProofFile(index=receipt.index, hashes=tuple(receipt.hashes), checkpoint=receipt.checkpoint)
    verify(proof, receipt.leaf, key.name, [key])
    if receipt.index >= len(leaves) or leaves[receipt.index] != receipt.leaf:
        found.wrongs.append(f"{point}: a key left whose entry is not in the log")


async def soak(rounds: int, *, seed: int = 3) -> Found:
    """`rounds` kills at each point."""
    rng, found = random.Random(seed), Found()
    for point in POINTS:
        with tempfile.TemporaryDirectory(prefix="sealgate-soak-") as name:
            site = await make_site(Path(name) / "site")
            save_vendor(site)
            for _ in range(rounds):
                count = 1 if point == "published-tiles" else rng.randrange(1, 25)
                await _round(site, point, count, found)
        print(f"  {point}: {found.kills} kills, {found.requests} requests, {len(found.wrongs)} wrong", flush=True)
    return found


if __name__ == "__main__":
    outcome = asyncio.run(soak(int(sys.argv[1]) if len(sys.argv) > 1 else 3))
    print("\n".join(outcome.wrongs) or "nothing wrong")
    sys.exit(bool(outcome.wrongs))
