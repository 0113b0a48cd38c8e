"""Log keys as a note under an offline key: from the commands that make it to the workload that believes it."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sealgate.v1.key_release_pb2 import ReleaseKeysResponse

from attest.tlog.keys import SignerKey, VerifierKey
from attest.tlog.log_keys import LogKeys, open_log_keys, root_name
from attest.tlog.note import sign_text
from clients.cli.main import Doors, main
from clients.errors import NotTrusted
from clients.transport import connect
from clients.trust import LogRoot, Trust, read_trust
from clients.workload.keys import get_keys
from kbs.serve.log_keys import LogKeysRefused, adopt, draft, install, installed
from kbs.serve.site import Site
from tests.flow.test_wire import FakeTee, FalseBroker
from tests.kbs.serve.deployment import Hands, Made, make
from tests.makers.site import ASSET, PURPOSE, SimulatedSite

NOW = 1_790_000_000_000
NAME = "keys.example.com"


class Killed(BaseException):
    """The process ends here."""


def root_of(site: Site) -> SignerKey:
    return SignerKey.from_seed(root_name(site.deployment), bytes([3] * 32))


def signed(keys: LogKeys, root: SignerKey) -> bytes:
    return sign_text(keys.text(), root).encode()


def people(*arguments: object) -> int:
    return main([*map(str, arguments)], Doors(now=datetime(2026, 10, 1, tzinfo=UTC)))


# --- the commands ---


@pytest.fixture
def hands() -> Hands:
    return Hands(now=NOW)


@pytest.fixture
def made(tmp_path: Path, hands: Hands) -> Made:
    return make(tmp_path, hands)


def test_from_an_offline_key_to_a_trust_file_that_names_it(
    made: Made, hands: Hands, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = ("--config", str(made.config))
    assert people("trust", "keygen", "--origin", NAME, "--out", tmp_path / "root") == 0
    assert stat.S_IMODE((tmp_path / "root.key").stat().st_mode) == 0o600
    hands.json("log-keys", "adopt", str(tmp_path / "root.pub"), *config)
    assert hands.run("trust", *config, "--out", str(tmp_path / "early.json"))[0] == 2  # nobody would believe a log
    assert "has signed no note yet" in capsys.readouterr().err
    told = hands.json("log-keys", "draft", *config, "--out", str(tmp_path / "draft"))
    assert people("trust", "sign", tmp_path / "draft", "--key", tmp_path / "root.key", "--out", tmp_path / "note") == 0
    assert hands.json("log-keys", "install", str(tmp_path / "note"), *config)["logs"] == told["logs"]
    hands.json("trust", *config, "--out", str(tmp_path / "trust.json"))
    trust = read_trust(tmp_path / "trust.json", simulated=False)
    pinned = read_trust(made.directory / "trust.json", simulated=False)
    assert (trust.log_keys, trust.log_root) == ((), LogRoot(key=trust.log_root.key, min_version=1))  # type: ignore[union-attr]
    assert trust.informed((tmp_path / "note").read_bytes()).log_keys == pinned.log_keys
    capsys.readouterr()
    assert people("trust", "show", "--trust", tmp_path / "trust.json", "--log-keys", tmp_path / "note", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["log_root"]["min_version"] == 1
    key = pinned.log_keys[0]
    assert shown["log_keys"] == [{"log": f"{NAME}/audit/1", "id": key.key_id.hex(), "vkey": key.vkey}]
    secret = (tmp_path / "root.key").read_text().strip()
    assert secret not in "".join(path.read_text("latin-1") for path in made.directory.rglob("*") if path.is_file())


def test_what_is_not_signed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert people("trust", "keygen", "--origin", NAME, "--out", tmp_path / "root") == 0
    assert people("trust", "keygen", "--origin", NAME, "--out", tmp_path / "root") == 2
    key, out = tmp_path / "root.key", tmp_path / "note"
    log = SignerKey.from_seed("other.example/audit/1", bytes([1] * 32)).public
    (tmp_path / "other").write_bytes(LogKeys(deployment="other.example", version=1, logs=(log,)).text())
    assert people("trust", "sign", tmp_path / "other", "--key", key, "--out", out) == 4
    assert "LOG_KEYS_ORIGIN" in capsys.readouterr().err
    (tmp_path / "checkpoint").write_bytes(
        b"keys.example.com/audit/1\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"
    )
    assert people("trust", "sign", tmp_path / "checkpoint", "--key", key, "--out", out) == 4
    key.chmod(0o640)
    assert people("trust", "sign", tmp_path / "other", "--key", key, "--out", out) == 2
    assert people("trust", "sign", tmp_path / "other", "--key", tmp_path / "root.pub", "--out", out) == 2
    assert not out.exists()


# --- what the broker takes ---


def version(number: int) -> Callable[[Site], bytes]:
    return lambda site: signed(replace(draft(site), version=number), root_of(site))


def _without_ours(site: Site) -> bytes:
    other = SignerKey.from_seed(f"{site.deployment}/audit/2", bytes([2] * 32)).public
    return signed(LogKeys(deployment=site.deployment, version=9, logs=(other,)), root_of(site))


def test_what_is_not_installed(site: SimulatedSite) -> None:
    place, root = site.site, root_of(site.site)
    with pytest.raises(LogKeysRefused, match="no offline key was adopted"):
        install(place, version(1)(place))
    with pytest.raises(LogKeysRefused, match="LOG_KEYS_ROOT"):
        adopt(place, SignerKey.from_seed("other.example/log-keys", bytes([3] * 32)).verifier_key.encode())
    assert adopt(place, root.verifier_key.encode()) == adopt(place, f"{root.verifier_key}\n".encode())
    with pytest.raises(LogKeysRefused, match="would believe no other"):
        adopt(place, SignerKey.from_seed(root.name, bytes([4] * 32)).verifier_key.encode())
    install(place, version(3)(place))
    assert install(place, version(3)(place)).version == 3  # the same again
    for make_note, why in (
        (version(2), "LOG_KEYS_VERSION"),
        (lambda s: signed(draft(s), SignerKey.from_seed(root.name, bytes([4] * 32))), "NOTE_UNSIGNED"),
        (_without_ours, "does not list"),
        (lambda _: b"", "NOTE_FORMAT"),
    ):  # fmt: skip
        with pytest.raises(LogKeysRefused, match=why):
            install(place, make_note(place))
    kept = installed(place)
    assert kept is not None
    assert (kept.version, draft(place).version) == (3, 4)


@pytest.mark.parametrize("point", ["log-root-adopted", "log-keys-installed"])
def test_killed_in_between_it_is_done_again(site: SimulatedSite, point: str) -> None:
    def faults(at: str) -> None:
        if at == point:
            raise Killed

    place = site.site
    for kill in (faults, lambda _: None):
        with suppress(Killed):
            adopt(place, root_of(place).verifier_key.encode(), kill)
            install(place, version(1)(place), kill)
    found = installed(place)
    assert found is not None
    assert found.version == 1


# --- what a workload believes ---


def trusting(site: SimulatedSite, least: int = 1, root: VerifierKey | None = None) -> Trust:
    pinned = read_trust(site.trust, simulated=True)
    return replace(pinned, log_keys=(), log_root=LogRoot(key=root or root_of(site.site).public, min_version=least))


def _get(site: SimulatedSite, port: int, trust: Trust, change: Callable[[ReleaseKeysResponse], Any] | None) -> int:
    with connect(f"127.0.0.1:{port}", trust.broker_ca) as channel:
        end = channel if change is None else FalseBroker(channel, change)
        return len(get_keys(end, trust, FakeTee(site), PURPOSE, [ASSET]).keys)  # type: ignore[arg-type]


def _signers(value: bytes) -> Callable[[ReleaseKeysResponse], None]:
    def change(response: ReleaseKeysResponse) -> None:
        response.receipt.signers = value

    return change


async def test_a_workload_opens_nothing_without_a_note_that_it_believes(
    site: SimulatedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, root = site.site, root_of(site.site)
    adopt(place, root.verifier_key.encode())
    async with site.serve() as (running, listeners):

        async def get(trust: Trust, change: Callable[[ReleaseKeysResponse], Any] | None = None) -> int:
            return await asyncio.to_thread(_get, site, listeners.workload_port, trust, change)

        with pytest.raises(NotTrusted, match="LOG_KEYS_MISSING"):
            await get(trusting(site))
        install(place, version(2)(place))
        running.broker.log_note.look()  # as a worker does every 20 s
        assert await get(trusting(site)) == await get(trusting(site, 2)) == 1
        assert await get(read_trust(site.trust, simulated=True)) == 1  # keys listed: no note is heeded
        assert await get(read_trust(site.trust, simulated=True), _signers(b"nonsense")) == 1
        opened: list[bytes] = []
        monkeypatch.setattr("clients.workload.recipient.RecipientKey.open", lambda _, w, info: opened.append(w))
        with pytest.raises(NotTrusted, match="LOG_KEYS_VERSION"):
            await get(trusting(site, 3))
        with pytest.raises(NotTrusted, match="NOTE_UNSIGNED"):
            await get(trusting(site, 1, SignerKey.from_seed(root.name, bytes([4] * 32)).public))
        thief = SignerKey.from_seed(f"{place.deployment}/audit/1", bytes([5] * 32)).public
        elsewhere = SignerKey.from_seed("other.example/audit/1", bytes([5] * 32)).public
        for note, check in (
            (b"", "LOG_KEYS_MISSING"),
            (version(1)(place), "LOG_KEYS_VERSION"),  # rolled back
            (signed(LogKeys(deployment=place.deployment, version=9, logs=(thief,)), root), "NOTE_UNSIGNED"),
            (
                sign_text(LogKeys(deployment="other.example", version=9, logs=(elsewhere,)).text(), root).encode(),
                "LOG_KEYS_ORIGIN",
            ),
        ):
            with pytest.raises(NotTrusted, match=check):
                await get(trusting(site, 2), _signers(note))
        assert opened == []
    assert open_log_keys(place.log_keys.read_bytes(), root.public, place.deployment, at_least=2).version == 2
