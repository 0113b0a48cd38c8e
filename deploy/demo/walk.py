"""The walk: a deployment from nothing to a verified log, as README.md tells it, in a place where nodes are simulated.

The commands are those of the README, to the letter. `here` puts this place's ports and memory into them.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from deploy.demo.stage import DemoFailed
from tests.makers import amd, safetensors
from tests.makers.site import MEASUREMENT, save_chip

__all__ = ["ASSET", "MEMORY", "OTHER_IMAGE", "PEOPLE", "ROOT", "WALK", "WORKLOAD", "Place", "make_place", "serving"]

ROOT = Path(__file__).resolve().parents[2]
ASSET = "tenants/acme/assets/llm"
WORKLOAD, PEOPLE, WEB = "127.0.0.1:8443", "127.0.0.1:8444", "127.0.0.1:8080"
MEMORY = "/dev/shm/llm"  # where the README's node puts its keys
OTHER_IMAGE = bytes.fromhex("ee") * 48
_AS_ALICE = f"--trust site/trust.json --broker {PEOPLE} --key alice.key --cert alice.pem"
_SERVE = "sealgate-broker serve --config broker.toml &"
WALK = (
    "make .venv/run.stamp",
    "PATH=$PWD/.venv/bin:$PATH",
    "cp -r deploy/first-site mysite && cd mysite",
    "sealgate-broker custody keygen --out recovery-1 --out recovery-2",
    "sealgate-broker init --config broker.toml --founder alice:operator,auditor --founder bob:operator --codes .",
    _SERVE,
    f"sealgate enrol --trust site/trust.json --broker {WORKLOAD} --code-file alice.code --out alice --wait 30s",
    f"sealgate enrol --trust site/trust.json --broker {WORKLOAD} --code-file bob.code --out bob",
    f"sealgate apply -f catalogue.yaml {_AS_ALICE}",
    f"sealgate key create --asset {ASSET} --out llm.pub {_AS_ALICE}",
    f"sealgate seal --asset {ASSET} --recipient llm.pub --out sealed model.safetensors",
    f"sealgate asset set {ASSET} --manifest sealed/manifest.json {_AS_ALICE}",
    f"sealgate keys get --trust site/trust.json --broker {WORKLOAD} --purpose training --asset {ASSET} --dir {MEMORY}",
    f"sealgate audit verify site/log --trust site/trust.json --receipt {MEMORY}/llm.tlog-proof --wait 10",
)
_HERE = 3  # what comes before is done by `make_place`
_PROGRAM = """#!{python}
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from deploy.demo.{module} import run
sys.exit(run({arguments}, sys.argv[1:]))
"""
_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A folder with programs of its own in `bin`, a piece of memory for keys, and three ports."""

    folder: Path
    memory: Path
    workload: int
    people: int
    web: int

    def here(self, command: str) -> str:
        """A command of the README's, with this place's ports and memory."""
        ours = {WORKLOAD: self.workload, PEOPLE: self.people, WEB: self.web}
        for address, port in ours.items():
            command = command.replace(address, f"127.0.0.1:{port}")
        return command.replace(MEMORY, str(self.memory / "llm"))

    def run(self, command: str, *, code: int = 0) -> str:
        """What a shell here prints for one command, which must end with `code`."""
        done = subprocess.run(
            ["bash", "-c", command], cwd=self.folder, env=self._environment(), capture_output=True, text=True,
            check=False, timeout=_PATIENCE_S,
        )  # fmt: skip
        printed = (done.stdout + done.stderr).strip()
        if done.returncode != code:
            raise DemoFailed(f"`{command}` ended with code {done.returncode}, expected {code}:\n{printed}")
        return printed

    def start(self, command: str, output: Path) -> subprocess.Popen[bytes]:
        """A command that goes on; its output goes to a file."""
        with output.open("wb") as file:
            words = ["bash", "-c", f"exec {command.removesuffix('&')}"]
            return subprocess.Popen(words, cwd=self.folder, env=self._environment(), stdout=file, stderr=file)

    def _environment(self) -> dict[str, str]:
        path = f"{self.folder / 'bin'}:{os.environ.get('PATH', os.defpath)}"
        return {**os.environ, "PATH": path, "HOME": str(self.folder / "home")}


