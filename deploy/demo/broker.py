"""The broker's process of the demonstration: python -m deploy.demo.broker DIRECTORY

Serves until its standard input closes or SIGTERM comes. Prints one line of JSON with the two ports when it is ready.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from dataclasses import replace
from pathlib import Path

import uvloop

from attest.evidence import Collateral
from kbs.collateral.shelf import Shelf
from kbs.guard.repeats import RepeatMeter
from kbs.rpc.server import Tls
from kbs.serve.service import serve
from kbs.serve.site import Site
from kbs.serve.wiring import open_site
from kbs.store.port import Faults, no_fault
from tests.makers import amd
from tests.makers.intel_files import load_intel
from tests.makers.nvidia_files import load_nvidia
from tests.makers.site import ORIGIN

__all__ = ["main", "serve_directory"]


async def serve_directory(directory: Path, *, faults: Faults = no_fault, repeats: RepeatMeter | None = None) -> None:
    """Serves the simulated site in `directory`."""
    vendor = directory / "vendor"
    anchors = amd.anchors_of("Milan", (vendor / "ark.der").read_bytes())
    tls = Tls(
        key=(vendor / "server.key").read_bytes(),
        chain=(vendor / "server.pem").read_bytes(),
        people_ca=(vendor / "people_ca.pem").read_bytes(),
    )
    roots, published = load_nvidia(vendor / "nvidia")
    intel, tdx = load_intel(vendor / "intel")
    anchors = replace(anchors, nvidia=roots, intel=intel)
    crls = ((vendor / "amd.crl").read_bytes(), *published.crls)
    shelf = Shelf(Collateral(crls=crls, rims=published.rims, tdx=tdx))
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_reader(sys.stdin, lambda: None if sys.stdin.read(1) else stop.set())
    with open_site(
        Site(directory=directory, deployment=ORIGIN), shelf, anchors, faults=faults, repeats=repeats
    ) as running:
        async with serve(
            running, tls, host="127.0.0.1", workload_port=0, people_port=0, publish_every_s=0.2
        ) as listeners:
            ports = {"workload": listeners.workload_port, "people": listeners.people_port}
            print(json.dumps(ports), flush=True)
            await stop.wait()


def main() -> None:
    """The process's entry point."""
    uvloop.run(serve_directory(Path(sys.argv[1])))


if __name__ == "__main__":
    main()
