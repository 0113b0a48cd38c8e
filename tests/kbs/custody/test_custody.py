"""Keys at rest: what opens where, what is never shown, and which files may hold the root."""

from __future__ import annotations

import copy
import os
import pickle
import stat
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from kbs.custody.envelope import WrapInvalid, unwrap, wrap
from kbs.custody.file import FileRoot
from kbs.custody.pseudonym import Pseudonyms
from kbs.custody.root import RootUnusable
from kbs.custody.secret import Secret
from kbs.custody.vault import Vault
from kbs.model.effect import PutBrokerKey, PutKeyMaterial
from kbs.model.names import AssetName

KEY, OTHER = Secret(bytes(range(32))), Secret(bytes(range(1, 33)))
PRIVATE = b"the private half of a key pair!!"


# name: (key that opens, context, what is done to the wrapped bytes)
OPENS_NOT: dict[str, tuple[Secret, str, Callable[[bytes], bytes]]] = {
    "another parent": (OTHER, "a", lambda w: w),
    "another context": (KEY, "b", lambda w: w),
    "a longer context": (KEY, "aa", lambda w: w),
    "an empty context": (KEY, "", lambda w: w),
    "another nonce": (KEY, "a", lambda w: bytes([w[0] ^ 1]) + w[1:]),
    "a flipped bit of the key": (KEY, "a", lambda w: w[:20] + bytes([w[20] ^ 0x80]) + w[21:]),
    "a flipped bit of the tag": (KEY, "a", lambda w: w[:-1] + bytes([w[-1] ^ 1])),
    "one byte less": (KEY, "a", lambda w: w[:-1]),
    "one byte more": (KEY, "a", lambda w: w + b"\0"),
    "the nonce alone": (KEY, "a", lambda w: w[:12]),
    "nonce and tag alone": (KEY, "a", lambda w: w[:12] + w[-16:]),
    "nothing": (KEY, "a", lambda w: b""),
    "another's nonce": (KEY, "a", lambda w: wrap(KEY, "a", Secret(PRIVATE))[:12] + w[12:]),
}


@pytest.mark.parametrize("name", OPENS_NOT)
def test_what_does_not_open(name: str) -> None:
    kek, context, change = OPENS_NOT[name]
    wrapped = wrap(KEY, "a", Secret(PRIVATE))
    assert unwrap(KEY, "a", wrapped).reveal() == PRIVATE
    with pytest.raises(WrapInvalid) as refused:
        unwrap(kek, context, change(wrapped))
    said = "".join(traceback.format_exception(refused.value))
    assert PRIVATE.hex() not in said
    assert repr(PRIVATE)[2:-1] not in str(refused.value)


def test_wrapping_is_randomised_and_hides() -> None:
    wrapped = {wrap(KEY, "a", Secret(PRIVATE)) for _ in range(50)}
    assert len({w[:12] for w in wrapped}) == 50
    assert not any(PRIVATE[:8] in w for w in wrapped)
    assert {len(w) for w in wrapped} == {12 + len(PRIVATE) + 16}


SHOWN: dict[str, Callable[[Secret], object]] = {
    "repr": repr,
    "str": str,
    "format": lambda s: f"{s} {s!r} {s!s:>40}",
    "percent": lambda s: "%s %r" % (s, s),  # noqa: UP031  # that form is what is tested
    "in a list": lambda s: str([s, {"k": s}]),
    "in a row": lambda s: repr(PutKeyMaterial(name="n", parent="p", wrapped=s.reveal())),
    "in a broker key": lambda s: repr(PutBrokerKey(purpose="p", serial=1, not_before=0, wrapped=s.reveal())),
    "in an exception": lambda s: repr(ValueError("about", s)),
    "in a pseudonym maker": lambda s: repr(Pseudonyms(s)),
}  # fmt: skip


@pytest.mark.parametrize("name", SHOWN)
def test_a_secret_is_never_shown(name: str) -> None:
    shown = str(SHOWN[name](Secret(PRIVATE)))
    assert "private half" not in shown
    assert PRIVATE.hex() not in shown


@pytest.mark.parametrize("how", [pickle.dumps, copy.copy, copy.deepcopy, bytes, hash, list, vars])
def test_a_secret_does_not_leave_by(how: Callable[[Secret], object]) -> None:
    with pytest.raises(TypeError) as refused:
        how(Secret(PRIVATE))
    assert "private half" not in str(refused.value)


