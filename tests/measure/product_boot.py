"""The measures of the workload's client: the base installation boots, how soon it speaks, how much memory it takes."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import re
import shlex
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.demo.node import SimulatedTee
from tests.makers import imds
from tests.makers.amd import cert_table
from tests.makers.azure_site import azure_site
from tests.makers.intel_files import save_intel
from tests.makers.site import ASSET, MEASUREMENT, PURPOSE, make_site, save_vendor
from tests.makers.vtpm import FakeVtpm
from tests.measure.table import Measure, Result

__all__ = ["MEASURES"]

_ROOT = Path(__file__).resolve().parents[2]
_NAME = ASSET.rpartition("/")[2]
# The entry point's own steps, with configfs-tsm as files that are asked for over standard input and output, or with a
# vTPM behind them: nothing of the makers is loaded with it.
_START = """
import sys
from clients.cli.lean import load_lean
load_lean()
import datetime as dt, json
from clients.cli.main import Doors, main
def ask(*what):
    print(json.dumps(what), flush=True)
    return bytes.fromhex(json.loads(sys.stdin.readline()))
"""
_CONFIGFS = """
class Files:
    def exists(self, path):
        return path.startswith("/sys/kernel/config")
    def mkdir(self, path):
        pass
    rmdir = mkdir
    def read(self, path, limit):
        return ask("read", path)
    def write(self, path, data):
        ask("write", path, data.hex())
class Tee:
    simulated = True
    def collect(self, report_data):
        from clients.workload.tee_configfs import ConfigfsTsm
        return ConfigfsTsm(Files()).collect(report_data)
"""
_AZURE = """
class Tee:
    simulated = True
    def collect(self, report_data):
        from clients.workload.imds import Imds
        from clients.workload.link_local import LinkLocal
        from clients.workload.tee_azure import AzureGuest
        from clients.workload.tpm import Tpm
        from clients.workload.tpm_wire import TpmWire
        service = LinkLocal("127.0.0.1", int(ask("port").decode()))
        return AzureGuest(Tpm(TpmWire(lambda command: ask("tpm", command.hex()))), Imds(service)).collect(report_data)
"""
_END = """
code = main(sys.argv[1:], Doors(now=dt.datetime.now(dt.UTC), simulated=True, tee=Tee()))
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
loaded = sorted({name.split(".")[0] for name in sys.modules})
print(json.dumps({"code": code, "peak": int(status["VmHWM"].split()[0]), "loaded": loaded}))
"""


@functools.cache
def _installed() -> Path:
    """The workload's environment, made by the Containerfile's own lines with other paths."""
    folder = Path(tempfile.mkdtemp(prefix="sealgate-base-"))
    text = (_ROOT / "deploy" / "container" / "Containerfile").read_text(encoding="utf-8")
    stages = dict(re.findall(r"AS (\S+)\n(.*?)(?=\nFROM |\Z)", text, re.DOTALL))
    places = {"/build": folder / "build", "/wheel": folder / "wheel", "/opt/sealgate": folder / "sealgate"}
    for stage in ("build", "workload-tree"):
        for line in re.findall(r"^RUN (.*)$", stages[stage], re.MULTILINE):
            words = [sys.executable if word == "python3" else word for word in shlex.split(line)]
            for real, ours in places.items():
                words = [re.sub(rf"^{real}\b", str(ours), word) for word in words]
            subprocess.run(words, cwd=_ROOT, check=True, capture_output=True, text=True, timeout=600)
    return folder / "sealgate"


@dataclass(frozen=True, kw_only=True)
class _Booted:
    """Exit code, peak KiB, top-level modules loaded, whether the key is one."""

    code: int
    peak: int
    loaded: list[str]
    right: bool


Machine = Callable[[Path], contextlib.AbstractContextManager[Callable[..., bytes]]]


@functools.cache
def _boot(door: str, machine: Machine) -> _Booted:
    """A boot with nothing but the base, on a machine that answers for the kernel."""
    python = _installed() / "bin" / "python"
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name, machine(Path(name) / "site") as kernel:
        site = Path(name) / "site"
        broker = subprocess.Popen(
            [sys.executable, "-m", "deploy.demo.broker", str(site)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=_ROOT,
        )  # fmt: skip
        try:
            assert broker.stdout is not None
            port = json.loads(broker.stdout.readline())["workload"]
            code = _START + door + _END
            command = [str(python), "-I", "-c", code, *_get(site / "trust.json", port, Path(name) / "keys"), "--json"]
            child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/")
            assert child.stdin is not None
            assert child.stdout is not None
            last: dict[str, Any] = {}
            while line := child.stdout.readline():
                said = json.loads(line)
                if isinstance(said, list):
                    child.stdin.write(json.dumps(kernel(*said).hex()) + "\n")
                    child.stdin.flush()
                else:
                    last = said
            child.wait(timeout=60)
            key = (Path(name) / "keys" / f"{_NAME}.key").read_bytes() if last["code"] == 0 else b""
        finally:
            broker.terminate()
            broker.wait(timeout=20)
    return _Booted(code=last["code"], peak=last["peak"], loaded=last["loaded"], right=len(key) == 32)


@contextlib.contextmanager
def _snp(directory: Path) -> Iterator[Callable[..., bytes]]:
    """A guest on SNP, through configfs-tsm."""
    asyncio.run(_site(directory))
    yield _kernel(SimulatedTee(directory, MEASUREMENT))


@contextlib.contextmanager
def _azure(directory: Path) -> Iterator[Callable[..., bytes]]:
    """A guest under Azure's paravisor on TDX, which asks the host for a quote."""
    site = asyncio.run(make_site(directory))
    made = asyncio.run(azure_site(site))
    save_vendor(site)
    save_intel(directory / "vendor" / "intel", made.tdx.intel)
    vtpm = FakeVtpm(made.on_tdx(bytes(64)).hcl_report)
    with imds.listening_on(imds.metadata(quote=made.tdx.platform.quote)) as port:
        yield lambda verb, *data: vtpm(bytes.fromhex(data[0])) if verb == "tpm" else str(port).encode()


