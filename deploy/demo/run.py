"""`make demo`: one node boots, proves itself, gets its key, and the log proves it. Then three things that must fail.

Each step runs the real command or the real broker in a process of its own and is checked; the demonstration fails
loudly if anything differs from what it claims.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from deploy.demo.azure import tell_of_azure_snp, tell_of_azure_tdx
from deploy.demo.breaks import BREAKS
from deploy.demo.gpus import tell_of_gpus
from deploy.demo.stage import MEMORY, DemoFailed, Ports, broker, edit, get, node, operator, say, step, ticket
from deploy.demo.tdx import tell_of_tdx
from kbs.serve.site import Site
from tests.makers import safetensors
from tests.makers.site import ASSET, MEASUREMENT, ORIGIN, make_site, save_vendor

__all__ = ["DemoFailed", "main", "tell"]

OTHER = hashlib.sha384(b"an image nobody registered").digest()


def main(arguments: Sequence[str] = ()) -> int:
    """Runs the demonstration, or one thing that breaks; 0 if every step did what it says."""
    parser = argparse.ArgumentParser(prog="make demo", description="One simulated node, a real broker, a real log.")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--break", dest="broken", default="", metavar="NAME", help="what is to be wrong")
    what.add_argument("--gpus", type=int, choices=(8,), metavar="8", help="a node with eight GPUs instead")
    what.add_argument(
        "--tee", default="", metavar="NAME", help="the story in another TEE: snp, tdx, azure-snp or azure-tdx"
    )
    parsed = parser.parse_args(arguments)
    broken = parsed.broken
    if broken and broken not in BREAKS:
        print(f"there is no BREAK={broken}; there are: {', '.join(BREAKS)}", file=sys.stderr)
        return 2
    if parsed.tee and parsed.tee not in TEES:
        print(f"there is no TEE={parsed.tee}; there are: {', '.join(TEES)}", file=sys.stderr)
        return 2
    story = tell_of_gpus if parsed.gpus else BREAKS[broken].tell if broken else TEES[parsed.tee or "snp"]
    started = time.monotonic()
    memory = str(MEMORY) if MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="sealgate-demo-", dir=memory) as name:
        try:
            story(Path(name) / "site")
        except DemoFailed as error:
            print(f"\nThe demonstration failed: {error}", file=sys.stderr)
            return 1
    print(f"\nDone in {time.monotonic() - started:.1f} s. Everything above was simulated under throwaway roots.")
    return 0


def tell(directory: Path) -> None:
    """The whole story in one directory, which must not exist; raises DemoFailed."""
    step("A throwaway AMD, a site, a sealed model")
    asyncio.run(_prepare(directory))
    say(f"root key, store, genesis entry and catalogue of {ORIGIN}; the model is sealed to a public key")
    with broker(directory) as ports:
        say(f"broker: TLS 1.3 on 127.0.0.1, workloads on port {ports.workload}, people on port {ports.people}")
        _boot(directory, ports)
        _refuse(directory, ports)
    _audit(directory)


async def _prepare(directory: Path) -> None:
    save_vendor(await make_site(directory))


def _boot(directory: Path, ports: Ports) -> None:
    step("A node boots: challenge, SEV-SNP report over it, key, receipt checked before anything is opened")
    keys = directory / "node"
    keys.mkdir()
    node(directory, MEASUREMENT, *get(directory, ports, keys))
    plain = keys / "model.safetensors"
    name = ASSET.rpartition("/")[2]
    key = ["--key", str(keys / f"{name}.key"), "--content", str(keys / f"{name}.content")]
    node(directory, MEASUREMENT, "open", str(directory / "sealed" / plain.name), *key, "--out", str(plain))
    tensors = safetensors.read_header(plain.read_bytes())
    say(f"the sealed safetensors file opens with it: {len(tensors)} tensors")


def _refuse(directory: Path, ports: Ports) -> None:
    step("Another image asks for the same key and is refused")
    refused = node(directory, OTHER, *get(directory, ports, directory / "node"), code=3)
    step("What the operator sees: sealgate explain TICKET")
    told = node(directory, OTHER, "explain", ticket(refused), *operator(directory, ports))
    if "POLICY_MEASUREMENT" not in told or "FAIL" not in told:
        raise DemoFailed("the explanation does not name the measurement")


TEES: Mapping[str, Callable[[Path], None]] = {
    "snp": tell,
    "tdx": tell_of_tdx,
    "azure-snp": tell_of_azure_snp,
    "azure-tdx": tell_of_azure_tdx,
}


def _audit(directory: Path) -> None:
    step("The auditor verifies the published log, offline")
    log, trust = Site(directory=directory, deployment=ORIGIN).log, str(directory / "trust.json")
    receipt = str(directory / "node" / f"{ASSET.rpartition('/')[2]}.tlog-proof")
    node(directory, MEASUREMENT, "audit", "verify", str(log), "--trust", trust, "--receipt", receipt)
    step("One byte of one entry is flipped, and the auditor says so")
    edited = edit(log, directory / "edited")
    node(directory, MEASUREMENT, "audit", "verify", str(edited), "--trust", trust, "--receipt", receipt, code=10)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
