"""The server CA is rotated with overlap: both trust files work until the day, and only the newer from then on."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from attest.anchors import BUILT_IN
from attest.evidence import Collateral
from attest.tlog.entry import parse_leaf
from clients.trust import ca_certificates, read_trust
from kbs.collateral.shelf import Shelf
from kbs.serve.config.load import load as load_config
from kbs.serve.duties import look_after_keys
from kbs.serve.first_run import site_for
from kbs.serve.lock import alone
from kbs.serve.service import serve
from kbs.serve.tls import Certificates
from kbs.serve.wiring import open_site
from kbs.store.read import Reader
from tests.kbs.serve.deployment import Hands, Made, make

HOUR = 3_600_000


@pytest.fixture
def hands() -> Hands:
    return Hands(now=time.time_ns() // 1_000_000 - HOUR)


@pytest.fixture
def made(tmp_path: Path, hands: Hands) -> Made:
    return make(tmp_path, hands)


def _iso(ms: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ms // 1_000))


def _trust(made: Made, hands: Hands, name: str) -> bytes:
    path = made.config.parent / name
    assert hands.run("trust", "--config", str(made.config), "--out", str(path))[0] == 0
    return read_trust(path, simulated=False).broker_ca


def _rotate(made: Made, hands: Hands, ms: int) -> dict[str, object]:
    return hands.json("trust", "rotate-ca", "--config", str(made.config), "--from", _iso(ms))


def _connects(port: int, ca: bytes) -> bool:
    options = (("grpc.enable_retries", 0), ("grpc.initial_reconnect_backoff_ms", 50))
    with grpc.secure_channel(f"localhost:{port}", grpc.ssl_channel_credentials(ca), options) as channel:
        check: Any = channel.unary_unary("/grpc.health.v1.Health/Check")
        try:
            answer = HealthCheckResponse.FromString(check(HealthCheckRequest().SerializeToString(), timeout=10))
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            return False
    return bool(answer.status == HealthCheckResponse.SERVING)


async def test_old_trust_files_work_until_the_day_and_new_ones_before_and_after(made: Made, hands: Hands) -> None:
    config, now = load_config(made.config).config, [hands.now]
    old = _trust(made, hands, "old.json")
    site = site_for(config)
    with open_site(site, Shelf(Collateral()), BUILT_IN, clock=lambda: now[0]) as running:
        shown = Certificates(config, running.keyring, None, lambda: now[0])
        async with serve(
            running, shown.current(), host="127.0.0.1", workload_port=0, people_port=0, certificates=shown.current
        ) as listeners:

            async def works(ca: bytes) -> bool:
                await look_after_keys(running, site)
                shown.renew()
                return await asyncio.to_thread(_connects, listeners.workload_port, ca)

            await asyncio.to_thread(_rotate, made, hands, hands.now + HOUR // 2)  # while it serves
            both = _trust(made, hands, "both.json")
            for now[0] in (hands.now, hands.now + HOUR // 2 - 2_000):
                assert await works(old)
                assert await works(both)
            hands.now = now[0] = hands.now + HOUR // 2 + 60_000
            new = _trust(made, hands, "new.json")
            assert not await works(old)
            assert await works(both)
            assert await works(new)
    counted = [len(ca_certificates(read_trust(made.config.parent / f"{n}.json", simulated=False))) for n in
               ("old", "both", "new")]  # fmt: skip
    assert counted == [1, 2, 1]
    assert old + new == both


def test_what_is_listed_and_logged(made: Made, hands: Hands) -> None:
    told = _rotate(made, hands, hands.now + HOUR)
    assert (told["serial"], told["state"]) == (2, "next")
    listed = hands.json("trust", "list", "--config", str(made.config))["server_cas"]
    assert [(ca["serial"], ca["state"]) for ca in listed] == [(1, "in force"), (2, "next")]
    assert listed[1] == told
    with closing(Reader(made.directory / "store.db")) as reader:
        entry = parse_leaf(reader.entries(1, 2)[0][1]).body
    assert (entry["type"], entry["object"]) == ("broker-key.added", "brokerKeys/server-ca-2")
    hands.now += HOUR
    listed = hands.json("trust", "list", "--config", str(made.config))["server_cas"]
    assert [ca["state"] for ca in listed] == ["past", "in force"]
    _rotate(made, hands, hands.now + HOUR)  # and again, with the root key rotated in between
    assert hands.run("custody", "rotate", "--config", str(made.config))[0] == 0
    assert len(hands.json("trust", "list", "--config", str(made.config))["server_cas"]) == 3


async def test_a_day_that_is_moved_counts_for_whoever_serves(made: Made, hands: Hands) -> None:
    """Later: both trust files work on the old day. Earlier: the old one alone ends with the new day. Then cancelled."""
    config, now = load_config(made.config).config, [hands.now]
    old = _trust(made, hands, "old.json")
    site = site_for(config)
    with open_site(site, Shelf(Collateral()), BUILT_IN, clock=lambda: now[0]) as running:
        shown = Certificates(config, running.keyring, None, lambda: now[0])
        async with serve(
            running, shown.current(), host="127.0.0.1", workload_port=0, people_port=0, certificates=shown.current
        ) as listeners:

            async def works(ca: bytes) -> bool:
                await look_after_keys(running, site)
                shown.renew()
                return await asyncio.to_thread(_connects, listeners.workload_port, ca)

            async def do(*words: str) -> None:
                await asyncio.to_thread(hands.json, "trust", *words, "--config", str(made.config))

            first = hands.now
            await asyncio.to_thread(_rotate, made, hands, first + HOUR // 3)
            cancelled = await asyncio.to_thread(_trust, made, hands, "cancelled.json")
            await do("cancel-ca")
            hands.now = now[0] = first + HOUR // 3 + 1_000
            assert await works(old)
            assert await works(cancelled)
            await asyncio.to_thread(_rotate, made, hands, first + 2 * HOUR // 3)
            both = await asyncio.to_thread(_trust, made, hands, "both.json")
            await do("move-ca", "--from", _iso(first + HOUR))
            hands.now = now[0] = first + 2 * HOUR // 3 + 1_000
            assert await works(old)
            assert await works(both)
            await do("move-ca", "--from", _iso(first + HOUR - 2 * 60_000))  # ten minutes at least are left
            hands.now = now[0] = first + HOUR - 60_000
            assert not await works(old)
            assert not await works(cancelled)  # it never knew this one
            assert await works(both)
    files = [read_trust(made.config.parent / f"{name}.json", simulated=False) for name in ("cancelled", "both")]
    subjects = {ca.subject for trust in files for ca in ca_certificates(trust)}
    assert len(subjects) == 3  # one in force, and two that were announced: no verifier takes one for another


def test_what_was_moved_and_cancelled_is_in_the_log(made: Made, hands: Hands) -> None:
    config = ("--config", str(made.config))
    first = _rotate(made, hands, hands.now + HOUR)
    moved = hands.json("trust", "move-ca", *config, "--from", _iso(hands.now + 2 * HOUR))
    assert (moved["was"], moved["sha256"], moved["serial"]) == (first["since"], first["sha256"], 2)
    assert hands.json("trust", "list", *config)["server_cas"][1]["since"] == moved["since"]
    gone = hands.json("trust", "cancel-ca", *config)
    assert (gone["state"], gone["sha256"]) == ("cancelled", first["sha256"])
    assert [ca["state"] for ca in hands.json("trust", "list", *config)["server_cas"]] == ["in force"]
    second = _rotate(made, hands, hands.now + HOUR)
    assert second["sha256"] != first["sha256"]
    with closing(Reader(made.directory / "store.db")) as reader:
        bodies: list[Any] = [parse_leaf(leaf).body for _, leaf, _ in reader.entries(1, 5)]
        documents = [
            [json.loads(reader.blob(bytes.fromhex(body[name])) or b"{}")["since"] if body[name] else None
             for name in ("old_digest", "new_digest")]
            for body in bodies
        ]  # fmt: skip
        assert len(reader.broker_keys("server-ca")) == 2
    assert [body["type"] for body in bodies] == [
        "broker-key.added", "broker-key.changed", "broker-key.deleted", "broker-key.added",
    ]  # fmt: skip
    assert {body["object"] for body in bodies} == {"brokerKeys/server-ca-2"}
    soon, late = (hands.now + n * HOUR - (hands.now + n * HOUR) % 1_000 for n in (1, 2))
    assert documents == [[None, soon], [soon, late], [late, None], [None, soon]]
    assert hands.run("custody", "rotate", *config)[0] == 0  # the root key's change finds nothing that is gone


# name: (minutes until the announced day, None for none; the verb and its arguments; what is said). In this order.
UNMOVED: dict[str, tuple[int | None, tuple[str, ...], str]] = {
    "none to cancel": (None, ("cancel-ca",), "no new server CA is announced"),
    "none to move": (None, ("move-ca", "--from", "2099-01-01"), "no new server CA is announced"),
    "moved to now": (60, ("move-ca", "--from", "+1"), "at least 10 minutes ahead"),
    "moved to the past": (60, ("move-ca", "--from", "2020-01-01"), "at least 10 minutes ahead"),
    "moved beyond its life": (60, ("move-ca", "--from", "2099-01-01"), "cancel it, and announce another"),
    "cancelled too late": (9, ("cancel-ca",), "may be about to use it"),
    "put off too late": (9, ("move-ca", "--from", "+60"), "may be about to use it"),
}


def test_what_is_not_moved(made: Made, hands: Hands, capsys: pytest.CaptureFixture[str]) -> None:
    start, announced = hands.now, False
    for name, (left, given, said) in UNMOVED.items():
        if left is not None and not announced:
            _rotate(made, hands, start + HOUR)
            announced = True
        hands.now = start + HOUR - left * 60_000 if left is not None else start
        before = hands.json("trust", "list", "--config", str(made.config))
        words = [_iso(hands.now + int(word) * 60_000) if word.startswith("+") else word for word in given]
        assert hands.run("trust", *words, "--config", str(made.config))[0] == 5, name
        assert said in capsys.readouterr().err, name
        assert hands.json("trust", "list", "--config", str(made.config)) == before, name


def test_nothing_is_moved_while_the_root_key_changes(made: Made, hands: Hands) -> None:
    _rotate(made, hands, hands.now + HOUR)
    with alone(made.directory, "custody.lock"):
        assert hands.run("trust", "cancel-ca", "--config", str(made.config))[0] == 5
        later = ("--from", _iso(hands.now + 2 * HOUR))
        assert hands.run("trust", "move-ca", *later, "--config", str(made.config))[0] == 5


def test_the_doctor_tells_of_the_day(made: Made, hands: Hands) -> None:
    for days, outcome in ((40, "fine"), (9, "warning")):
        if days == 40:
            _rotate(made, hands, hands.now + 40 * 24 * HOUR + 1_000)
        else:
            hands.now += 31 * 24 * HOUR
        said = json.loads(hands.run("doctor", "--config", str(made.config), "--json")[1])["symptoms"]
        [found] = [s for s in said if "another server CA" in s["sentence"]]
        assert (found["outcome"], f"in {days} days" in found["sentence"]) == (outcome, True)


# name: (--from, exit code, what is said)
REFUSED = {
    "no date": ("soon", 2, "is not a day"),
    "now": ("now", 5, "at least 10 minutes ahead"),
    "yesterday": ("2020-01-01", 5, "at least 10 minutes ahead"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_rotation(name: str, made: Made, hands: Hands, capsys: pytest.CaptureFixture[str]) -> None:
    start, code, said = REFUSED[name]
    start = _iso(hands.now) if start == "now" else start
    assert hands.run("trust", "rotate-ca", "--config", str(made.config), "--from", start)[0] == code
    assert said in capsys.readouterr().err


def test_one_successor_at_a_time_and_not_while_the_root_key_changes(
    made: Made, hands: Hands, capsys: pytest.CaptureFixture[str]
) -> None:
    rotate = ("trust", "rotate-ca", "--config", str(made.config), "--from", _iso(hands.now + HOUR))
    with alone(made.directory, "custody.lock"):
        assert hands.run(*rotate)[0] == 5
    assert hands.run(*rotate)[0] == 0
    assert hands.run(*rotate)[0] == 5
    assert "announced already" in capsys.readouterr().err


def test_a_certificate_of_ones_own_has_a_ca_of_ones_own(
    made: Made, hands: Hands, capsys: pytest.CaptureFixture[str]
) -> None:
    more = '[tls]\ncertificate = "server.pem"\nkey = "file:server.key"\nca = "ca.pem"\n'
    text = made.config.read_text().replace('names = ["localhost", "127.0.0.1"]\n', "")
    made.config.write_text(text + more)
    rotate = ("trust", "rotate-ca", "--config", str(made.config), "--from", _iso(hands.now + HOUR))
    assert hands.run(*rotate)[0] == 2
    assert "old and the new CA" in capsys.readouterr().err


def test_trust_without_a_verb_needs_its_files(hands: Hands, capsys: pytest.CaptureFixture[str]) -> None:
    assert hands.run("trust", "--config", "broker.toml")[0] == 2
    assert "--out FILE" in capsys.readouterr().err
