"""People over the wire, through the command line: enrol with a code, log in with the key, be somebody."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import os
import stat
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from attest.anchors import BUILT_IN
from attest.evidence import Collateral
from clients.cli.main import Doors, main
from clients.operator.enrolment import PersonKey
from kbs.collateral.shelf import Shelf
from kbs.rpc.server import Listeners
from kbs.serve.founders import Founder, Invitation
from kbs.serve.service import serve
from kbs.serve.site import Site, initialise
from kbs.serve.tls import own_tls
from kbs.serve.wiring import Running, open_site, wall_clock

ORIGIN = "keys.example.com"


@dataclass(kw_only=True)
class Served:
    """A real deployment's broker, in this process, on loopback."""

    running: Running
    listeners: Listeners
    invitations: list[Invitation]
    folder: Path

    async def sealgate(self, *arguments: str, people: bool = False) -> int:
        port = self.listeners.people_port if people else self.listeners.workload_port
        where = ("--trust", str(self.folder / "trust.json"), "--broker", f"127.0.0.1:{port}")
        doors = Doors(now=dt.datetime.now(dt.UTC))
        return await asyncio.to_thread(main, (*arguments, *where), doors)

    def code_file(self, number: int = 0) -> str:
        path = self.folder / f"code-{number}"
        path.write_text(self.invitations[number].code + "\n")
        return str(path)


@contextlib.asynccontextmanager
async def _served(folder: Path, **how: Any) -> AsyncIterator[Served]:
    site = Site(directory=folder / "site", deployment=ORIGIN)
    founders = [Founder(name=n, roles=frozenset({"operator"}), tenants=frozenset({"acme"})) for n in ("a", "b")]
    invitations = await initialise(site, wall_clock, simulated=False, founders=founders)
    with open_site(site, Shelf(Collateral()), BUILT_IN) as running:
        tls = own_tls(running.keyring, ["localhost", "127.0.0.1"], wall_clock())
        trust = {
            "v": "sealgate.trust/1",
            "origin": ORIGIN,
            "broker_ca": running.keyring.server_ca.pem.decode(),
            "log_keys": [running.broker.signer.verifier_key],
            "tenant": "acme",
            "simulated": False,
        }
        (folder / "trust.json").write_text(json.dumps(trust))
        ports: dict[str, Any] = {"workload_port": 0, "people_port": 0}
        async with serve(running, tls, host="127.0.0.1", publish_every_s=0.2, **ports, **how) as listeners:
            yield Served(running=running, listeners=listeners, invitations=invitations, folder=folder)


async def test_enrol_login_and_be_somebody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with _served(tmp_path) as served:
        out = str(tmp_path / "alice")
        assert await served.sealgate("enrol", "--code-file", served.code_file(), "--out", out, "--json") == 0
        told = json.loads(capsys.readouterr().out)
        assert told["principal"] == served.invitations[0].principal
        assert stat.S_IMODE((tmp_path / "alice.key").stat().st_mode) == 0o600
        first = (tmp_path / "alice.pem").read_bytes()
        login = ("login", "--key", f"{out}.key", "--cert", f"{out}.pem")
        assert await served.sealgate(*login) == 0
        second = (tmp_path / "alice.pem").read_bytes()
        assert first != second
        keys = [x509.load_pem_x509_certificates(chain)[0].public_key() for chain in (first, second)]
        assert keys[0] == keys[1]
        who = ("--key", f"{out}.key", "--cert", f"{out}.pem")
        assert await served.sealgate("explain", "00" * 16, *who, people=True) == 3
        assert "NOT_FOUND" in capsys.readouterr().err  # somebody, who asked for what is not there