def make_place(folder: Path, memory: Path, *, usual_ports: bool) -> Place:
    """What the walk begins with, for a simulated machine: an AMD of its own, programs, a model, any free ports."""
    shutil.copytree(ROOT / "deploy" / "first-site", folder, ignore=shutil.ignore_patterns("*.md"))
    folder.chmod(0o700)
    vendor = amd.mint(now=dt.datetime.now(dt.UTC))
    (folder / "vendor").mkdir(mode=0o700)
    save_chip(folder / "vendor", vendor.chip())
    (folder / "collateral").mkdir()
    (folder / "collateral" / "amd.crl").write_bytes(vendor.crl())
    (folder / "model.safetensors").write_bytes(safetensors.make())
    usual = [int(address.rpartition(":")[2]) for address in (WORKLOAD, PEOPLE, WEB)]
    workload, people, web = usual if usual_ports and _free(usual) else _any_ports(3)
    with (folder / "broker.toml").open("a") as file:
        file.write(f'\n[collateral]\ndirectory = "collateral"\nfetch = "nothing"\n\n[web]\nport = {web}\n')
        file.write("\n[processes]\nworkers = 1\n")
    text = (folder / "broker.toml").read_text()
    ports = f"[listen]\nworkload_port = {workload}\npeople_port = {people}\n"
    (folder / "broker.toml").write_text(text.replace("[listen]\n", ports))
    _write_programs(folder)
    return Place(folder=folder, memory=memory, workload=workload, people=people, web=web)


@contextmanager
def serving(place: Place, say: Callable[[str], object]) -> Iterator[None]:
    """Goes the walk, then serves until the block ends. `say` is told of each command before it runs.

    Raises DemoFailed if a command does not end as it should.
    """
    with ExitStack() as held:
        for command in map(place.here, WALK[_HERE:]):
            say(command)
            if command == _SERVE:
                held.enter_context(_served(place))
            else:
                place.run(command)
        yield


@contextmanager
def _served(place: Place) -> Iterator[None]:
    output = place.folder / "broker.out"
    process = place.start(_SERVE, output)
    try:
        _until_served(process, output)
        yield
    finally:
        process.terminate()
        if process.wait(timeout=_PATIENCE_S) != 0:
            raise DemoFailed(f"the broker ended with code {process.returncode}: {output.read_text()}")


def _until_served(process: subprocess.Popen[bytes], output: Path) -> None:
    end = time.monotonic() + _PATIENCE_S
    while "is served by" not in output.read_text():
        if process.poll() is not None or time.monotonic() > end:
            raise DemoFailed(f"the broker did not start: {output.read_text()}")
        time.sleep(0.05)


def _write_programs(folder: Path) -> None:
    """`sealgate-broker`; `sealgate` on a node with the registered image, and on one with an image of its own."""
    (folder / "bin").mkdir()
    here = f"Path({str(folder)!r})"
    programs = {
        "sealgate-broker": ("simulated_broker", f"{here}, Path(__file__)"),
        "sealgate": ("node", f'{here}, bytes.fromhex("{MEASUREMENT.hex()}")'),
        "sealgate-other-image": ("node", f'{here}, bytes.fromhex("{OTHER_IMAGE.hex()}")'),
    }
    for name, (module, arguments) in programs.items():
        text = _PROGRAM.format(python=sys.executable, root=str(ROOT), module=module, arguments=arguments)
        (folder / "bin" / name).write_text(text)
        (folder / "bin" / name).chmod(0o755)


def _free(ports: list[int]) -> bool:
    """Whether nobody listens there."""
    for port in ports:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return False
    return True


def _any_ports(count: int) -> list[int]:
    """Free ones among those that nobody is given who asks for any: they are still free when the broker starts."""
    first = 20_000 + os.getpid() * count % 10_000
    return list(islice((port for port in range(first, 1 << 16) if _bindable(port)), count))


def _bindable(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
