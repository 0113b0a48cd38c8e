"""init and custody, through the commands: what is made, what is not made over, what opens what."""

from __future__ import annotations

import asyncio
import json
import os
import re
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from attest.tlog.entry import parse_leaf
from attest.tlog.keys import VerifierKey
from clients.trust import read_trust
from kbs.catalog.snapshot import load
from kbs.custody.file import SCRYPT_N, open_with_passphrase, write_with_passphrase
from kbs.custody.recovery import RecoveryKey, open_recovery, wrap_for_recovery
from kbs.custody.root import HeldRoot, RootUnusable
from kbs.custody.rotation import opens
from kbs.custody.secret import Secret
from kbs.serve import root_life
from kbs.serve.config.load import load as load_config
from kbs.serve.lock import alone
from kbs.serve.root_life import rotate
from kbs.serve.secrets import open_root
from kbs.store.read import Reader
from tests.kbs.serve.deployment import Hands, Made, configure, make

NOW = 1_790_000_000_000
PASSPHRASE = "correct horse battery staple"


@pytest.fixture
def hands() -> Hands:
    return Hands(now=NOW)


@pytest.fixture
def made(tmp_path: Path, hands: Hands) -> Made:
    return make(tmp_path, hands)


def test_what_init_makes(made: Made) -> None:
    site = made.directory
    assert stat.S_IMODE(site.stat().st_mode) == 0o700
    for secret in ("root.key", "store.db", "recovery.json"):
        assert stat.S_IMODE((site / secret).stat().st_mode) & 0o077 == 0
    trust = read_trust(site / "trust.json", simulated=False)
    assert (trust.origin, trust.tenant) == ("keys.example.com", "acme")
    with closing(Reader(site / "store.db")) as reader:
        [(_, leaf, _)] = reader.entries(0, 10)
        body = parse_leaf(leaf).body
        assert (body["type"], VerifierKey.parse(str(body["log_key"]))) == ("log.genesis", trust.log_keys[0])
        invited = load(reader).enrolments
    assert {e.principal for e in invited.values()} == {f["principal"] for f in made.told["founders"]}
    assert {e.expires for e in invited.values()} == {NOW + 24 * 3_600_000}


def test_neither_codes_nor_names_are_kept(tmp_path: Path, hands: Hands) -> None:
    names = ("wilhelmina", "bartholomew")  # long: three letters stand in random keys and numbers by chance
    made = make(tmp_path, hands, "", *(f"{name}:operator,auditor" for name in names))
    codes = [founder["code"] for founder in made.told["founders"]]
    assert len(set(codes)) == 2
    assert all(re.fullmatch(r"([a-z2-7]{4}-){7}[a-z2-7]{4}", code) for code in codes)
    kept = b"".join(path.read_bytes() for path in made.directory.rglob("*") if path.is_file())
    for text in (*codes, *(code.replace("-", "") for code in codes), *names):
        assert text.encode() not in kept
        assert text.upper().encode() not in kept


def test_codes_in_files_are_nowhere_else(tmp_path: Path, hands: Hands, capsys: pytest.CaptureFixture[str]) -> None:
    config = configure(tmp_path)
    codes = tmp_path / "codes"
    arguments = ("init", "--config", str(config), "--founder", "alice:operator", "--no-root-backup", "--codes")
    assert hands.run(*arguments, str(codes))[0] == 2  # no such directory: nothing was made
    codes.mkdir()
    assert not (tmp_path / "site").exists()
    (codes / "alice.code").write_text("of somebody")
    assert hands.run(*arguments, str(codes))[0] == 2
    assert [path.name for path in (tmp_path / "site").iterdir()] == ["serving.lock"]
    (codes / "alice.code").unlink()
    told = hands.json(*arguments, str(codes))
    [alice] = told["founders"]
    file = codes / "alice.code"
    assert alice.keys() == {"name", "principal", "code_file"}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    code = file.read_text().strip()
    assert re.fullmatch(r"([a-z2-7]{4}-){7}[a-z2-7]{4}", code)
    assert code not in json.dumps(told) + capsys.readouterr().err