async def test_a_code_on_a_descriptor_and_a_lost_reply(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with _served(tmp_path) as served:
        reading, writing = os.pipe()
        os.write(writing, served.invitations[1].code.encode())
        os.close(writing)
        out = str(tmp_path / "bob")
        assert await served.sealgate("enrol", "--code-fd", str(reading), "--out", out) == 0
        key = (tmp_path / "bob.key").read_bytes()
        # Whoever lost the answer has the key still: enrolling again says that the code was used, login helps.
        assert await served.sealgate("enrol", "--code-file", served.code_file(1), "--out", out) == 3
        said = capsys.readouterr().err
        assert "one that was used" in said
        assert served.invitations[1].code not in said
        assert (tmp_path / "bob.key").read_bytes() == key
        assert await served.sealgate("login", "--key", f"{out}.key", "--cert", f"{out}.pem") == 0


async def test_what_is_refused_before_anything_is_sent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with _served(tmp_path) as served:
        bad = tmp_path / "bad"
        bad.write_text("no such code")
        out = str(tmp_path / "eve")
        assert await served.sealgate("enrol", "--code-file", str(bad), "--out", out) == 2
        assert await served.sealgate("enrol", "--code-file", str(tmp_path / "none"), "--out", out) == 2
        assert "no such code" not in capsys.readouterr().err
        key = tmp_path / "eve.key"
        assert not key.exists()  # nobody is enrolled with it
        key.write_bytes(PersonKey.generate().pem())
        key.chmod(0o644)
        assert await served.sealgate("login", "--key", str(key), "--cert", f"{out}.pem") == 2
        assert "can be read by others" in capsys.readouterr().err
        key.chmod(0o600)
        assert await served.sealgate("login", "--key", str(key), "--cert", f"{out}.pem") == 3
        assert "CERTIFICATE_UNKNOWN" in capsys.readouterr().err


async def test_guessing_is_slowed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with _served(tmp_path, attempts_per_minute=8) as served:
        guess = tmp_path / "guess"
        guess.write_text("aaaa-" * 7 + "aaaa")
        codes = [
            await served.sealgate("enrol", "--code-file", str(guess), "--out", str(tmp_path / "eve")) for _ in range(3)
        ]
        assert codes == [3, 3, 5]
        assert "RATE_LIMITED" in capsys.readouterr().err


def _published(checkpoint: Path) -> None:
    """Waits for it: the log is published five times a second."""
    end = time.monotonic() + 10
    while not checkpoint.exists() and time.monotonic() < end:
        time.sleep(0.02)


async def test_a_trust_file_shown_and_verified(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with _served(tmp_path) as served:
        await asyncio.to_thread(_published, tmp_path / "site" / "log" / "checkpoint")
        checkpoint = ("--checkpoint", str(tmp_path / "site" / "log" / "checkpoint"))
        assert await served.sealgate("trust", "verify", *checkpoint, "--json") == 0
        told = json.loads(capsys.readouterr().out)
        assert {c["outcome"] for c in told["checks"].values()} == {"passed"}
        trust = ("--trust", str(tmp_path / "trust.json"))
        doors = Doors(now=dt.datetime.now(dt.UTC))
        assert main(["trust", "show", *trust], doors) == 0
        assert ORIGIN in capsys.readouterr().out
        assert main(["trust", "verify", *trust], doors) == 0
        assert "skipped broker" in capsys.readouterr().out
        late = Doors(now=dt.datetime.now(dt.UTC) + dt.timedelta(days=30 * 365))
        assert main(["trust", "verify", *trust], late) == 4
        capsys.readouterr()
        document = json.loads((tmp_path / "trust.json").read_text())
        (tmp_path / "trust.json").write_text(json.dumps(document | {"origin": "other.example.com"}))
        assert await served.sealgate("trust", "verify", *checkpoint, "--json") == 4
        outcomes = {n: c["outcome"] for n, c in json.loads(capsys.readouterr().out)["checks"].items()}
        failed = {name for name, outcome in outcomes.items() if outcome == "failed"}
        assert failed == {"log_keys", "broker", "checkpoint"}
