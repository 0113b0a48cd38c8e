"""`make demo TEE=tdx`: the same story in an Intel TD; then a TD with another kernel command line, and one under debug.

The broker runs in a process of its own. The nodes are the real `sealgate` command in this process, where their platform
lives, handed another door to it; nothing else of it is simulated.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from attest.evidence import TdxEvidence
from clients.cli.main import Doors
from deploy.demo.stage import DemoFailed, Ports, broker, get, here, operator, say, step, ticket
from kbs.serve.site import Site
from tests.makers.intel import Platform
from tests.makers.intel_files import save_intel
from tests.makers.site import ASSET, ORIGIN, make_site, save_vendor
from tests.makers.tdx_site import tdx_site

__all__ = ["tell_of_tdx"]

_NAME = ASSET.rpartition("/")[2]
_DEBUG = 1 << 28 | 1  # TDATTRIBUTES: SEPT_VE_DISABLE, and bit 0: the host may read and change the TD


@dataclass(kw_only=True)
class _Td:
    """A TD of the throwaway Intel's platform; `fields` of its quotes are other than those of the registered image."""

    platform: Platform
    fields: Mapping[str, int | bytes] = field(default_factory=dict)
    simulated: bool = True

    def collect(self, report_data: bytes) -> TdxEvidence:
        return self.platform.evidence(report_data, **self.fields)


def tell_of_tdx(directory: Path) -> None:
    """The whole story in one directory, which must not exist; raises DemoFailed."""
    step("A throwaway Intel, a site, a sealed model; the asset's set names one image by MRTD and RTMR0 to 2")
    platform = asyncio.run(_prepare(directory))
    with broker(directory) as ports:
        _boot(directory, ports, _Td(platform=platform))
        _another_command_line(directory, ports, _Td(platform=platform, fields={"rtmr2": b"\xee" * 48}))
        _under_debug(directory, ports, _Td(platform=platform, fields={"td_attributes": _DEBUG}))
    _audit(directory, _Td(platform=platform))


async def _prepare(directory: Path) -> Platform:
    made = await make_site(directory)
    with_td = await tdx_site(made)
    save_vendor(made)
    save_intel(directory / "vendor" / "intel", with_td.intel)
    return with_td.platform


def _sealgate(directory: Path, td: _Td, *arguments: str, code: int = 0) -> str:
    return here(directory, arguments, Doors(now=dt.datetime.now(dt.UTC), simulated=True, tee=td), code=code)


def _boot(directory: Path, ports: Ports, td: _Td) -> None:
    step("A TD boots: challenge, TDX quote over it, TCB and QE identity as Intel publishes them, key, receipt")
    keys = directory / "node"
    keys.mkdir()
    _sealgate(directory, td, *get(directory, ports, keys))
    plain = keys / "model.safetensors"
    key = ["--key", str(keys / f"{_NAME}.key"), "--content", str(keys / f"{_NAME}.content")]
    _sealgate(directory, td, "open", str(directory / "sealed" / plain.name), *key, "--out", str(plain))
    if not plain.read_bytes():
        raise DemoFailed("the sealed model did not open")


def _another_command_line(directory: Path, ports: Ports, td: _Td) -> None:
    step("The same firmware and kernel boot with another command line: RTMR2 differs")
    refused = _sealgate(directory, td, *get(directory, ports, directory / "node"), code=3)
    step("What the operator sees: sealgate explain TICKET")
    told = _sealgate(directory, td, "explain", ticket(refused), *operator(directory, ports))
    if "rtmr2" not in told or "FAIL" not in told:
        raise DemoFailed("the explanation does not name the register that differs")


def _under_debug(directory: Path, ports: Ports, td: _Td) -> None:
    step("The host starts the registered image under debug: it could read the TD's memory")
    refused = _sealgate(directory, td, *get(directory, ports, directory / "node"), code=3)
    if "DEBUG_ENABLED" not in refused:
        raise DemoFailed("it was refused for another reason")
    say("what depends on no asset is told to the node as it is")


def _audit(directory: Path, td: _Td) -> None:
    step("The auditor verifies the published log, offline")
    log = Site(directory=directory, deployment=ORIGIN).log
    proof = ["--trust", str(directory / "trust.json"), "--receipt", str(directory / "node" / f"{_NAME}.tlog-proof")]
    _sealgate(directory, td, "audit", "verify", str(log), *proof)