# name: (arguments after init --config FILE, what is said)
REFUSED = {
    "no founder": ([], "--founder"),
    "no role": (["--founder", "alice"], "roles auditor and operator"),
    "a role that is none": (["--founder", "alice:root"], "roles auditor and operator"),
    "twice the same": (["--founder", "a:auditor", "--founder", "a:operator"], "named twice"),
    "a name that is a path": (["--founder", "a/b:auditor", "--codes", "."], "cannot make a file name"),
    "no recovery keys": (["--founder", "a:auditor"], "names no recovery keys"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_init_does_not_take(name: str, tmp_path: Path, hands: Hands, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, said = REFUSED[name]
    more = [] if name == "no recovery keys" else ["--no-root-backup"]
    assert hands.run("init", "--config", str(configure(tmp_path)), *arguments, *more)[0] == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "site").exists()


def test_a_directory_that_others_can_enter_is_not_taken(
    tmp_path: Path, hands: Hands, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site").chmod(0o755)
    config = str(configure(tmp_path))
    assert hands.run("init", "--config", config, "--founder", "a:auditor", "--no-root-backup")[0] == 5
    assert "has mode 0755" in capsys.readouterr().err
    assert list((tmp_path / "site").iterdir()) == []


@pytest.mark.parametrize("there", ["store.db", "root.key", "recovery.json", "trust.json"])
def test_nothing_is_made_over_what_is_there(there: str, made: Made, hands: Hands) -> None:
    for path in made.directory.iterdir():
        if path.is_file() and path.name != there:
            path.unlink()
    before = (made.directory / there).read_bytes()
    assert hands.run("init", "--config", str(made.config), "--founder", "eve:operator")[0] == 2
    assert (made.directory / there).read_bytes() == before
    assert {path.name for path in made.directory.iterdir() if path.is_file()} == {there, "serving.lock"}


def test_no_backup_has_to_be_typed_and_is_said(tmp_path: Path, hands: Hands) -> None:
    config = configure(tmp_path)
    code, said = hands.run("init", "--config", str(config), "--founder", "a:auditor", "--no-root-backup")
    assert code == 0
    assert "NO backup" in said
    assert not (tmp_path / "site" / "recovery.json").exists()


def test_the_trust_file_once_more_and_for_another_tenant(
    made: Made, hands: Hands, capsys: pytest.CaptureFixture[str]
) -> None:
    again, other = (str(made.config.parent / name) for name in ("again.json", "other.json"))
    config = ("--config", str(made.config))
    assert hands.json("trust", *config, "--out", again)["tenant"] == "acme"
    assert Path(again).read_bytes() == (made.directory / "trust.json").read_bytes()
    assert hands.run("trust", *config, "--out", again)[0] == 2
    hands.json("trust", *config, "--tenant", "globex", "--out", other)
    assert read_trust(Path(other), simulated=False).tenant == "globex"
    assert hands.run("trust", *config, "--tenant", "../x", "--out", f"{other}-2")[0] == 2
    assert "lower-case" in capsys.readouterr().err


# --- recovery keys ---


@pytest.mark.parametrize("number", [1, 2])
def test_each_recovery_key_alone_brings_the_root_back(number: int, made: Made, hands: Hands) -> None:
    key = str(made.config.parent / f"recovery-{number}.key")
    told = hands.json("custody", "drill", "--config", str(made.config), "--recovery-key", key)
    assert told["keys_opened"] == 6
    root = made.directory / "root.key"
    before = root.read_bytes()
    assert hands.run("custody", "recover", "--config", str(made.config), "--recovery-key", key)[0] == 5
    root.unlink()
    hands.json("custody", "recover", "--config", str(made.config), "--recovery-key", key)
    assert root.read_bytes() == before
    assert stat.S_IMODE(root.stat().st_mode) == 0o600


def test_a_recovery_key_of_somebody_else_opens_nothing(
    made: Made, hands: Hands, capsys: pytest.CaptureFixture[str]
) -> None:
    hands.json("custody", "keygen", "--out", str(made.config.parent / "other"))
    other = str(made.config.parent / "other.key")
    assert hands.run("custody", "drill", "--config", str(made.config), "--recovery-key", other)[0] == 5
    assert "is none of those in the document" in capsys.readouterr().err
    assert hands.run("custody", "keygen", "--out", str(made.config.parent / "other"))[0] == 2
    os.chmod(other, 0o644)
    assert hands.run("custody", "drill", "--config", str(made.config), "--recovery-key", other)[0] == 5
    assert "mode 0644" in capsys.readouterr().err


def _swapped(document: dict[str, list[dict[str, str]]]) -> None:
    first, second = document["wraps"]
    first["wrapped"], second["wrapped"] = second["wrapped"], first["wrapped"]


# name: (change of the recovery document, what is said)
CHANGED: dict[str, tuple[Callable[[Any], object], str]] = {
    "another deployment": (lambda d: d.update(deployment="other.example"), "of other.example"),
    "another root": (lambda d: d.update(root="00" * 32), "does not open: it was changed"),
    "another version": (lambda d: d.update(v="sealgate.recovery/2"), "is not sealgate.recovery/1"),
    "no wraps": (lambda d: d.pop("wraps"), "is not sealgate.recovery/1"),
    "wraps swapped": (_swapped, "does not open: it was changed"),
}


@pytest.mark.parametrize("name", CHANGED)
def test_a_recovery_document_that_was_changed(name: str) -> None:
    change, said = CHANGED[name]
    keys = [RecoveryKey.generate(), RecoveryKey.generate()]
    root = HeldRoot(Secret(bytes(range(32))))
    document = wrap_for_recovery(root, [key.public for key in keys], deployment="keys.example.com")
    assert open_recovery(document, keys[0], deployment="keys.example.com").key == root.key
    read = json.loads(document)
    change(read)
    with pytest.raises(RootUnusable, match=re.escape(said)):
        open_recovery(json.dumps(read).encode(), keys[0], deployment="keys.example.com")


def test_one_recovery_key_or_the_same_twice_is_too_few() -> None:
    public = RecoveryKey.generate().public
    for keys in ([], [public], [public, public]):
        with pytest.raises(RootUnusable, match="at least 2 different keys"):
            wrap_for_recovery(HeldRoot(Secret(bytes(32))), keys, deployment="d.example")


# --- a passphrase ---


def test_the_root_under_a_passphrase(tmp_path: Path) -> None:
    key, path = Secret(os.urandom(32)), tmp_path / "root.key"
    write_with_passphrase(path, key, Secret(PASSPHRASE.encode()), n=1 << 14)
    assert key.reveal().hex() not in path.read_text()
    assert open_with_passphrase(path, Secret(PASSPHRASE.encode())).key == key
    for wrong in (b"", PASSPHRASE.encode() + b"\n", PASSPHRASE.upper().encode()):
        with pytest.raises(RootUnusable, match="the passphrase does not open"):
            open_with_passphrase(path, Secret(wrong))
    document = json.loads(path.read_text())
    for changed in ({"n": 1 << 15}, {"salt": "00" * 16}):
        path.write_text(json.dumps(document | changed))
        with pytest.raises(RootUnusable, match="does not open"):
            open_with_passphrase(path, Secret(PASSPHRASE.encode()))
    for broken in ({"n": 1 << 13}, {"n": 1 << 30}, {"n": 3 << 14}, {"r": 16}, {"v": "x"}, {"more": 1}):
        path.write_text(json.dumps(document | broken))
        with pytest.raises(RootUnusable, match="not one under a passphrase"):
            open_with_passphrase(path, Secret(PASSPHRASE.encode()))
    with pytest.raises(RootUnusable, match="at least 12 bytes"):
        write_with_passphrase(tmp_path / "short", key, Secret(b"short"), n=1 << 14)
    assert SCRYPT_N >= 1 << 17


# name: how the passphrase comes in
SOURCES = ["terminal", "fd", "credential", "file"]


@pytest.mark.parametrize("source", SOURCES)
def test_where_a_passphrase_comes_from(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kbs.serve.secrets.write_with_passphrase", _cheap)
    secret = tmp_path / "passphrase"
    secret.write_text(PASSPHRASE + "\n")
    secret.chmod(0o600)
    hands = Hands(now=NOW, typed=(PASSPHRASE,) * 2, credentials=tmp_path)
    descriptor = os.open(secret, os.O_RDONLY)
    where = {"fd": f"fd:{descriptor}", "credential": "credential:passphrase", "file": f"file:{secret}"}
    made = make(tmp_path, hands, f'kind = "passphrase"\npassphrase = "{where.get(source, "terminal")}"\n')
    assert json.loads((made.directory / "root.key").read_text())["v"] == "sealgate.root/1"
    config = load_config(made.config).config
    if source == "terminal":
        assert len(open_root(config, None, lambda prompt: PASSPHRASE).key) == 32
    if source == "credential":
        with pytest.raises(RootUnusable, match="LoadCredential=passphrase"):
            open_root(config, None, lambda prompt: "")


def test_a_passphrase_typed_differently_makes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hands = Hands(now=NOW, typed=(PASSPHRASE, PASSPHRASE + "."))
    with pytest.raises(AssertionError):  # init did not end with 0
        make(tmp_path, hands, 'kind = "passphrase"\npassphrase = "terminal"\n')
    assert "differ" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "site").iterdir()] == ["serving.lock"]


def _cheap(path: Path, key: Secret, passphrase: Secret) -> None:
    write_with_passphrase(path, key, passphrase, n=1 << 14)


# --- rotation ---


def test_rotation_makes_a_root_that_opens_everything_and_an_entry(made: Made, hands: Hands) -> None:
    root = made.directory / "root.key"
    before, old_wraps = root.read_bytes(), (made.directory / "recovery.json").read_bytes()
    told = hands.json("custody", "rotate", "--config", str(made.config))
    assert told["keys_wrapped"] == 6
    assert root.read_bytes() != before
    key = str(made.config.parent / "recovery-1.key")
    assert hands.json("custody", "drill", "--config", str(made.config), "--recovery-key", key)["keys_opened"] == 6
    with closing(Reader(made.directory / "store.db")) as reader:
        assert parse_leaf(reader.entries(1, 2)[0][1]).body["type"] == "root.rotated"
    (made.directory / "recovery.json").write_bytes(old_wraps)
    assert hands.run("custody", "drill", "--config", str(made.config), "--recovery-key", key)[0] == 5
    assert not list(made.directory.glob("*.new"))


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("point", ["before the commit", "after the commit", "between the files"])
async def test_a_rotation_that_is_cut_short_loses_nothing(
    point: str, made: Made, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config(made.config).config

    def die(*_: object, **__: object) -> None:
        raise Killed

    def die_between(recovery: Path, path: Path) -> None:
        recovery.with_name("recovery.json.new").replace(recovery)
        raise Killed

    with monkeypatch.context() as patched:
        if point == "before the commit":
            patched.setattr(root_life, "rewrapped", die)
        else:
            patched.setattr(root_life, "_take_place", die if point == "after the commit" else die_between)
        with pytest.raises(Killed):
            await rotate(config, lambda: NOW, None, lambda prompt: "")
    code, _ = await _again(hands, made)
    assert code == (0 if point == "before the commit" else 5)  # the second finished the first, and says so
    key = made.config.parent / "recovery-2.key"
    recovery_key = RecoveryKey.parse(key.read_text(), name="key")
    assert root_life.drill(config, recovery_key) == 6
    with closing(Reader(made.directory / "store.db")) as reader:
        assert opens(open_root(config, None, lambda prompt: ""), reader) == 6


async def _again(hands: Hands, made: Made) -> tuple[int, str]:
    return await asyncio.to_thread(hands.run, "custody", "rotate", "--config", str(made.config))


def test_custody_waits_for_nobody_to_serve(made: Made, hands: Hands, capsys: pytest.CaptureFixture[str]) -> None:
    with alone(made.directory):
        assert hands.run("custody", "rotate", "--config", str(made.config))[0] == 5
    assert "stop it first" in capsys.readouterr().err
