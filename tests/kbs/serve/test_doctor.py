"""The doctor: each thing that can be wrong is said in its area, with its exit code; nothing is changed."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from attest.tlog.keys import SignerKey
from attest.tlog.log_keys import root_name
from attest.tlog.note import sign_text
from kbs.log.publish import write_synced
from kbs.serve.doctor import machine
from kbs.serve.lock import alone
from kbs.serve.log_keys import adopt, draft
from kbs.serve.site import Site
from kbs.store.freeze import Mark, write_mark
from tests.kbs.serve.deployment import Hands, Made, make
from tests.makers import pki

NOW = 1_790_000_000_000
DAY = 24 * 3_600_000


@pytest.fixture
def made(tmp_path: Path) -> Made:
    collateral = tmp_path / "collateral"
    collateral.mkdir()
    (collateral / "amd.crl").write_bytes(_crl(NOW + 30 * DAY))
    return make(tmp_path, Hands(now=NOW), f'\n[collateral]\nfetch = "nothing"\ndirectory = "{collateral}"\n')


def _crl(ends: int) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "SEV-Milan")])
    until = dt.datetime.fromtimestamp(ends / 1_000, dt.UTC)
    builder = x509.CertificateRevocationListBuilder().issuer_name(name)
    builder = builder.last_update(until - dt.timedelta(days=60)).next_update(until)
    return builder.sign(key, SHA256()).public_bytes(Encoding.DER)


def _examine(made: Made, now: int = NOW) -> tuple[int, list[dict[str, Any]]]:
    code, said = Hands(now=now).run("doctor", "--config", str(made.config), "--json")
    return code, json.loads(said)["symptoms"]


def _state(directory: Path) -> dict[str, str]:
    ours = {"serving.lock", "store.db-shm", "store.db-wal"}
    kept = (path for path in directory.rglob("*") if path.is_file() and path.name not in ours)
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in kept}


def test_a_healthy_deployment(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "kernel_synchronised", lambda: True)
    before = _state(made.directory)
    code, symptoms = _examine(made)
    assert code == 0
    told = {(s["area"], s["outcome"]) for s in symptoms}
    areas = {
        "configuration", "clock", "store", "log", "log keys", "custody", "certificates", "collateral", "people",
        "processes",
    }  # fmt: skip
    assert {area for area, _ in told} == areas
    assert {area for area, outcome in told if outcome != "fine"} <= {"log", "people", "store"}  # nothing published, yet
    assert _state(made.directory) == before
    text = Hands(now=NOW).run("doctor", "--config", str(made.config))[1]
    assert "fine    custody: the root key opens all 6 keys below it" in text


def _clock_back(made: Made) -> None:
    del made


def _frozen(made: Made) -> None:
    store = made.directory / "store.db"
    write_mark(store, Mark(at=NOW, reason="a test says so", stored=None))


def _ended(made: Made) -> None:
    (made.config.parent / "collateral" / "amd.crl").write_bytes(_crl(NOW - DAY))


def _no_collateral(made: Made) -> None:
    (made.config.parent / "collateral" / "amd.crl").unlink()


def _no_file_of_collateral(made: Made) -> None:
    (made.config.parent / "collateral" / "x.pem").write_bytes(b"no certificate")


def _open_directory(made: Made) -> None:
    made.directory.chmod(0o755)


def _config_writable(made: Made) -> None:
    made.config.chmod(0o666)


def _other_root(made: Made) -> None:
    (made.directory / "root.key").write_bytes(bytes(32))


def _no_root(made: Made) -> None:
    (made.directory / "root.key").unlink()


def _no_recovery(made: Made) -> None:
    (made.directory / "recovery.json").unlink()


def _recovery_of_another(made: Made) -> None:
    path = made.directory / "recovery.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"root": "00" * 32}))


def _other_recovery_keys(made: Made) -> None:
    Hands(now=NOW).json("custody", "keygen", "--out", str(made.config.parent / "recovery-3"))
    made.config.write_text(made.config.read_text().replace("recovery-2.pub", "recovery-3.pub"))


def _cut_short(made: Made) -> None:
    (made.directory / "root.key.new").write_bytes(bytes(32))


def _another_pair(made: Made) -> None:
    ca = pki.authority("CA", dt.datetime.fromtimestamp(NOW / 1_000, dt.UTC))
    one, two = (pki.issue(ca, "b", dt.datetime.fromtimestamp(NOW / 1_000, dt.UTC), server=True) for _ in range(2))
    folder = made.config.parent
    (folder / "server.pem").write_bytes(one.certificate)
    (folder / "ca.pem").write_bytes(ca.pem)
    (folder / "server.key").write_bytes(two.key)
    (folder / "server.key").chmod(0o600)
    text = made.config.read_text().replace('names = ["localhost", "127.0.0.1"]', "")
    made.config.write_text(text + '\n[tls]\ncertificate = "server.pem"\nkey = "file:server.key"\nca = "ca.pem"\n')


def _no_store(made: Made) -> None:
    (made.directory / "store.db").unlink()


def _notes(
    version: int = 3, *, adopted: bool = True, seed: int = 3, own: bool = True, text: bytes | None = None
) -> Any:
    """An offline key is adopted, and a note lies where it is served from."""

    def spoil(made: Made) -> None:
        site = Site(directory=made.directory, deployment="keys.example.com")
        root = SignerKey.from_seed(root_name(site.deployment), bytes([3] * 32))
        keys = replace(draft(site), version=version)
        if not own:
            keys = replace(keys, logs=(SignerKey.from_seed(f"{site.deployment}/audit/2", bytes([2] * 32)).public,))
        if adopted:
            adopt(site, root.verifier_key.encode())
        if text is None:
            write_synced(site.log_keys, sign_text(keys.text(), replace_seed(root, seed)).encode())
        elif text:
            write_synced(site.log_keys, text)

    return spoil


def replace_seed(root: SignerKey, seed: int) -> SignerKey:
    """The same name, another key."""
    return SignerKey.from_seed(root.name, bytes([seed] * 32))


# name: (what is done, when it is looked at, exit code, area, outcome, words)
WRONG: dict[str, tuple[Callable[[Made], object], int, int, str, str, str]] = {
    "the clock is behind": (_clock_back, NOW - 30_000, 0, "clock", "warning", "log time is 30 s ahead of the clock"),
    "far behind": (_clock_back, NOW - 90_000, 5, "clock", "problem", "log time is 90 s ahead of the clock"),
    "a frozen log": (_frozen, NOW, 10, "store", "frozen", "the log is frozen: a test says so"),
    "an ended list": (_ended, NOW, 5, "collateral", "problem", "the revocation list of CN=SEV-Milan ended"),
    "no collateral": (_no_collateral, NOW, 5, "collateral", "problem", "nothing can be released"),
    "no certificate": (_no_file_of_collateral, NOW, 5, "collateral", "problem", ""),
    "an open directory": (_open_directory, NOW, 5, "configuration", "problem", "has mode 0755"),
    "a configuration of everybody": (_config_writable, NOW, 0, "configuration", "warning", "can be written by others"),
    "another root key": (_other_root, NOW, 5, "custody", "problem", "does not open under its parent"),
    "no root key": (_no_root, NOW, 5, "custody", "problem", "root.key cannot be opened"),
    "no recovery": (_no_recovery, NOW, 0, "custody", "warning", "if the root key is lost, every key is lost"),
    "recovery of another root": (_recovery_of_another, NOW, 5, "custody", "problem", "brings nothing back"),
    "other recovery keys": (_other_recovery_keys, NOW, 0, "custody", "warning", "names others: rotate"),
    "a rotation cut short": (_cut_short, NOW, 0, "custody", "warning", "was cut short"),
    "a key of another": (_another_pair, NOW, 5, "certificates", "problem", "is not that of the certificate"),
    "a certificate that ends": (_another_pair, NOW, 5, "certificates", "warning", "server.pem is valid until"),
    "a certificate that ended": (_another_pair, NOW + DAY, 5, "certificates", "problem", "server.pem ended on"),
    "the people's CA ends": (_clock_back, NOW + 360 * DAY, 5, "certificates", "warning", "the CA of people's"),
    "nobody came": (_clock_back, NOW + DAY, 5, "people", "problem", "nobody can come in any more"),
    "no deployment": (_no_store, NOW, 5, "store", "problem", "sealgate-broker init"),
}


# name: (what is done, exit code, outcome, words)
NOTES: dict[str, tuple[Callable[[Made], object], int, str, str]] = {
    "a note that is good": (
        _notes(),
        0,
        "fine",
        "version 3 is served, signed by the offline key keys.",
    ),
    "no note": (_notes(text=b""), 5, "problem", "no note is served"),
    "a note and no offline key": (_notes(adopted=False), 0, "warning", "no offline key was adopted"),
    "a note by another key": (_notes(seed=4), 5, "problem", "NOTE_UNSIGNED"),
    "a note without our key": (
        _notes(own=False),
        5,
        "problem",
        "does not list keys.example.com/audit/1",
    ),
    "a note that is none": (_notes(text=b"some text"), 5, "problem", "NOTE_FORMAT"),
}


def test_what_is_said_of_the_note_of_log_keys(made: Made) -> None:
    directory = made.directory
    for name, (spoil, code, outcome, words) in NOTES.items():
        for path in (directory / "log-root.pub", directory / "log" / "log-keys"):
            path.unlink(missing_ok=True)
        spoil(made)
        before = _state(directory)
        found, symptoms = _examine(made)
        said = [s["sentence"] for s in symptoms if (s["area"], s["outcome"]) == ("log keys", outcome)]
        assert any(words in sentence for sentence in said), (name, symptoms)
        assert (found, _state(directory)) == (code, before), name


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said(name: str, made: Made) -> None:
    spoil, now, code, area, outcome, words = WRONG[name]
    spoil(made)
    before = _state(made.directory)
    found, symptoms = _examine(made, now)
    said = [s["sentence"] for s in symptoms if (s["area"], s["outcome"]) == (area, outcome)]
    assert any(words in sentence for sentence in said), symptoms
    assert found == code
    assert _state(made.directory) == before


def test_a_typed_passphrase_is_not_asked_for(made: Made) -> None:
    text = made.config.read_text()
    made.config.write_text(text.replace("[custody]\n", '[custody]\nkind = "passphrase"\npassphrase = "terminal"\n'))
    _, symptoms = _examine(made)
    skipped = {s["area"] for s in symptoms if s["outcome"] == "skipped"} - {"clock"}
    assert skipped == {"custody", "certificates"}


def test_who_serves_without_a_word(made: Made) -> None:
    with alone(made.directory):
        code, symptoms = _examine(made)
        assert code == 5
        assert any("no worker reports" in s["sentence"] for s in symptoms if s["area"] == "processes")
        run = made.directory / "run"
        run.mkdir()
        for worker, age in ((0, 0), (1, 60_000)):
            (run / f"worker-{worker}.json").write_text("[]")
            os.utime(run / f"worker-{worker}.json", ns=((NOW - age) * 1_000_000,) * 2)
        _, symptoms = _examine(made)
        assert any("nothing was heard of worker 1" in s["sentence"] for s in symptoms)
