"""`sealgate keys get` against a real broker: what it writes, when it asks again, what it never does."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from clients.cli.main import Doors, main
from clients.errors import Unavailable
from clients.transport import connect
from clients.trust import read_trust
from clients.workload import keys as workload_keys
from clients.workload.age_recipient import KeyPair
from clients.workload.opened_set import OpenedSet
from clients.workload.patience import Patience
from clients.workload.tee_find import find_tee
from tests.flow.test_wire import FakeTee
from tests.makers.amd import cert_table
from tests.makers.kernel import FakeKernel
from tests.makers.safetensors import read_header
from tests.makers.site import ASSET, MEASUREMENT, PURPOSE, SimulatedSite

NAME = ASSET.rpartition("/")[2]


def get(site: SimulatedSite, port: int, *more: str, tee: Any = None) -> int:
    where = ["--trust", str(site.trust), "--broker", f"127.0.0.1:{port}", "--purpose", PURPOSE, "--asset", ASSET]
    doors = Doors(now=datetime.now(UTC), simulated=True, tee=tee or FakeTee(site))
    return main(["keys", "get", *where, "--unsafe-write-keys-to-disk", *more], doors)


async def test_a_node_reads_its_model_in_place(
    site: SimulatedSite, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The real doors on a kernel in memory, keys in a directory, the sealed set opened with what lies there."""
    chip, keys = site.chip, tmp_path / "keys"
    table = cert_table(list(zip(("VCEK", "ASK", "ARK"), chip.certificates, strict=True)))
    tee = find_tee(FakeKernel(lambda data: (chip.report(data, measurement=MEASUREMENT), table)))
    async with site.serve() as (_, listeners):
        more = ("--dir", str(keys), "--mode", "0440", "--owner", f"{os.getuid()}:{os.getgid()}", "--json")
        assert await asyncio.to_thread(lambda: get(site, listeners.workload_port, *more, tee=tee)) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["keys"] == [f"{ASSET}/keyVersions/1"]
    assert told["sizes"] == [32]
    assert {p.name: p.stat().st_mode & 0o777 for p in keys.iterdir()} == dict.fromkeys(
        (f"{NAME}.key", f"{NAME}.content", f"{NAME}.tlog-proof"), 0o440
    )
    opened = OpenedSet.of(site.sealed.parent, key=keys / f"{NAME}.key", content=keys / f"{NAME}.content")
    with opened.open(site.sealed.name) as model:
        assert read_header(model.readall())
    assert KeyPair.generate(site.key.seed).text() not in json.dumps(told)


async def test_the_bytes_go_to_a_descriptor(site: SimulatedSite) -> None:
    reading, writing = os.pipe()
    async with site.serve() as (_, listeners):
        assert await asyncio.to_thread(get, site, listeners.workload_port, "--fd", str(writing)) == 0
    os.close(writing)
    assert os.read(reading, 100) == site.key.seed
    os.close(reading)


