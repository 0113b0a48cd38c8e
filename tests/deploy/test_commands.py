"""The command lines of deploy/, as they stand in the units and scripts, run against a broker with a simulated TEE."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from tests.makers.site import ASSET, MEASUREMENT, PURPOSE, SimulatedSite, save_vendor

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
NAME = ASSET.rpartition("/")[2]
SEALGATE = "/opt/sealgate/bin/sealgate"


class Machine:
    """A guest in a directory: where its trust file, its command and its memory are, in place of the real ones."""

    def __init__(self, site: SimulatedSite, port: int, memory: Path, folder: Path) -> None:
        self.broker, self.memory, self.etc = f"127.0.0.1:{port}", memory, folder / "etc"
        self.etc.mkdir()
        shutil.copy(site.trust, self.etc / "trust.json")
        self.sealgate = folder / "sealgate"
        node = [sys.executable, "-m", "deploy.demo.node", str(site.directory), MEASUREMENT.hex()]
        self.sealgate.write_text(f'#!/bin/sh\ncd {shlex.quote(str(ROOT))}\nexec {shlex.join(node)} "$@"\n')
        self.sealgate.chmod(0o755)

    def here(self, text: str) -> str:
        """The text with this machine's places."""
        places = {SEALGATE: self.sealgate, "/etc/sealgate": self.etc, "/run/sealgate-keys": self.memory / "keys"}
        for real, ours in places.items():
            text = text.replace(real, str(ours))
        return text

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    def keys(self) -> dict[str, int]:
        """What was written, with its mode."""
        return {p.name: p.stat().st_mode & 0o777 for p in (self.memory / "keys").rglob("*") if p.is_file()}


@pytest.fixture
def memory() -> Iterator[Path]:
    if not Path("/dev/shm").is_dir():
        pytest.fail("there is no /dev/shm: keys are written to memory alone")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        yield Path(name)


@pytest_asyncio.fixture
async def machine(site: SimulatedSite, memory: Path, tmp_path: Path) -> AsyncIterator[Machine]:
    save_vendor(site)
    async with site.serve() as (_, listeners):
        yield Machine(site, listeners.workload_port, memory, tmp_path)


def conf(machine: Machine) -> dict[str, str]:
    """keys.conf with the demo's values; its own are those of an example."""
    lines = (DEPLOY / "systemd" / "keys.conf").read_text().splitlines()
    given = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    ours = {"BROKER": machine.broker, "PURPOSE": PURPOSE, "ASSET": ASSET, "OWNER": f"{os.getuid()}:{os.getgid()}"}
    assert given.keys() == ours.keys()
    (machine.etc / "keys.conf").write_text("".join(f"{name}={value}\n" for name, value in ours.items()))
    return ours


def unit(name: str) -> dict[str, list[str]]:
    """A unit's settings; those given more than once in order."""
    found: dict[str, list[str]] = {}
    for line in (DEPLOY / "systemd" / name).read_text().replace("\\\n", " ").splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


async def test_the_units_command(machine: Machine) -> None:
    settings = unit("sealgate-keys.service")
    values = conf(machine)
    (start,) = settings["ExecStart"]
    words = shlex.split(re.sub(r"\$\{(\w+)\}", lambda m: values[m[1]], start))
    assert words[0] == SEALGATE
    done = await asyncio.to_thread(machine.run, *map(machine.here, words))
    assert done.returncode == 0, done.stderr
    assert machine.keys() == dict.fromkeys((f"{NAME}.key", f"{NAME}.content", f"{NAME}.tlog-proof"), 0o440)


async def test_the_units_command_for_gpus_asks_for_nothing_without_them(machine: Machine) -> None:
    values = conf(machine)
    (plain,), (reset, start) = unit("sealgate-keys.service")["ExecStart"], unit("gpu.conf")["ExecStart"]
    assert (reset, start) == ("", f"{plain} --devices nvidia --gpu-ready")
    words = shlex.split(re.sub(r"\$\{(\w+)\}", lambda m: values[m[1]], start))
    done = await asyncio.to_thread(machine.run, *map(machine.here, words))
    assert (done.returncode, machine.keys()) == (5, {})
    assert "there are none" in done.stderr


def test_the_unit_keeps_its_word() -> None:
    settings = unit("sealgate-keys.service")
    assert settings["RuntimeDirectory"] == ["sealgate-keys"]
    assert settings["EnvironmentFile"] == ["/etc/sealgate/keys.conf"]
    assert settings["LimitCORE"] == ["0"]
    assert settings["MemorySwapMax"] == ["0"]
    assert set(settings["RestartPreventExitStatus"][0].split()) == {"2", "3", "4", "6"}


