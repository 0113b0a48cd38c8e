"""`sealgate keys` on a node with GPUs against a real broker: collected, bound, released, and only then made ready."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from attest.evidence import DeviceEvidence
from attest.tlog.entry import parse_leaf
from clients.cli.main import Doors, main
from clients.errors import NotTrusted, Unavailable
from clients.workload import keys as workload_keys
from clients.workload.attested import result_of
from clients.workload.devices_nscq import NscqSwitches
from clients.workload.devices_nvml import NvmlGpus, make_ready
from kbs.rpc.server import Listeners
from kbs.serve.wiring import Running
from tests.flow.test_lease_cli import Guest
from tests.flow.test_result import AUDIENCE, verified
from tests.makers.nscq import FakeNscq
from tests.makers.nvidia import Device, hgx
from tests.makers.nvml import FakeNvml
from tests.makers.site import ASSET, PURPOSE, SimulatedSite, make_site

NAME = ASSET.rpartition("/")[2]
pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclasses.dataclass(kw_only=True)
class Node:
    """A served site that asks for a PPCIE system, and one such machine."""

    site: SimulatedSite
    running: Running
    listeners: Listeners
    system: tuple[Device, ...]

    def driver(self, **changed: Any) -> FakeNvml:
        return FakeNvml(self.system[:8], ppcie=True, **changed)

    async def run(self, *arguments: str, nvml: FakeNvml, library: Any = None, devices: Any = None) -> int:
        switches = NscqSwitches(library or FakeNscq(self.system[8:]))
        told = "--devices" in arguments and "nvidia" in arguments
        door = devices or NvmlGpus(nvml, lambda: switches, insist=told, told=print)
        doors = Doors(
            now=datetime.now(UTC), simulated=True, tee=Guest(self.site), devices=door, ready=lambda: make_ready(nvml)
        )
        return await asyncio.to_thread(main, arguments, doors)

    async def get(self, keys: Path, *more: str, **doors: Any) -> int:
        where = ["--dir", str(keys), "--unsafe-write-keys-to-disk"]
        asked = ["--purpose", PURPOSE, "--asset", ASSET]
        return await self.run(
            "keys", "get", *self.at(), *asked, *([] if "--rehearse" in more else where), *more, **doors
        )

    def at(self) -> list[str]:
        return ["--trust", str(self.site.trust), "--broker", f"127.0.0.1:{self.listeners.workload_port}"]

    def decision(self) -> str:
        """Of the newest entry, which is a refusal."""
        index = self.running.reader.head().size - 1
        body = parse_leaf(self.running.reader.entries(index, index + 1)[0][1]).body
        digest = bytes.fromhex(str(body["decision_digest"]))
        return (self.running.reader.document(index, digest) or b"").decode()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Node]:
    site = await make_site(tmp_path_factory.mktemp("devices-cli") / "site", gpu={"count": 8, "topology": "ppcie"})
    assert site.nvidia is not None
    async with site.serve() as (running, listeners):
        yield Node(site=site, running=running, listeners=listeners, system=hgx(site.nvidia))


async def test_a_system_boots_is_made_ready_and_renews(
    node: Node, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nvml, keys = node.driver(together=8), tmp_path / "keys"
    lease = str(keys / "lease.json")
    keys.mkdir()
    assert await node.get(keys, "--devices", "nvidia", "--gpu-ready", "--lease", lease, nvml=nvml) == 0
    assert (keys / f"{NAME}.key").read_bytes() == node.site.key.seed
    assert (nvml.ready, nvml.open) == (1, 0)
    assert await node.run("keys", "renew", *node.at(), "--lease", lease, nvml=node.driver()) == 0
    assert await node.run("keys", "renew", *node.at(), "--lease", lease, "--devices", "none", nvml=nvml) == 3
    assert "renewed until" in capsys.readouterr().err


async def test_a_result_for_a_relying_party(node: Node, tmp_path: Path) -> None:
    """Over the wire, with a submodule for each device; a renewal brings a fresh one for the same key."""
    keys, nvml = tmp_path / "keys", node.driver()
    keys.mkdir()
    kept = ["--lease", str(keys / "lease.json"), "--result", AUDIENCE, "--result-out", str(keys / "result.jwt")]
    assert await node.get(keys, "--devices", "nvidia", *kept, nvml=nvml) == 0
    file = keys / "result.jwt"
    assert file.stat().st_mode & 0o777 == 0o600
    first = verified(node.running, file.read_text())
    assert sum(name.startswith("gpu") for name in first["submods"]) == 8
    assert sum(name.startswith("switch") for name in first["submods"]) == 4
    assert {each["ear_status"] for each in first["submods"].values()} == {first["ear_status"]} == {"affirming"}
    assert await node.run("keys", "renew", *node.at(), *kept, "--devices", "nvidia", nvml=nvml) == 0
    second = verified(node.running, file.read_text())
    assert second["jti"] != first["jti"]
    assert second["cnf"] == first["cnf"]


# name: (arguments, what the sentence says)
_NO_RESULT: dict[str, tuple[list[str], str]] = {
    "no file": (["--result", "a", "--lease", "l"], "go together"),
    "no audience": (["--result-out", "f", "--lease", "l"], "go together"),
    "no lease": (["--result", "a", "--result-out", "f"], "--lease FILE"),
    "no directory": (["--result", "a", "--result-out", "/nowhere/f", "--lease", "l"], "there is no directory"),
}


@pytest.mark.parametrize("name", _NO_RESULT)
async def test_what_cannot_be_kept_is_not_asked_for(
    name: str, node: Node, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, said = _NO_RESULT[name]
    size = node.running.reader.head().size
    assert await node.get(tmp_path, *arguments, nvml=node.driver()) == 2
    assert said in capsys.readouterr().err
    assert node.running.reader.head().size == size


def _token(payload: bytes) -> str:
    return "h." + base64.urlsafe_b64encode(payload).decode().rstrip("=") + ".s"


# name: (what came for the audience `a`, the check that says what is wrong with it)
RESULTS = {
    "none": ("", "RESULT_MISSING"),
    "another's": (_token(b'{"aud":"b"}'), "RESULT_AUDIENCE"),
    "one for several": (_token(b'{"aud":["a"]}'), "RESULT_AUDIENCE"),
    "nobody's": (_token(b"{}"), "RESULT_AUDIENCE"),
    "no object": (_token(b'["aud"]'), "RESULT_AUDIENCE"),
    "too deep to be read": (_token(b"[" * 100_000), "RESULT_AUDIENCE"),
    "no JSON": (_token(b"\xff"), "RESULT_AUDIENCE"),
    "no token": ("jwt", "RESULT_AUDIENCE"),
    "no base64": ("h.!.s", "RESULT_AUDIENCE"),
}


@pytest.mark.parametrize("name", RESULTS)
async def test_a_result_that_did_not_come_or_is_anothers(name: str) -> None:
    token, check = RESULTS[name]
    with pytest.raises(NotTrusted, match=check):
        result_of(token, "a")
    assert result_of(token, "") == ""


async def test_a_result_is_handed_on_as_it_came() -> None:
    for payload in (b'{"aud":"a"}', b'{"aud":"a","x":1}', b'{"x":12, "aud":"a"}'):
        assert result_of(_token(payload), "a") == _token(payload)


async def test_a_rehearsal_attests_devices_and_makes_nothing_ready(
    node: Node, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nvml = node.driver()
    assert await node.get(tmp_path, "--rehearse", nvml=nvml) == 0
    assert "it would be granted" in capsys.readouterr().err
    more = ("--rehearse", "--devices", "nvidia", "--gpu-ready")
    assert await node.get(tmp_path, *more, nvml=nvml) == 2
    assert nvml.ready == 0


_REFUSED: dict[str, tuple[Callable[[Node], dict[str, Any]], Sequence[str], str]] = {
    "left out": (lambda n: {"nvml": n.driver()}, ("--devices", "none"), "DEVICE_COUNT"),
    "not confidential": (lambda n: {"nvml": FakeNvml(n.system[:8], enabled=False)}, (), "DEVICE_COUNT"),
    "seven": (lambda n: {"nvml": FakeNvml(n.system[:7], ppcie=True)}, (), "DEVICE_COUNT"),
    "no NVSwitch can be read": (
        lambda n: {"nvml": n.driver(), "library": FakeNscq(n.system[8:], fails={"nscq_session_create": -7})},
        (),
        "SWITCH_EVIDENCE_MISSING",
    ),
}


@pytest.mark.parametrize("name", _REFUSED)
async def test_a_refusal_names_what_was_missing(name: str, node: Node, tmp_path: Path) -> None:
    doors, more, check = _REFUSED[name]
    assert await node.get(tmp_path / "keys", *more, **doors(node)) == 3
    assert check in node.decision()
    assert not (tmp_path / "keys").exists()


async def test_a_call_that_was_refused_is_told_beside_the_refusal(
    node: Node, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    library = FakeNscq(node.system[8:], fails={"nscq_session_create": -7})
    assert await node.get(tmp_path / "keys", nvml=node.driver(), library=library) == 3
    assert "nscq_session_create failed: driver error (-7)" in capsys.readouterr().out


class Spliced:
    """A host between guest and broker cannot be here; a guest that collects another node's GPU can."""

    def __init__(self, own: NvmlGpus, other: Device) -> None:
        self._own, self._other = own, other

    def collect(self, nonce: bytes) -> tuple[DeviceEvidence, ...]:
        return (self._other.evidence(nonce), *self._own.collect(nonce)[1:])


