"""`make demo GPUS=8`: a node with SEV-SNP, eight GPUs and four NVSwitches; then one GPU's evidence is another node's.

The broker runs in a process of its own. The nodes are the real `sealgate` command in this process, where their devices
live, handed another door to them; nothing else of it is simulated.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from attest import binding
from attest.evidence import DeviceEvidence
from clients.cli.main import Doors
from clients.errors import Denied
from clients.transport import Channel, connect
from clients.trust import read_trust
from clients.workload.keys import get_keys
from deploy.demo.node import SimulatedTee
from deploy.demo.stage import DemoFailed, Ports, broker, get, here, node, operator, say, step, ticket
from tests.makers.nvidia import Device, Nvidia, hgx
from tests.makers.nvidia_files import save_nvidia
from tests.makers.site import ASSET, MEASUREMENT, PURPOSE, make_site, save_vendor

__all__ = ["tell_of_gpus"]

_PROFILE = {"count": 8, "topology": "ppcie"}


@dataclass(kw_only=True)
class _Machine:
    """Devices behind the client's door, and their driver's ready state."""

    devices: tuple[Device, ...]
    ready: bool = field(default=False)

    def collect(self, nonce: bytes) -> tuple[DeviceEvidence, ...]:
        return tuple(device.evidence(nonce) for device in self.devices)

    def make_ready(self) -> None:
        self.ready = True


def tell_of_gpus(directory: Path) -> None:
    """The whole story in one directory, which must not exist; raises DemoFailed."""
    step("A throwaway AMD and NVIDIA; a profile that asks for eight GPUs, wired through four NVSwitches")
    vendor = asyncio.run(_prepare(directory))
    one, other = _Machine(devices=hgx(vendor)), hgx(vendor)
    say("two such machines, A and B: every device of both is genuine, with golden firmware, in protected PCIe mode")
    with broker(directory) as ports:
        _boot(directory, ports, one)
        one.ready = False
        _swapped_on_the_way(directory, ports, one, other[0])
        _swapped_in_the_guest(directory, ports, one, other[0])
    if one.ready:
        raise DemoFailed("the GPUs were made ready without a release")


async def _prepare(directory: Path) -> Nvidia:
    made = await make_site(directory, gpu=_PROFILE)
    if made.nvidia is None:
        raise DemoFailed("the site has no NVIDIA")
    save_vendor(made)
    save_nvidia(directory / "vendor" / "nvidia", made.nvidia)
    return made.nvidia


def _boot(directory: Path, ports: Ports, machine: _Machine) -> None:
    step("Machine A boots: 12 devices sign a nonce of its own key, the CPU signs over them, keys, receipt, ready state")
    keys = directory / "node"
    keys.mkdir()
    arguments = [*get(directory, ports, keys), "--devices", "nvidia", "--gpu-ready"]
    _sealgate(directory, machine, arguments, code=0)
    if not machine.ready:
        raise DemoFailed("the keys were released, and the GPUs are not ready")
    say("the GPUs are ready, since the release was granted and its receipt checked")


def _swapped_on_the_way(directory: Path, ports: Ports, machine: _Machine, stranger: Device) -> None:
    step("The host swaps one GPU's evidence for one of machine B's, which signed the very same nonce")
    trust = read_trust(directory / "trust.json", simulated=True)
    tee = SimulatedTee(directory, MEASUREMENT)
    try:
        with connect(f"127.0.0.1:{ports.workload}", trust.broker_ca) as channel:
            host: Any = _Host(channel, stranger)
            get_keys(host, trust, tee, PURPOSE, [ASSET], devices=machine)
    except Denied as denied:
        say(f"the node sees: {denied}")
        if denied.details.get("check") != "REPORT_DATA_MISMATCH":
            raise DemoFailed(f"it was refused for another reason: {denied.details}") from denied
    else:
        raise DemoFailed("a swapped GPU was released to")
    say("the CPU's report commits to the devices that the guest collected: not a decision, so no entry and no ticket")


def _swapped_in_the_guest(directory: Path, ports: Ports, machine: _Machine, stranger: Device) -> None:
    step("Machine A's guest is made to collect that GPU instead of one of its own, and the CPU signs for it")
    spliced = _Machine(devices=(stranger, *machine.devices[1:]))
    arguments = [*get(directory, ports, directory / "node"), "--devices", "nvidia", "--gpu-ready"]
    refused = _sealgate(directory, spliced, arguments, code=3)
    step("What the operator sees: sealgate explain TICKET")
    told = node(directory, MEASUREMENT, "explain", ticket(refused), *operator(directory, ports))
    if "TOPOLOGY_GPUS" not in told or stranger.pdi.hex() not in told:
        raise DemoFailed("the explanation does not name the GPU that belongs elsewhere")
    if spliced.ready:
        raise DemoFailed("GPUs were made ready after a refusal")


class _Host:
    """A connection through a host that exchanges the first device's evidence. All it needs for that is public."""

    def __init__(self, channel: Channel, stranger: Device) -> None:
        self._channel, self._stranger = channel, stranger

    def call(self, method: str, request: Any, response: type[Any]) -> Any:
        if method.endswith("/ReleaseKeys"):
            given = request.attestation
            other = self._stranger.evidence(binding.device_nonce(given.challenge, given.suite, given.recipient_key))
            given.devices[0].report, given.devices[0].chain = other.report, other.chain
        return self._channel.call(method, request, response)


def _sealgate(directory: Path, machine: _Machine, arguments: Sequence[str], *, code: int) -> str:
    """One command on that machine."""
    doors = Doors(
        now=dt.datetime.now(dt.UTC),
        simulated=True,
        tee=SimulatedTee(directory, MEASUREMENT),
        devices=machine,
        ready=machine.make_ready,
    )
    return here(directory, arguments, doors, code=code)