@pytest.mark.parametrize("path", sorted((DEPLOY / "systemd").glob("*.service")), ids=lambda path: path.name)
def test_systemd_reads_the_unit(path: Path, tmp_path: Path) -> None:
    """Where systemd is installed. Its binaries are not, so that the command stands in for itself."""
    program = shutil.which("systemd-analyze")
    text = path.read_text()
    assert re.search(r"^ExecStart=/opt/sealgate/bin/", text, re.MULTILINE)
    if program is None:
        return
    copy = tmp_path / path.name
    copy.write_text(re.sub(r"^(Exec\w+=)/opt/sealgate/bin/\S+", r"\1/bin/true", text, flags=re.MULTILINE))
    done = subprocess.run([program, "verify", "--man=no", str(copy)], capture_output=True, text=True, check=False)
    assert "Unknown" not in done.stderr, done.stderr
    assert "Failed to parse" not in done.stderr, done.stderr


async def test_the_initramfs_script(machine: Machine) -> None:
    script = DEPLOY / "dracut" / "95sealgate" / "sealgate-keys.sh"
    conf(machine)
    ours = machine.etc / "sealgate-keys.sh"
    ours.write_text(machine.here(script.read_text()).replace("/sys/kernel/config", str(machine.memory)))
    (machine.memory / "tsm").mkdir()
    done = await asyncio.to_thread(machine.run, "sh", str(ours))
    assert done.returncode == 0, done.stderr
    assert machine.keys()[f"{NAME}.key"] == 0o600


@pytest.mark.parametrize("path", sorted((DEPLOY / "dracut").rglob("*.sh")), ids=lambda path: path.name)
def test_the_scripts_are_scripts(path: Path) -> None:
    shell = path.read_text().splitlines()[0].removeprefix("#!/bin/")
    done = subprocess.run([shell, "-n", str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def _pod() -> dict[str, Any]:
    pod: dict[str, Any] = yaml.safe_load((DEPLOY / "kubernetes" / "keys-init-container.yaml").read_text())
    return pod


def _entrypoint(target: str) -> list[str]:
    text = (DEPLOY / "container" / "Containerfile").read_text()
    stage = text.split(f" AS {target}\n", 1)[1].split("\nFROM ", 1)[0]
    found: list[str] = yaml.safe_load(re.findall(r"^ENTRYPOINT (.*)$", stage, re.MULTILINE)[0])
    return found


async def test_the_init_containers_arguments(machine: Machine) -> None:
    """What the image runs with what the manifest adds, as user 0 whose files go to another."""
    (init,) = _pod()["spec"]["initContainers"]
    values = {each["name"]: each["value"] for each in init["env"]}
    assert values.keys() == {"BROKER"}
    arguments = [re.sub(r"\$\((\w+)\)", machine.broker, argument) for argument in init["args"]]
    owner = 10002 if os.getuid() == 0 else os.getuid()  # only root gives files away
    arguments = [f"{owner}:{owner if owner == 10002 else os.getgid()}" if a == "10002:10002" else a for a in arguments]
    (machine.memory / "keys").mkdir()  # the volume's mount
    command = [machine.here(word) for word in [*_entrypoint("workload"), *arguments]]
    done = await asyncio.to_thread(machine.run, *command)
    assert done.returncode == 0, done.stderr
    key = machine.memory / "keys" / "keys" / f"{NAME}.key"
    assert (key.stat().st_uid, key.stat().st_mode & 0o777) == (owner, 0o440)


def test_the_manifest_keeps_its_word() -> None:
    spec = _pod()["spec"]
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    assert volumes["keys"]["emptyDir"]["medium"] == "Memory"
    assert "hostPath" in volumes["trust"]
    assert spec["automountServiceAccountToken"] is False
    for container in [*spec["initContainers"], *spec["containers"]]:
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert re.search(r"@sha256:[0-9a-f]{64}$", container["image"])
    trainer = spec["containers"][0]
    assert trainer["securityContext"]["runAsUser"] == 10002
    assert next(m for m in trainer["volumeMounts"] if m["name"] == "keys")["readOnly"] is True


def test_the_images_are_pinned() -> None:
    text = (DEPLOY / "container" / "Containerfile").read_text()
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) <= {"${BASE}", "build"}
    assert re.search(r"^ARG BASE$", text, re.MULTILINE), "BASE has no default"
    installs = [line for line in text.splitlines() if " install " in line]
    assert installs
    assert all("--require-hashes" in line or "--no-index" in line for line in installs)


def test_every_folder_says_what_was_not_run() -> None:
    for folder in ("container", "dracut", "kubernetes", "systemd"):
        assert "**Not run here:**" in (DEPLOY / folder / "README.md").read_text(), folder
