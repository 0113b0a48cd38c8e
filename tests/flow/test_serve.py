"""A deployment from its first command to its last signal, in processes of its own, on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from clients.cli.main import Doors, main
from clients.errors import Denied
from clients.transport import connect
from clients.trust import read_trust
from clients.workload.keys import get_keys
from kbs.serve.lock import Busy, alone
from tests.flow.test_wire import FakeTee
from tests.kbs.serve.deployment import Hands, Made, make
from tests.makers.site import SimulatedSite, make_site

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 40.0


class Served:
    """`sealgate-broker serve --json` in a process of its own."""

    def __init__(self, config: Path) -> None:
        command = [sys.executable, "-m", "kbs", "serve", "--config", str(config), "--json"]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.said: list[dict[str, Any]] = []
        self.errors: list[str] = []
        self._readers = [
            threading.Thread(
                target=self._read, args=(self.process.stdout, lambda line: self.said.append(json.loads(line)))
            ),
            threading.Thread(target=self._read, args=(self.process.stderr, self.errors.append)),
        ]
        for reader in self._readers:
            reader.start()

    @staticmethod
    def _read(pipe: Any, keep: Callable[[str], object]) -> None:
        with pipe:
            for line in pipe:
                keep(line)

    def wait_for(self, what: str) -> dict[str, Any]:
        """The first event that matches; fails if the process ends before."""

        def found() -> dict[str, Any] | None:
            return next((each for each in list(self.said) if re.search(what, str(each["event"]))), None)

        def found_or_ended() -> dict[str, Any] | None:
            event = found()
            if event is None and self.process.poll() is not None:
                raise AssertionError(f"the broker ended: {self.said} {''.join(self.errors)}")
            return event

        event: dict[str, Any] = until(found_or_ended)
        return event

    def drain(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.finish()

    def finish(self) -> int:
        code = self.process.wait(PATIENCE_S)
        for reader in self._readers:
            reader.join()
        return code


def until(look: Callable[[], Any]) -> Any:
    """What `look` finds, at last."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


@contextlib.contextmanager
def serving(made: Made) -> Iterator[Served]:
    served = Served(made.config)
    try:
        yield served
    finally:
        if served.process.poll() is None:
            served.process.kill()
            served.finish()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _made(folder: Path, workers: int) -> Made:
    more = f'\n[collateral]\nfetch = "nothing"\n\n[processes]\nworkers = {workers}\ndrain = "2s"\n'
    return make(folder, Hands(now=_now_ms()), more)


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return _made(tmp_path, 1)


def _sealgate(*arguments: str) -> int:
    return main(arguments, Doors(now=dt.datetime.now(dt.UTC)))


def _get(url: str) -> tuple[int, str]:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.status, answer.read().decode()


