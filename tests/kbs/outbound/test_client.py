"""The one HTTP client against a server that misbehaves: every failure has its name, and nothing stays open."""

from __future__ import annotations

import datetime as dt
import re
import socket
import ssl
from collections.abc import Mapping
from pathlib import Path

import pytest

from kbs.outbound.client import Egress, Outbound
from kbs.outbound.errors import OutboundError
from tests.makers import pki
from tests.makers.vendor_http import Answer, VendorServer

ROOT = Path(__file__).resolve().parents[3]


def ok(path: str, headers: Mapping[str, str]) -> Answer:
    return Answer(body=b"x" * 1_000, headers={"X-Chain": "a%20b"})


def loopback(server: VendorServer, **changed: object) -> Outbound:
    return Outbound(Egress(hosts=frozenset({server.host}), loopback=True, **changed))  # type: ignore[arg-type]


# name: (what the server does, the check)
FAULTS: dict[str, tuple[Answer, str]] = {
    "half a body": (Answer(body=b"x" * 1_000, half=True), "OUTBOUND_INCOMPLETE"),
    "a hang": (Answer(hang=True), "OUTBOUND_TIMEOUT"),
    "too many bytes, said": (Answer(body=b"x" * 5_000), "OUTBOUND_TOO_LARGE"),
    "compressed": (Answer(body=b"x", headers={"Content-Encoding": "gzip"}), "OUTBOUND_ENCODED"),
    "elsewhere": (Answer(status=302, headers={"Location": "https://evil.example/"}), "OUTBOUND_REDIRECT"),
    "elsewhere for ever": (Answer(status=308, headers={"Location": "/"}), "OUTBOUND_REDIRECT"),
    "a header without end": (Answer(headers={"X-Chain": "x" * 40_000}), "OUTBOUND_INCOMPLETE"),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_what_a_server_does_wrong_has_a_name(name: str) -> None:
    answer, check = FAULTS[name]
    async with VendorServer(lambda path, headers: answer) as server:
        client = loopback(server)
        with pytest.raises(OutboundError) as failure:
            await client.get(f"{server.base}/x?secret=1", limit=4_096, seconds=0.3 if name == "a hang" else 20)
        assert failure.value.check == check
        assert "secret" not in str(failure.value)
        await client.close()
        await server.idle()


async def test_an_answer_comes_whole() -> None:
    async with VendorServer(ok) as server:
        client = loopback(server)
        answer = await client.get(f"{server.base}/x", limit=1_000, seconds=20)
        assert (answer.status, len(answer.body), answer.headers["x-chain"]) == (200, 1_000, "a%20b")
        posted = await client.post(f"{server.base}/x", b"abc", content_type="a/b", limit=1_000, seconds=20)
        assert posted.status == 200
        await client.close()
        with pytest.raises(OutboundError, match="OUTBOUND_CLOSED"):
            await client.get(f"{server.base}/x", limit=1_000, seconds=20)


async def test_a_status_is_an_answer() -> None:
    async with VendorServer(lambda path, headers: Answer(status=429, headers={"Retry-After": "7"})) as server:
        client = loopback(server)
        answer = await client.get(f"{server.base}/x", limit=10, seconds=20)
        assert (answer.status, answer.headers["retry-after"]) == (429, "7")
        await client.close()


# name: (URL, the check)
REFUSED = {
    "a host that is not listed": ("https://evil.example/x", "OUTBOUND_HOST"),
    "a listed host at another port": ("https://kds.example:8443/x", "OUTBOUND_HOST"),
    "a host behind credentials": ("https://kds.example@evil.example/", "OUTBOUND_HOST"),
    "credentials": ("https://me:secret@kds.example/", "OUTBOUND_HOST"),
    "plain HTTP": ("http://kds.example/x", "OUTBOUND_SCHEME"),
    "a file": ("file://kds.example/etc/passwd", "OUTBOUND_SCHEME"),
    "no host": ("https:///x", "OUTBOUND_HOST"),
    "no port": ("https://kds.example:x/", "OUTBOUND_HOST"),
    "a relative URL": ("/x", "OUTBOUND_HOST"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_nothing_is_sent_where_nothing_may_be(name: str) -> None:
    url, check = REFUSED[name]
    client = Outbound(Egress(hosts=frozenset({"kds.example"}), loopback=True))
    with pytest.raises(OutboundError) as failure:
        await client.get(url, limit=10, seconds=20)
    assert failure.value.check == check
    assert "secret" not in str(failure.value)
    await client.close()


async def test_plain_http_needs_a_listed_loopback_and_leave() -> None:
    async with VendorServer(ok) as server:
        client = Outbound(Egress(hosts=frozenset({server.host})))
        with pytest.raises(OutboundError, match="OUTBOUND_SCHEME"):
            await client.get(f"{server.base}/x", limit=10, seconds=20)
        await client.close()


async def test_https_needs_a_server_that_proves_its_name(tmp_path: Path) -> None:
    now = dt.datetime.now(dt.UTC)
    ca, other = pki.authority("a CA", now), pki.authority("another CA", now)
    pair = pki.issue(ca, "vendor", now, server=True)
    (tmp_path / "key.pem").write_bytes(pair.key)
    (tmp_path / "cert.pem").write_bytes(pair.certificate)
    (tmp_path / "ca.pem").write_bytes(ca.pem)
    (tmp_path / "other.pem").write_bytes(other.pem)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    async with VendorServer(ok, tls=tls) as server:
        for file, fine in (("ca.pem", True), ("other.pem", False)):
            client = Outbound(Egress(hosts=frozenset({server.host}), ca_file=tmp_path / file))
            if fine:
                assert (await client.get(f"{server.base}/x", limit=1_000, seconds=20)).status == 200
            else:
                with pytest.raises(OutboundError, match="OUTBOUND_TLS"):
                    await client.get(f"{server.base}/x", limit=1_000, seconds=20)
            await client.close()


async def test_nobody_there() -> None:
    with socket.socket() as silent:  # bound and never listening, so that nobody else is given the port
        silent.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        client = Outbound(Egress(hosts=frozenset({host}), loopback=True))
        with pytest.raises(OutboundError, match="OUTBOUND_UNREACHABLE"):
            await client.get(f"http://{host}/x", limit=1_000, seconds=20)
        await client.close()


async def test_a_proxy_is_asked_and_the_environment_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    async with VendorServer(ok) as server, VendorServer(ok) as proxy:
        direct, through = loopback(server), loopback(server, proxy=proxy.base)
        await direct.get(f"{server.base}/x", limit=1_000, seconds=20)
        assert server.asked["/x"] == 1
        await through.get(f"{server.base}/x", limit=1_000, seconds=20)
        assert (server.asked["/x"], proxy.asked[f"{server.base}/x"]) == (1, 1)
        await direct.close()
        await through.close()


@pytest.mark.parametrize("hosts", [{""}, {"*.example"}, {"https://a.example"}, {"A.example"}])
def test_hosts_are_names(hosts: set[str]) -> None:
    with pytest.raises(ValueError, match="not a host"):
        Egress(hosts=frozenset(hosts))


@pytest.mark.parametrize("proxy", ["https://p:1", "http://me:secret@p:1", "p:1", "http://p:1/path"])
def test_a_proxy_is_plain_and_has_no_credentials(proxy: str) -> None:
    with pytest.raises(ValueError, match="proxy") as failure:
        Egress(hosts=frozenset({"a.example"}), proxy=proxy)
    assert "secret" not in str(failure.value)


OPENS = re.compile(
    r"ClientSession|urlopen|urllib\.request|http\.client|open_connection|create_connection|smtplib|ftplib"
)


def test_nothing_else_of_the_broker_opens_a_connection() -> None:
    """Besides the import contract: neither by aiohttp's client nor by what the standard library has for it."""
    found = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "kbs").rglob("*.py")
        if OPENS.search(path.read_text(encoding="utf-8"))
    }
    assert found == {"kbs/outbound/client.py"}