async def test_it_waits_for_a_broker_that_starts_later(
    site: SimulatedSite, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as held:  # bound and never listening: nobody answers there, and nobody else is given the port
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        assert await asyncio.to_thread(get, site, port, "--dir", str(tmp_path)) == 5
        capsys.readouterr()
        waiting = asyncio.create_task(asyncio.to_thread(get, site, port, "--dir", str(tmp_path / "k"), "--wait", "1m"))
        while "again in" not in capsys.readouterr().err:  # noqa: ASYNC110  # what is printed has no event
            await asyncio.sleep(0.05)
        async with site.serve(workload_port=port, share_ports=True):
            assert await waiting == 0
    assert (tmp_path / "k" / f"{NAME}.key").read_bytes() == site.key.seed


async def test_a_denial_is_not_asked_again(
    site: SimulatedSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: pytest.fail("it waited"))
    async with site.serve() as (_, listeners):
        tee = FakeTee(site, measurement=bytes(48))
        asked = await asyncio.to_thread(
            lambda: get(site, listeners.workload_port, "--dir", str(tmp_path / "k"), "--wait", "10m", tee=tee)
        )
    assert asked == 3
    assert not (tmp_path / "k").exists()


class Losing:
    """A connection on which the first answers to a release are lost after the broker has given them."""

    def __init__(self, channel: Any, lose: int) -> None:
        self._channel, self.left, self.sent = channel, lose, list[bytes]()

    def call(self, method: str, request: Any, response: type[Any]) -> Any:
        answer = self._channel.call(method, request, response)
        if method.endswith("ReleaseKeys"):
            self.sent.append(request.SerializeToString())
            if self.left:
                self.left -= 1
                raise Unavailable("lost", retry_after=0.0, lost=True)
        return answer


async def test_a_lost_answer_is_asked_for_by_the_same_request(site: SimulatedSite) -> None:
    trust = read_trust(site.trust, simulated=True)

    def ask(port: int, lose: int) -> tuple[Any, Losing]:
        with connect(f"127.0.0.1:{port}", trust.broker_ca) as channel:
            losing = Losing(channel, lose)
            return workload_keys.get_keys(losing, trust, FakeTee(site), PURPOSE, [ASSET]), losing  # type: ignore[arg-type]

    async with site.serve() as (_, listeners):
        first, _losing = await asyncio.to_thread(ask, listeners.workload_port, 0)
        released, losing = await asyncio.to_thread(ask, listeners.workload_port, 2)
        with pytest.raises(Unavailable, match="lost"):
            await asyncio.to_thread(ask, listeners.workload_port, 3)
    assert len(losing.sent) == 3
    assert len(set(losing.sent)) == 1
    assert released.receipt.index == first.receipt.index + 1
    assert [k.secret for k in released.keys] == [site.key.seed]


USAGE: dict[str, tuple[str, Callable[[Path], list[str]]]] = {
    "a disk": ("keys are written to memory alone", lambda p: ["--dir", str(p)]),
    "no directory": ("nor could it be made", lambda p: ["--dir", str(p / "a" / "b")]),
    "a descriptor that is closed": ("is not open for writing", lambda _: ["--fd", "99"]),
    "an owner of a descriptor": ("for the files of --dir", lambda _: ["--fd", "1", "--owner", "0:0"]),
    "a mode for others": ("leaves others nothing", lambda _: ["--dir", "/dev/shm", "--mode", "0644"]),
    "a mode that is none": ("leaves others nothing", lambda _: ["--dir", "/dev/shm", "--mode", "rw"]),
    "an owner that is nobody": ("no such user", lambda _: ["--dir", "/dev/shm", "--owner", "no-such-user-here"]),
    "an owner that is none": ("USER:GROUP", lambda _: ["--dir", "/dev/shm", "--owner", ":"]),
    "a time that is none": ("such as 90s, 10m or 1h", lambda _: ["--dir", "/dev/shm", "--wait", "soon"]),
}


@pytest.mark.parametrize(("sentence", "more"), USAGE.values(), ids=USAGE.keys())
async def test_what_is_wrong_is_said_before_anything_is_asked(
    site: SimulatedSite, tmp_path: Path, sentence: str, more: Callable[[Path], list[str]],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    where = ["--trust", str(site.trust), "--broker", "127.0.0.1:1", "--purpose", PURPOSE, "--asset", ASSET]
    assert main(["keys", "get", *where, *more(tmp_path)], Doors(now=datetime.now(UTC), simulated=True)) == 2
    assert sentence in capsys.readouterr().err


def test_waiting_uses_the_real_clock_and_can_be_interrupted() -> None:
    """The defaults of `Patience` are the clock and a sleep that a signal ends."""
    ended = threading.Event()

    def ask() -> None:
        ended.set()
        raise Unavailable("x", retry_after=0.0)

    with pytest.raises(Unavailable):
        Patience(0.1).until(ask)
    assert ended.is_set()


async def test_what_the_host_gave_at_launch_decides(
    site: SimulatedSite, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From a file of the operator's to a profile that asks for the job: measured, given, sent, bound, compared."""
    (tmp_path / "job.json").write_text('{ "job": "llm-7" }\n')
    data = tmp_path / "init-data"
    measured = ["measure", "init-data", str(tmp_path / "job.json"), "--out", str(data), "--json"]
    assert main(measured, Doors(now=datetime.now(UTC))) == 0
    host_data = bytes.fromhex(json.loads(capsys.readouterr().out)["host_data"]["hex"])
    chip = site.chip
    table = cert_table(list(zip(("VCEK", "ASK", "ARK"), chip.certificates, strict=True)))
    tee = find_tee(FakeKernel(lambda b: (chip.report(b, measurement=MEASUREMENT, host_data=host_data), table)))
    (tmp_path / "other").write_bytes(b'{"job":"llm-8"}')
    async with site.serve() as (_, listeners):

        def ask(*more: str) -> int:
            return get(site, listeners.workload_port, *more, tee=tee)

        keys = ("--dir", str(tmp_path / "keys"))
        assert await asyncio.to_thread(ask, "--init-data", str(data), *keys) == 0
        assert await asyncio.to_thread(ask, "--init-data", str(data), "--rehearse") == 0
        assert await asyncio.to_thread(ask, "--init-data", str(tmp_path / "other"), "--rehearse") != 0
        assert "INIT_DATA_UNBOUND" in capsys.readouterr().err
        assert await asyncio.to_thread(ask, "--init-data", str(tmp_path / "none"), *keys) == 2