def _children(served: Served) -> list[int]:
    listed = Path(f"/proc/{served.process.pid}/task/{served.process.pid}/children").read_text()
    return [pid for pid in map(int, listed.split()) if b"\0worker\0" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def _health(address: str, ca: bytes, service: str = "") -> int:
    with grpc.secure_channel(address, grpc.ssl_channel_credentials(ca)) as channel:
        data: bytes = channel.unary_unary("/grpc.health.v1.Health/Check")(
            HealthCheckRequest(service=service).SerializeToString(), timeout=10
        )
    return int(HealthCheckResponse.FromString(data).status)


async def test_from_init_to_drain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """init, serve, enrol, log in, be refused under simulated roots, lose a worker, drain."""
    made = await asyncio.to_thread(_made, tmp_path, 2)
    simulated = await make_site(tmp_path / "elsewhere")
    with serving(made) as served:
        ready = served.wait_for("^serving$")
        assert ready["workers"] == 2
        workload, people, web = (str(ready[name]) for name in ("workload", "people", "web"))
        _people(made, workload, people, capsys)
        _refused_under_simulated_roots(simulated, made, workload)
        trust = read_trust(made.directory / "trust.json", simulated=False)
        assert _health(workload, trust.broker_ca) == HealthCheckResponse.SERVING
        assert _health(workload, trust.broker_ca, "sealgate.v1.KeyRelease") == HealthCheckResponse.SERVING
        with pytest.raises(grpc.RpcError) as unknown:
            _health(workload, trust.broker_ca, "no.such.Service")
        assert unknown.value.code() is grpc.StatusCode.NOT_FOUND
        _web(web)
        _a_worker_dies(served, workload, trust.broker_ca)
        assert served.drain() == 0
    assert served.said[-1]["event"] == "drained; everything has ended"
    checkpoint = (made.directory / "log" / "checkpoint").read_text().splitlines()
    assert int(checkpoint[1]) >= 5  # genesis, two workers, a person, a certificate, and whoever began again
    assert _sealgate("audit", "verify", str(made.directory / "log"), "--trust", str(made.directory / "trust.json")) in {
        0,
        12,
    }
    _no_secret_was_said(made, served)


def _people(made: Made, workload: str, people: str, capsys: pytest.CaptureFixture[str]) -> None:
    folder = made.config.parent
    trust = ("--trust", str(made.directory / "trust.json"))
    code, out = folder / "code", str(folder / "alice")
    code.write_text(made.code("alice"))
    assert _sealgate("enrol", *trust, "--broker", workload, "--code-file", str(code), "--out", out) == 0
    assert _sealgate("login", *trust, "--broker", workload, "--key", f"{out}.key", "--cert", f"{out}.pem") == 0
    who = ("--key", f"{out}.key", "--cert", f"{out}.pem")
    assert _sealgate("explain", "00" * 16, *trust, "--broker", people, *who) == 3
    assert "NOT_FOUND" in capsys.readouterr().err
    assert _sealgate("trust", "verify", *trust, "--broker", workload) == 0
    assert _sealgate("enrol", *trust, "--broker", workload, "--code-file", str(code), "--out", f"{out}-2") == 3
    capsys.readouterr()


def _refused_under_simulated_roots(site: SimulatedSite, made: Made, workload: str) -> None:
    """The very evidence that a simulated deployment takes."""
    trust = read_trust(made.directory / "trust.json", simulated=False)
    with connect(workload, trust.broker_ca) as channel, pytest.raises(Denied) as refused:
        get_keys(channel, trust, FakeTee(site), "training", ["tenants/acme/assets/llm-weights"])
    assert refused.value.details["reason"] == "ROOT_UNKNOWN"
    assert refused.value.details["check"] == "CHAIN_ROOT_NOT_PINNED"


def _web(address: str) -> None:
    status, text = until(lambda: _has(f"http://{address}/metrics", 'worker="1"'))
    assert status == 200
    assert text.endswith("# EOF\n")
    assert re.search(
        r'sealgate_calls_total\{method="sealgate.v1.Enrolment/Enrol",reason="OK",worker="[01]"\} 1.0', text
    )
    assert 'sealgate_worker_up{worker="0"} 1.0' in text
    assert "sealgate_loop_lag_seconds" in text
    assert json.loads(_get(f"http://{address}/healthz")[1])["status"] == "serving"
    [key] = json.loads(_get(f"http://{address}/.well-known/jwks.json")[1])["keys"]
    assert (key["kty"], key["crv"], key["alg"]) == ("EC", "P-256", "ES256")
    assert "d" not in key
    assert _get(f"http://{address}/checkpoint")[1].startswith("keys.example.com/audit/1\n")


def _has(url: str, text: str) -> tuple[int, str] | None:
    found = _get(url)
    counted = "sealgate_calls_total{method=" in found[1] and 'Enrolment/Enrol",reason="OK"' in found[1]
    return found if text in found[1] and counted else None


def _a_worker_dies(served: Served, workload: str, ca: bytes) -> None:
    before = _children(served)
    assert len(before) == 2
    os.kill(before[0], signal.SIGKILL)
    served.wait_for("worker . was ended by signal 9; it is started again in 0.5 s")
    served.wait_for("worker . serves again")
    after = _children(served)
    assert len(after) == 2
    assert before[0] not in after
    assert _health(workload, ca) == HealthCheckResponse.SERVING


def _no_secret_was_said(made: Made, served: Served) -> None:
    said = json.dumps(served.said) + "".join(served.errors)
    root = (made.directory / "root.key").read_bytes()
    for secret in (root.hex(), made.code("alice"), made.code("bob")):
        assert secret not in said
    assert "Traceback" not in said


def test_workers_end_with_their_supervisor(made: Made) -> None:
    with serving(made) as served:
        served.wait_for("^serving$")
        children = _children(served)
        assert len(children) == 1
        with pytest.raises(Busy), alone(made.directory):  # nobody else serves it meanwhile
            pass
        served.process.kill()
        served.finish()
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children))


def _taken_away(made: Made) -> None:
    (made.directory / "root.key").unlink()


def _other_root(made: Made) -> None:
    (made.directory / "root.key").write_bytes(bytes(32))


def _bad_config(made: Made) -> None:
    made.config.write_text(made.config.read_text() + "\n[wep]\n")


def _no_site(made: Made) -> None:
    made.config.write_text(made.config.read_text().replace(str(made.directory), str(made.directory / "none")))


def _port_taken(made: Made) -> None:
    """By somebody who does not share it."""
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    _TAKEN.append(taken)
    text = made.config.read_text()
    made.config.write_text(text.replace("people_port = 0", f"people_port = {taken.getsockname()[1]}"))


_TAKEN: list[socket.socket] = []
# name: (what is wrong, exit code, what is said)
STARTS: dict[str, tuple[Callable[[Made], object], int, str]] = {
    "no root key": (_taken_away, 5, "root.key cannot be opened"),
    "another root key": (_other_root, 5, "does not open under its parent"),
    "a mistake in the configuration": (_bad_config, 2, "there is no section [wep]; the nearest is web"),
    "no deployment": (_no_site, 5, "sealgate-broker init"),
    "a port that is taken": (_port_taken, 5, "of 127.0.0.1: Address already in use"),
}


@pytest.mark.parametrize("name", STARTS)
def test_a_start_that_cannot_be(name: str, made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    spoil, code, said = STARTS[name]
    spoil(made)
    assert Hands(now=_now_ms()).run("serve", "--config", str(made.config))[0] == code
    assert said in capsys.readouterr().err
    while _TAKEN:
        _TAKEN.pop().close()


def test_a_worker_that_cannot_start_ends_the_start(made: Made) -> None:
    text = made.config.read_text().replace('names = ["localhost", "127.0.0.1"]', "")
    made.config.write_text(text + '\n[tls]\ncertificate = "none.pem"\nkey = "file:none.key"\nca = "none.pem"\n')
    with serving(made) as served:
        assert served.finish() == 5
    said = "".join(served.errors)
    assert "none.key cannot be opened" in said
    assert "Traceback" not in said
    assert served.said[-1]["event"] == "worker 0 ended with code 5 before it served"


async def test_a_simulated_deployment_is_never_served(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = await make_site(tmp_path / "simulated")
    made.config.write_text(made.config.read_text().replace(str(made.directory), str(site.directory)))
    arguments = ("serve", "--config", str(made.config))
    assert (await asyncio.to_thread(Hands(now=_now_ms()).run, *arguments))[0] == 5
    assert "is of a simulated deployment, which this command never serves" in capsys.readouterr().err
