"""`make demo`: one node boots, proves itself, gets its key, and the log proves it. Then three things that must fail.

Each step runs the real command or the real broker in a process of its own and is checked; the demonstration fails
loudly if anything differs from what it claims.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from kbs.serve.site import Site
from tests.makers import safetensors
from tests.makers.site import ASSET, MEASUREMENT, ORIGIN, PURPOSE, make_site, save_vendor

__all__ = ["DemoFailed", "main", "tell"]

_MEMORY = Path("/dev/shm")  # keys are written to memory alone
_OTHER = hashlib.sha384(b"an image nobody registered").digest()


class DemoFailed(Exception):
    """A step did not do what the demonstration says it does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where the broker listens on loopback."""

    workload: int
    people: int


def main() -> int:
    """Runs the demonstration; 0 if every step did what it says."""
    started = time.monotonic()
    memory = str(_MEMORY) if _MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="sealgate-demo-", dir=memory) as name:
        directory = Path(name) / "site"
        try:
            tell(directory)
        except DemoFailed as error:
            print(f"\nThe demonstration failed: {error}", file=sys.stderr)
            return 1
    print(f"\nDone in {time.monotonic() - started:.1f} s. Everything above was simulated under throwaway AMD roots.")
    return 0


def tell(directory: Path) -> None:
    """The whole story in one directory, which must not exist; raises DemoFailed."""
    _step("A throwaway AMD, a site, a sealed model")
    asyncio.run(_prepare(directory))
    _say(f"root key, store, genesis entry and catalogue of {ORIGIN}; the model is sealed to a public key")
    with _broker(directory) as ports:
        _boot(directory, ports)
        _refuse(directory, ports)
    _audit(directory)


async def _prepare(directory: Path) -> None:
    save_vendor(await make_site(directory))


@contextmanager
def _broker(directory: Path) -> Iterator[Ports]:
    """The broker in a process of its own, until the block ends."""
    command = [sys.executable, "-m", "deploy.demo.broker", str(directory)]
    with (
        (directory / "broker.err").open("w") as errors,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        try:
            yield _ports(process.stdout)
        finally:
            process.terminate()
            if process.wait(timeout=20) != 0:
                raise DemoFailed(f"the broker ended with code {process.returncode}")


def _ports(stdout: IO[str] | None) -> Ports:
    line = stdout.readline() if stdout else ""
    if not line:
        raise DemoFailed("the broker did not start")
    ports = Ports(**json.loads(line))
    _say(f"broker: TLS 1.3 on 127.0.0.1, workloads on port {ports.workload}, people on port {ports.people}")
    return ports


def _boot(directory: Path, ports: Ports) -> None:
    _step("A node boots: challenge, SEV-SNP report over it, key, receipt checked before anything is opened")
    keys = directory / "node"
    keys.mkdir()
    _node(directory, MEASUREMENT, *_get(directory, ports, keys))
    plain = keys / "model.safetensors"
    name = ASSET.rpartition("/")[2]
    key = ["--key", str(keys / f"{name}.key"), "--content", str(keys / f"{name}.content")]
    _node(directory, MEASUREMENT, "open", str(directory / "sealed" / plain.name), *key, "--out", str(plain))
    tensors = safetensors.read_header(plain.read_bytes())
    _say(f"the sealed safetensors file opens with it: {len(tensors)} tensors")


def _refuse(directory: Path, ports: Ports) -> None:
    _step("Another image asks for the same key and is refused")
    refused = _node(directory, _OTHER, *_get(directory, ports, directory / "node"), code=3)
    match = re.search(r"Ticket: ([0-9a-f]{32})", refused)
    if match is None:
        raise DemoFailed("the refusal has no ticket")
    _step("What the operator sees: sealgate explain TICKET")
    identity = ["--key", str(directory / "operator.key"), "--cert", str(directory / "operator.pem")]
    broker = ["--trust", str(directory / "trust.json"), "--broker", f"127.0.0.1:{ports.people}"]
    told = _node(directory, _OTHER, "explain", match[1], *broker, *identity)
    if "POLICY_MEASUREMENT" not in told or "FAIL" not in told:
        raise DemoFailed("the explanation does not name the measurement")


def _audit(directory: Path) -> None:
    _step("The auditor verifies the published log, offline")
    log, trust = Site(directory=directory, deployment=ORIGIN).log, str(directory / "trust.json")
    receipt = str(directory / "node" / f"{ASSET.rpartition('/')[2]}.tlog-proof")
    _node(directory, MEASUREMENT, "audit", "verify", str(log), "--trust", trust, "--receipt", receipt)
    _step("One byte of one entry is flipped, and the auditor says so")
    edited = directory / "edited"
    shutil.copytree(log, edited)
    bundle = next(path for path in sorted((edited / "tile" / "entries").rglob("*")) if path.is_file())
    data = bytearray(bundle.read_bytes())
    data[len(data) // 2] ^= 1
    bundle.write_bytes(data)
    _node(directory, MEASUREMENT, "audit", "verify", str(edited), "--trust", trust, "--receipt", receipt, code=10)


def _get(directory: Path, ports: Ports, keys: Path) -> list[str]:
    broker = ["--trust", str(directory / "trust.json"), "--broker", f"127.0.0.1:{ports.workload}"]
    disk = [] if keys.is_relative_to(_MEMORY) else ["--unsafe-write-keys-to-disk"]
    return ["keys", "get", *broker, "--purpose", PURPOSE, "--asset", ASSET, "--dir", str(keys), *disk]


def _node(directory: Path, measurement: bytes, *arguments: str, code: int = 0) -> str:
    """One `sealgate` command on a simulated node; what it printed. It must end with `code`."""
    _command(directory, arguments)
    command = [sys.executable, "-m", "deploy.demo.node", str(directory), measurement.hex(), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    printed = (done.stdout + done.stderr).strip()
    for line in printed.splitlines():
        print(f"    {line}")
    if done.returncode != code:
        raise DemoFailed(f"`sealgate {arguments[0]}` ended with code {done.returncode}, expected {code}")
    return printed


def _command(directory: Path, arguments: Sequence[str]) -> None:
    """Shows the command as a person would type it: file names without their folder."""
    short = [a.removeprefix(f"{directory}/") for a in arguments]
    print(f"  $ sealgate {' '.join(short)}", flush=True)


def _step(title: str) -> None:
    print(f"\n== {title}", flush=True)


def _say(text: str) -> None:
    print(f"  {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
