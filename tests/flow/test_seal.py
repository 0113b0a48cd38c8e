"""`sealgate seal` with the key that the broker names, opened with the key that it would release."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from clients.cli.main import Doors, main
from clients.workload.opened_set import OpenedSet
from tests.makers.site import ASSET, SimulatedSite


def seal(site: SimulatedSite, port: int, folder: Path, *but: str) -> int:
    (folder / "key.pem").write_bytes(site.operator.key)
    (folder / "key.pem").chmod(0o600)
    (folder / "cert.pem").write_bytes(site.operator.certificate)
    given = {"--trust": str(site.trust), "--broker": f"127.0.0.1:{port}", "--key": str(folder / "key.pem"),
             "--cert": str(folder / "cert.pem")}  # fmt: skip
    where = [word for name, value in given.items() if name not in but for word in (name, value)]
    (folder / "data").write_bytes(b"restricted")
    arguments = ["seal", "--asset", ASSET, "--out", str(folder / "out"), "--state", str(folder / "s"), *where]
    return main([*arguments, str(folder / "data")], Doors(now=datetime.now(UTC), simulated=True))


async def test_the_broker_names_the_key(site: SimulatedSite, tmp_path: Path) -> None:
    async with site.serve() as (_, listeners):
        assert await asyncio.to_thread(seal, site, listeners.people_port, tmp_path) == 0
    (tmp_path / "content").write_text(hashlib.sha256((tmp_path / "out" / "manifest.json").read_bytes()).hexdigest())
    (tmp_path / "released").write_bytes(site.key.seed)
    opened = OpenedSet.of(tmp_path / "out", key=tmp_path / "released", content=tmp_path / "content", asset=ASSET)
    with opened.open("data") as file:
        assert file.readall() == b"restricted"


@pytest.mark.parametrize("missing", ["--trust", "--broker", "--key", "--cert"])
async def test_without_either_it_says_what_it_needs(
    site: SimulatedSite, tmp_path: Path, missing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert seal(site, 1, tmp_path, missing) == 2
    assert "seal needs --recipient FILE, or" in capsys.readouterr().err