async def test_another_nodes_gpu_is_refused_and_nothing_is_ready(node: Node, tmp_path: Path) -> None:
    assert node.site.nvidia is not None
    nvml = node.driver()
    own = NvmlGpus(nvml, lambda: NscqSwitches(FakeNscq(node.system[8:])), insist=True, told=print)
    spliced = Spliced(own, hgx(node.site.nvidia)[0])
    more = ("--devices", "nvidia", "--gpu-ready")
    assert await node.get(tmp_path / "keys", *more, nvml=nvml, devices=spliced) == 3
    assert "TOPOLOGY_GPUS" in node.decision()
    assert (nvml.ready, "nvmlSystemSetConfComputeGpusReadyState" in nvml.calls) == (0, False)


async def test_no_receipt_no_ready_state(node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unproven(*_: object) -> None:
        raise NotTrusted("RECEIPT", "it is not in the log")

    monkeypatch.setattr(workload_keys, "check_receipt", unproven)
    nvml = node.driver()
    assert await node.get(tmp_path / "keys", "--devices", "nvidia", "--gpu-ready", nvml=nvml) == 4
    assert "nvmlSystemSetConfComputeGpusReadyState" not in nvml.calls


async def test_keys_come_even_if_the_driver_refuses_and_that_is_said(
    node: Node, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nvml, keys = node.driver(fails={"nvmlSystemSetConfComputeGpusReadyState": 4}), tmp_path / "keys"
    assert await node.get(keys, "--devices", "nvidia", "--gpu-ready", nvml=nvml) == 5
    assert (keys / f"{NAME}.key").read_bytes() == node.site.key.seed
    told = capsys.readouterr().err
    assert "released and delivered, but the GPUs are not ready" in told
    assert "Insufficient Permissions; run as root" in told


async def test_a_gpu_that_fails_asks_the_broker_for_nothing(
    node: Node, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    size = node.running.reader.head().size
    nvml = node.driver(fails={"nvmlDeviceGetConfComputeGpuAttestationReport": 10})
    assert await node.get(tmp_path / "keys", nvml=nvml) == 5
    assert "GPU 0: nvmlDeviceGetConfComputeGpuAttestationReport failed: Timeout" in capsys.readouterr().err
    assert node.running.reader.head().size == size


async def test_what_is_not_attested_is_not_made_ready(
    node: Node, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nvml = node.driver()
    assert await node.get(tmp_path / "keys", "--gpu-ready", nvml=nvml) == 2
    assert "--devices nvidia" in capsys.readouterr().err
    assert nvml.calls == []


async def test_a_driver_that_cannot_be_asked_costs_no_release(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    size = node.running.reader.head().size
    doors = Doors(now=datetime.now(UTC), simulated=True, tee=Guest(node.site))
    asked = ["--purpose", PURPOSE, "--asset", ASSET, "--dir", str(tmp_path), "--devices", "nvidia", "--gpu-ready"]
    assert await asyncio.to_thread(main, ["keys", "get", *node.at(), *asked], doors) == Unavailable.code
    assert "sealgate[gpu]" in capsys.readouterr().err
    assert node.running.reader.head().size == size