def test_a_secret_equals_a_secret_alone() -> None:
    assert Secret(PRIVATE) == Secret(bytes(bytearray(PRIVATE)))
    assert Secret(PRIVATE) != Secret(PRIVATE[:-1])
    assert Secret(PRIVATE) != PRIVATE
    assert Secret(PRIVATE) != PRIVATE
    assert len(Secret(PRIVATE)) == 32
    changed = bytearray(PRIVATE)
    held = Secret(changed)  # type: ignore[arg-type]  # what is not frozen is copied
    changed[0] = 0
    assert held.reveal() == PRIVATE


def _file(path: Path, data: bytes = bytes(32), mode: int = 0o600) -> None:
    path.write_bytes(data)
    path.chmod(mode)


def _link(path: Path) -> None:
    _file(path.with_name("real"))
    path.symlink_to(path.with_name("real"))


# name: what lies at the path
NO_ROOT: dict[str, Callable[[Path], object]] = {
    "nothing": lambda path: None,
    "an empty file": lambda path: _file(path, b""),
    "31 bytes": lambda path: _file(path, bytes(31)),
    "33 bytes": lambda path: _file(path, bytes(33)),
    "readable by its group": lambda path: _file(path, mode=0o640),
    "readable by all": lambda path: _file(path, mode=0o604),
    "writable by its group": lambda path: _file(path, mode=0o620),
    "executable by others": lambda path: _file(path, mode=0o601),
    "a link to a good one": _link,
    "a link to nothing": lambda path: path.symlink_to("nowhere"),
    "a directory": lambda path: path.mkdir(mode=0o700),
    "a pipe that nobody writes to": lambda path: os.mkfifo(path, 0o600),
}


