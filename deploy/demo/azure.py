"""`make demo TEE=azure-snp`, `TEE=azure-tdx`: the same story in an Azure VM; then one that started something else.

The broker runs in a process of its own. The nodes are the real `sealgate` command in this process, with its own door to
a vTPM and to the host's metadata service; those two are simulated, as are the chip and the platform behind them.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Mapping
from pathlib import Path

from clients.cli.main import Doors
from deploy.demo.stage import DemoFailed, Ports, broker, get, here, operator, say, step, ticket
from kbs.serve.site import Site
from tests.makers.azure_guest import azure_guest
from tests.makers.azure_site import AzureSite, azure_site
from tests.makers.intel_files import save_intel
from tests.makers.site import ASSET, ORIGIN, make_site, save_vendor

__all__ = ["tell_of_azure_snp", "tell_of_azure_tdx"]

_NAME = ASSET.rpartition("/")[2]
_OTHER = b"\xee" * 32


def tell_of_azure_snp(directory: Path) -> None:
    """The whole story on SEV-SNP, in one directory, which must not exist; raises DemoFailed."""
    _tell(directory, "azure-snp")


def tell_of_azure_tdx(directory: Path) -> None:
    """The whole story on TDX, in one directory, which must not exist; raises DemoFailed."""
    _tell(directory, "azure-tdx")


def _tell(directory: Path, platform: str) -> None:
    step(
        "A throwaway vendor, a site, a sealed model; the asset's set names the paravisor, and one image by PCR 4, 7, 11"
    )
    made = asyncio.run(_prepare(directory))
    with broker(directory) as ports:
        _boot(directory, ports, made, platform)
        step("The same paravisor starts another boot loader: PCR 4 differs")
        _refused(directory, ports, made, platform, 4)
        step("Secure boot is off, and the paravisor's report of an earlier boot says it was on: PCR 7 differs")
        _refused(directory, ports, made, platform, 7)
    _audit(directory, made, platform)


async def _prepare(directory: Path) -> AzureSite:
    site = await make_site(directory)
    made = await azure_site(site)
    save_vendor(site)
    save_intel(directory / "vendor" / "intel", made.tdx.intel)
    return made


def _sealgate(
    directory: Path,
    made: AzureSite,
    platform: str,
    *arguments: str,
    pcrs: Mapping[int, bytes] | None = None,
    code: int = 0,
) -> str:
    with azure_guest(made, platform, pcrs) as tee:
        return here(directory, arguments, Doors(now=dt.datetime.now(dt.UTC), simulated=True, tee=tee), code=code)


def _boot(directory: Path, ports: Ports, made: AzureSite, platform: str) -> None:
    host = "a TD quote from the host" if platform == "azure-tdx" else "the chip's certificates from the host"
    step(f"A VM boots: the paravisor's report, a quote of its vTPM over the challenge, {host}; key, receipt")
    keys = directory / "node"
    keys.mkdir()
    _sealgate(directory, made, platform, *get(directory, ports, keys))
    plain = keys / "model.safetensors"
    key = ["--key", str(keys / f"{_NAME}.key"), "--content", str(keys / f"{_NAME}.content")]
    _sealgate(directory, made, platform, "open", str(directory / "sealed" / plain.name), *key, "--out", str(plain))
    if not plain.read_bytes():
        raise DemoFailed("the sealed model did not open")


def _refused(directory: Path, ports: Ports, made: AzureSite, platform: str, number: int) -> None:
    pcrs = {number: _OTHER}
    asked = get(directory, ports, directory / "node")
    refused = _sealgate(directory, made, platform, *asked, pcrs=pcrs, code=3)
    say("what the operator sees: sealgate explain TICKET")
    told = _sealgate(directory, made, platform, "explain", ticket(refused), *operator(directory, ports))
    if f"pcr[{number}]" not in told or "FAIL" not in told:
        raise DemoFailed("the explanation does not name the PCR that differs")


def _audit(directory: Path, made: AzureSite, platform: str) -> None:
    step("The auditor verifies the published log, offline")
    log = Site(directory=directory, deployment=ORIGIN).log
    proof = ["--trust", str(directory / "trust.json"), "--receipt", str(directory / "node" / f"{_NAME}.tlog-proof")]
    _sealgate(directory, made, platform, "audit", "verify", str(log), *proof)
