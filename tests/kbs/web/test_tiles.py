"""The published log over HTTP: what an auditor's client may ask for, and what nobody may."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

from attest.tlog.checkpoint import open_checkpoint
from attest.tlog.merkle import root_of
from attest.tlog.tiles import decode_tile
from kbs.serve.commands import Doors, main
from kbs.web.tiles import make_app
from tests.makers.log import make_log

SIZE = 300


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return make_log(tmp_path / "log", SIZE).directory


# path: (status, length of the body if it is a tile)
PATHS: dict[str, tuple[int, int | None]] = {
    "/checkpoint": (200, None),
    "/tile/0/000": (200, 256 * 32),
    "/tile/0/001.p/44": (200, 44 * 32),
    "/tile/0/001.p/7": (200, 7 * 32),
    "/tile/0/000.p/9": (200, 9 * 32),
    "/tile/1/000.p/1": (200, 32),
    "/tile/0/001.p/45": (404, None),
    "/tile/0/001": (404, None),
    "/tile/0/002.p/1": (404, None),
    "/tile/entries/000": (403, None),
    "/tile/entries/001.p/44": (403, None),
    "/tile/0/0": (404, None),
    "/tile/0/001.p/0": (404, None),
    "/tile/0/x000/001": (404, None),
    "/tile/../checkpoint": (200, None),
    "/tile/0/..%2f..%2f..%2fstore.db": (404, None),
    "/store.db": (404, None),
    "/": (404, None),
}


async def test_paths(log: Path) -> None:
    async with TestClient(TestServer(make_app(log))) as client:
        for path, (status, length) in PATHS.items():
            answer = await client.get(path)
            body = await answer.read()
            assert answer.status == status, path
            assert length is None or len(body) == length, path
            assert (await client.post(path)).status in {404, 405}, path


async def test_what_is_served_is_the_log(log: Path) -> None:
    made = make_log(log.parent / "again", SIZE)
    async with TestClient(TestServer(make_app(made.directory))) as client:
        raw = await (await client.get("/checkpoint")).read()
        key = made.trust.log_keys[0]
        signed = open_checkpoint(raw, key.name, [key]).checkpoint
        hashes = [
            *decode_tile(await (await client.get("/tile/0/000")).read(), 256),
            *decode_tile(await (await client.get("/tile/0/001.p/44")).read(), 44),
        ]
    assert (signed.size, signed.root) == (SIZE, root_of(hashes))


async def test_nothing_published_yet(tmp_path: Path) -> None:
    async with TestClient(TestServer(make_app(tmp_path))) as client:
        assert (await client.get("/checkpoint")).status == 404
        assert (await client.get("/log-keys")).status == 404


async def test_the_note_of_log_keys_is_open_to_everybody(tmp_path: Path) -> None:
    (tmp_path / "log-keys").write_bytes(b"a note\n")
    async with TestClient(TestServer(make_app(tmp_path))) as client:
        answer = await client.get("/log-keys")
        assert (answer.status, answer.content_type, await answer.read()) == (200, "text/plain", b"a note\n")
        assert answer.headers["Cache-Control"] == "no-cache"


def test_the_command_serves_until_it_is_told_to_stop(log: Path) -> None:
    command = [sys.executable, "-m", "kbs", "web", "--directory", str(log.parent), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = re.search(r"http://\S+", process.stdout.readline())
        assert address is not None
        with urllib.request.urlopen(f"{address[0]}/checkpoint", timeout=10) as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0


def test_a_port_that_is_taken_or_none_is_a_sentence(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    doors = Doors(clock=lambda: 0, say=print)
    web = ["web", "--directory", str(log.parent), "--port"]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main([*web, str(port)], doors) == 5
    assert capsys.readouterr().err == f"sealgate-broker: 127.0.0.1:{port}: Address already in use\n"
    for none in ("65536", "-1", "http"):
        assert main([*web, none], doors) == 2
        assert "0 to 65535" in capsys.readouterr().err