@pytest.mark.parametrize("name", NO_ROOT)
def test_what_is_no_root_key(tmp_path: Path, name: str) -> None:
    path = tmp_path / "root.key"
    NO_ROOT[name](path)
    with pytest.raises(RootUnusable):
        FileRoot(path)


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_root_key_that_is_its_owners_alone(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "root.key"
    made = FileRoot.create(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(path.read_bytes()) == 32
    path.chmod(mode)
    assert FileRoot(path).unwrap("c", made.wrap("c", Secret(PRIVATE))).reveal() == PRIVATE
    assert path.read_bytes().hex() not in repr(made)


def test_a_root_key_is_never_made_over_another(tmp_path: Path) -> None:
    path = tmp_path / "root.key"
    FileRoot.create(path)
    before = path.read_bytes()
    with pytest.raises(FileExistsError):
        FileRoot.create(path)
    assert path.read_bytes() == before
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileExistsError):
        FileRoot.create(link)


class Rows:
    """Stored keys in memory."""

    def __init__(self) -> None:
        self.keys: dict[str, tuple[str, bytes]] = {}
        self.own: list[PutBrokerKey] = []

    def put(self, rows: object) -> list[str]:
        made = [row for row in rows if isinstance(row, PutKeyMaterial)]  # type: ignore[attr-defined]
        self.keys |= {row.name: (row.parent, row.wrapped) for row in made}
        return [row.name for row in made]

    def key_material(self, name: str) -> tuple[str, bytes] | None:
        return self.keys.get(name)

    def broker_keys(self, purpose: str) -> list[tuple[int, int, bytes]]:
        return sorted((k.serial, k.not_before, k.wrapped) for k in self.own if k.purpose == purpose)


A, B, C = (AssetName.parse(f"tenants/{t}") for t in ("acme/assets/a", "acme/assets/b", "umbrella/assets/a"))
TENANT, ASSET, VERSION = "tenants/acme/kek", f"{A}/kek", A.key_version(1)


@pytest.fixture
def rows() -> Rows:
    return Rows()


@pytest.fixture
def root(tmp_path: Path) -> FileRoot:
    return FileRoot.create(tmp_path / "root.key")


@pytest.fixture
def vault(rows: Rows, root: FileRoot) -> Vault:
    vault = Vault(root, rows)
    rows.put(vault.new_key(A, 1, Secret(PRIVATE)))
    return vault


def test_the_chain_of_a_key(rows: Rows, vault: Vault, root: FileRoot) -> None:
    assert [(name, parent) for name, (parent, _) in rows.keys.items()] == [
        (TENANT, ""),
        (ASSET, TENANT),
        (VERSION, ASSET),
    ]
    # By hand, each under the one above it and its own name.
    tenant = root.unwrap(TENANT, rows.keys[TENANT][1])
    asset = unwrap(tenant, ASSET, rows.keys[ASSET][1])
    assert unwrap(asset, VERSION, rows.keys[VERSION][1]).reveal() == PRIVATE
    assert Vault(root, rows).key(VERSION).reveal() == PRIVATE


def test_key_encryption_keys_are_made_once(rows: Rows, vault: Vault, root: FileRoot) -> None:
    assert rows.put(vault.new_key(A, 2, Secret(PRIVATE[::-1]))) == [A.key_version(2)]
    assert rows.put(Vault(root, rows).new_key(A, 3, Secret(b"3"))) == [A.key_version(3)]
    assert rows.put(vault.new_key(B, 1, Secret(b"b"))) == [f"{B}/kek", B.key_version(1)]
    assert rows.put(vault.new_key(C, 1, Secret(b"c"))) == ["tenants/umbrella/kek", f"{C}/kek", C.key_version(1)]
    opened = {name: Vault(root, rows).key(name).reveal() for name in rows.keys if "keyVersions" in name}
    assert list(opened.values()) == [PRIVATE, PRIVATE[::-1], b"3", b"b", b"c"]


def _swap(rows: Rows, one: str, two: str) -> None:
    rows.keys[one], rows.keys[two] = rows.keys[two], rows.keys[one]


# name: what somebody who can write rows does to them
MOVED: dict[str, Callable[[Rows], object]] = {
    "another version's row": lambda r: _swap(r, VERSION, A.key_version(2)),
    "another asset's row": lambda r: _swap(r, VERSION, B.key_version(1)),
    "another asset's key-encryption key": lambda r: _swap(r, ASSET, f"{B}/kek"),
    "another tenant's": lambda r: _swap(r, TENANT, "tenants/umbrella/kek"),
    "another parent": lambda r: r.keys.__setitem__(VERSION, (f"{B}/kek", r.keys[VERSION][1])),
    "the root as parent": lambda r: r.keys.__setitem__(ASSET, ("", r.keys[ASSET][1])),
    "no parent": lambda r: r.keys.pop(TENANT),
    "itself as parent": lambda r: r.keys.__setitem__(ASSET, (ASSET, r.keys[ASSET][1])),
    "a circle": lambda r: r.keys.__setitem__(TENANT, (ASSET, r.keys[TENANT][1])),
    "cut short": lambda r: r.keys.__setitem__(VERSION, (ASSET, r.keys[VERSION][1][:10])),
    "gone": lambda r: r.keys.pop(VERSION),
}


@pytest.mark.parametrize("name", MOVED)
def test_a_stored_key_opens_in_its_own_place_alone(rows: Rows, vault: Vault, root: FileRoot, name: str) -> None:
    for asset, version in ((A, 2), (B, 1), (C, 1)):
        rows.put(vault.new_key(asset, version, Secret(os.urandom(32))))
    MOVED[name](rows)
    with pytest.raises(WrapInvalid):
        Vault(root, rows).key(VERSION)


def test_another_root_opens_nothing(rows: Rows, vault: Vault, tmp_path: Path) -> None:
    other = FileRoot.create(tmp_path / "other.key")
    with pytest.raises(WrapInvalid):
        Vault(other, rows).key(VERSION)
    assert vault.key(VERSION).reveal() == PRIVATE


def test_the_brokers_own_keys(rows: Rows, vault: Vault) -> None:
    rows.own = [vault.new_broker_key("challenge", serial, serial * 10) for serial in (2, 1)]
    rows.own.append(vault.new_broker_key("log", 1, 0))
    found = vault.broker_keys("challenge")
    assert [not_before for not_before, _ in found] == [10, 20]
    assert len({key.reveal() for _, key in found} | {vault.broker_keys("log")[0][1].reveal()}) == 3
    assert all(len(key) == 32 for _, key in found)
    assert vault.broker_keys("nothing") == []


@pytest.mark.parametrize(("purpose", "serial"), [("log", 1), ("challenge", 2)])
def test_a_brokers_key_serves_its_own_purpose(rows: Rows, vault: Vault, purpose: str, serial: int) -> None:
    made = vault.new_broker_key("challenge", 1, 0)
    rows.own = [PutBrokerKey(purpose=purpose, serial=serial, not_before=0, wrapped=made.wrapped)]
    with pytest.raises(WrapInvalid):
        vault.broker_keys(purpose)


def test_pseudonyms_differ_by_everything() -> None:
    key, other = Pseudonyms(Secret(bytes(32))), Pseudonyms(Secret(bytes(31) + b"\1"))
    made = [
        key.of("acme", "node", b"chip"),
        key.of("umbrella", "node", b"chip"),
        key.of("acme", "person", b"chip"),
        key.of("acme", "node", b"chip2"),
        key.of("acmenode", "", b"chip"),
        other.of("acme", "node", b"chip"),
    ]
    assert len(set(made)) == len(made)
    assert made[0] == key.of("acme", "node", b"chip")
    assert made[0].startswith("node-")
    assert len(made[0]) == len("node-") + 26
    assert made[0] == made[0].lower()