def _kernel(tee: SimulatedTee) -> Callable[..., bytes]:
    """Answers the child's files: one entry, whose inblob makes the report."""
    state = {"generation": b"0", "provider": b"sev_guest", "privlevel_floor": b"0"}

    def answer(verb: str, path: str, data: str = "") -> bytes:
        name = path.rpartition("/")[2]
        if verb == "write":
            evidence = tee.collect(bytes.fromhex(data))
            table = cert_table(list(zip(("VCEK", "ASK", "ARK"), evidence.certificates, strict=True)))
            state.update(generation=b"1", outblob=evidence.report, auxblob=table)
            return b""
        return state[name]

    return answer


async def _site(directory: Path) -> Path:
    save_vendor(await make_site(directory))
    return directory


def _get(trust: Path, port: int, keys: Path) -> list[str]:
    where = ["--trust", str(trust), "--broker", f"127.0.0.1:{port}"]
    return ["keys", "get", *where, "--purpose", PURPOSE, "--asset", ASSET, "--dir", str(keys)]


def _base(_long: bool) -> Result:
    booted = _boot(_CONFIGFS, _snp)
    listed = {"sqlalchemy", "cedarpy", "aiohttp", "awscrt", "lxml", "uvloop", "yaml"} & set(booted.loaded)
    met = booted.code == 0 and booted.right and not listed
    return Result(figure=f"exit code {booted.code}, a key of 32 bytes: {booted.right}", met=met)


def _memory(_long: bool) -> Result:
    peak = _boot(_CONFIGFS, _snp).peak
    return Result(figure=f"{peak / 1024:.1f} MiB at the peak of a whole boot", met=peak < 45 * 1024)


def _memory_azure(_long: bool) -> Result:
    booted = _boot(_AZURE, _azure)
    met = booted.code == 0 and booted.right and booted.peak < 45 * 1024
    return Result(figure=f"{booted.peak / 1024:.1f} MiB, exit code {booted.code}", met=met)


def _start(long: bool) -> Result:
    """From the start of the process to the first byte that reaches a socket; CPU time, and beside it the wall clock."""
    command = _installed() / "bin" / "sealgate"
    walls, busy = [], []
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name, socket.create_server(("127.0.0.1", 0)) as listening:
        site = asyncio.run(_site(Path(name) / "site"))
        document = json.loads((site / "trust.json").read_text())
        trust = Path(name) / "trust.json"
        trust.write_text(json.dumps({**document, "simulated": False}))
        arguments = [str(command), *_get(trust, listening.getsockname()[1], Path(name) / "keys")]
        for _ in range(31 if long else 15):
            before = time.perf_counter()
            with subprocess.Popen(arguments, stderr=subprocess.DEVNULL) as process:
                connection, _ = listening.accept()
                connection.recv(1)
                walls.append(time.perf_counter() - before)
                busy.append(_cpu(process.pid))
                process.terminate()
                connection.close()
    cpu, wall, best = min(busy) * 1e3, statistics.median(walls) * 1e3, min(walls) * 1e3
    figure = (
        f"{cpu:.0f} ms of CPU time, the least of {len(busy)}; by the clock {best:.0f} ms at best, median {wall:.0f} ms"
    )
    return Result(figure=figure, met=cpu < 150)


def _cpu(pid: int) -> float:
    """Seconds that the process's threads have run, to the nanosecond (proc(5), schedstat)."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((each / "schedstat").read_text().split()[0]) for each in threads) / 1e9


def _remove(_long: bool) -> Result:
    shutil.rmtree(_installed().parent)
    return Result(figure="removed", met=None)


MEASURES = (
    Measure(name="the base installation alone boots the demo's workload", target="it does", take=_base),
    Measure(name="client start to first byte", target="below 150 ms", take=_start),
    Measure(name="resident memory of a boot", target="below 45 MiB", take=_memory),
    Measure(name="resident memory of a boot in an Azure VM", target="below 45 MiB", take=_memory_azure),
    Measure(name="what was installed for this", target="printed", take=_remove),
)
