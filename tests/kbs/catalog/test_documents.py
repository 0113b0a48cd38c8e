"""Documents of the catalogue: one wrong thing at a time, and the sentence names it."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import pytest

from attest.errors import AttestError
from attest.tlog.entry import canonical
from kbs.catalog.documents import DocumentInvalid
from kbs.catalog.register import key_version_document, put
from kbs.catalog.snapshot import load, read_object
from kbs.model.effect import PutKeyMaterial, PutObject
from kbs.model.log import Draft
from kbs.model.names import AssetName
from kbs.model.tier import TIERS
from kbs.model.unit import Unit

NAME = "tenants/acme/assets/llm"
ASSET: dict[str, Any] = {
    "v": "sealgate.asset/1",
    "name": NAME,
    "kind": "weights",
    "tier": 2,
    "owner": "groups/ml",
    "size_bytes": 10,
    "purposes": ["training"],
    "profile": "tenants/acme/profiles/p",
    "references": ["tenants/acme/referenceSets/r"],
    "content_digest": "",
    "new_nodes_per_hour": 1_000,
    "bytes_per_day": 2_000 * 10**12,
    "lease_seconds": 12 * 3_600,
}
VERSION: dict[str, Any] = {
    "v": "sealgate.key-version/1",
    **key_version_document(AssetName.parse(NAME), 7, bytes(1_216)),
}
PROFILE: dict[str, Any] = {
    "v": "sealgate.profile/1",
    "name": "tenants/acme/profiles/p",
    "profile": {"snp": {"products": ["milan"]}},
}
VALUE: dict[str, Any] = {"name": "one", "measurement": "ab" * 48, "covers": ["firmware"]}
REFERENCES: dict[str, Any] = {
    "v": "sealgate.reference-set/1",
    "name": "tenants/acme/referenceSets/r",
    "state": "active",
    "shared": False,
    "values": [VALUE],
}
PRINCIPAL: dict[str, Any] = {
    "v": "sealgate.principal/1",
    "id": "person-a",
    "key_sha256": "cd" * 32,
    "roles": ["operator"],
    "tenants": ["acme"],
}
LOCK: dict[str, Any] = {"v": "sealgate.lock/1", "name": "locks/1", "target": NAME}
GOOD = {
    "asset": (NAME, ASSET),
    "key-version": (f"{NAME}/keyVersions/7", VERSION),
    "profile": (PROFILE["name"], PROFILE),
    "reference-set": (REFERENCES["name"], REFERENCES),
    "principal": ("principals/a", PRINCIPAL),
    "lock": ("locks/1", LOCK),
}
GONE = object()


def _read(kind: str, document: Mapping[str, Any]) -> Any:
    return read_object(kind, GOOD[kind][0], canonical(dict(document)))


@pytest.mark.parametrize("kind", GOOD)
def test_good_documents(kind: str) -> None:
    name, document = GOOD[kind]
    reading = _read(kind, document)
    assert kind == "principal" or str(reading.name) == name
    if kind in {"asset", "profile", "reference-set"}:
        assert reading.digest == hashlib.sha256(canonical(document)).digest()
    else:
        assert not hasattr(reading, "digest")


OTHER_TYPES: tuple[Any, ...] = (
    None,
    1,
    True,
    "",
    "x",
    [],
    ["x"],
    [1],
    {},
    {"x": 1},
    ["x", "x"],
    "A" * 64,
    -1,
    2**53 - 1,
)
FREE = {
    ("asset", "owner", "x"), ("asset", "owner", "A" * 64), ("asset", "profile", "x"), ("asset", "profile", "A" * 64),
    ("asset", "content_digest", ""), ("principal", "id", "x"), ("principal", "id", "A" * 64), ("lock", "target", ""),
    ("reference-set", "shared", True),
}  # fmt: skip
FREE_LISTS = {("asset", "purposes"), ("asset", "references"), ("principal", "tenants")}
NUMBERS = {("asset", "tier"), ("asset", "size_bytes"), ("asset", "new_nodes_per_hour"), ("asset", "bytes_per_day")}


def _free(kind: str, field: str, value: object) -> bool:
    if isinstance(value, list):
        return (kind, field) in FREE_LISTS and value == ["x"]
    if type(value) is int:
        return (value == 1 and (kind, field) in NUMBERS) or (value == 2**53 - 1 and field == "size_bytes")
    return isinstance(value, bool | str) and (kind, field, value) in FREE


@pytest.mark.parametrize("kind", GOOD)
def test_every_field_of_another_type_or_value(kind: str) -> None:
    """Each field against a dozen values: only what is listed as free is taken, all else is DocumentInvalid."""
    for field in GOOD[kind][1]:
        for value in OTHER_TYPES:
            document = {**GOOD[kind][1], field: value}
            if document == GOOD[kind][1] or _free(kind, field, value):
                _read(kind, document)
                continue
            with pytest.raises(DocumentInvalid) as refused:
                _read(kind, document)
            assert field in str(refused.value) or field in {"asset", "version", "id"}, (field, value, refused.value)


@pytest.mark.parametrize("kind", GOOD)
def test_a_field_missing_and_a_field_more(kind: str) -> None:
    for field in GOOD[kind][1]:
        with pytest.raises(DocumentInvalid, match=field):
            _read(kind, {k: v for k, v in GOOD[kind][1].items() if k != field})
    with pytest.raises(DocumentInvalid, match="danger"):
        _read(kind, {**GOOD[kind][1], "danger": True})


RULE = TIERS[2]
PUBLIC = VERSION["public_key"]
# name: (kind, the fields that are other, what the sentence names)
WRONG: dict[str, tuple[str, dict[str, Any], str]] = {
    "tier 5": ("asset", {"tier": 5}, "tier"),
    "tier true": ("asset", {"tier": True}, "tier"),
    "a kind nobody knows": ("asset", {"kind": "secret-sauce"}, "kind"),
    "a longer lease than the tier's": ("asset", {"lease_seconds": RULE.lease_seconds + 1}, "lease_seconds"),
    "a lease under a minute": ("asset", {"lease_seconds": 59}, "lease_seconds"),
    "more nodes than the tier's": ("asset", {"new_nodes_per_hour": RULE.new_nodes_per_hour + 1}, "new_nodes_per_hour"),
    "no node at all": ("asset", {"new_nodes_per_hour": 0}, "new_nodes_per_hour"),
    "more bytes than the tier's": ("asset", {"bytes_per_day": RULE.bytes_per_day + 1}, "bytes_per_day"),
    "less than no bytes": ("asset", {"bytes_per_day": -1}, "bytes_per_day"),
    "a stricter tier with the looser's lease": ("asset", {"tier": 3}, "new_nodes_per_hour"),
    "no owner": ("asset", {"owner": ""}, "owner"),
    "no purpose": ("asset", {"purposes": []}, "purposes"),
    "a purpose in capitals": ("asset", {"purposes": ["Training"]}, "purposes"),
    "a purpose twice": ("asset", {"purposes": ["a", "a"]}, "purposes"),
    "a purpose with a newline": ("asset", {"purposes": ["a\n"]}, "purposes"),
    "a purpose that is too long": ("asset", {"purposes": ["a" * 33]}, "purposes"),
    "no reference set": ("asset", {"references": []}, "references"),
    "a digest in capitals": ("asset", {"content_digest": "AB" * 32}, "content_digest"),
    "a digest with spaces": ("asset", {"content_digest": "ab " * 32}, "content_digest"),
    "a short digest": ("asset", {"content_digest": "ab" * 31}, "content_digest"),
    "another asset's name": ("asset", {"name": "tenants/acme/assets/other"}, "name"),
    "another tenant's name": ("asset", {"name": "tenants/umbrella/assets/llm"}, "name"),
    "a name in capitals": ("asset", {"name": "tenants/acme/assets/LLM"}, "name"),
    "a name with a newline": ("asset", {"name": NAME + "\n"}, "name"),
    "a name with more behind it": ("asset", {"name": NAME + "/x"}, "name"),
    "another version of the schema": ("asset", {"v": "sealgate.asset/2"}, "v"),
    "another kind's schema": ("lock", {"v": "sealgate.asset/1"}, "v"),
    "version 0": ("key-version", {"version": 0}, "version"),
    "another version's number": ("key-version", {"version": 8}, "name"),
    "another asset's version": ("key-version", {"asset": "tenants/acme/assets/other"}, "name"),
    "another suite": ("key-version", {"suite": "X25519"}, "suite"),
    "a short public key": ("key-version", {"public_key": PUBLIC[:-4]}, "public_key"),
    "a public key with padding": ("key-version", {"public_key": PUBLIC + "=="}, "public_key"),
    "a public key with a newline": ("key-version", {"public_key": PUBLIC[:64] + "\n" + PUBLIC[64:]}, "public_key"),
    "a public key in the other alphabet": (
        "key-version", {"public_key": base64.b64encode(b"\xff" * 1_216).decode().rstrip("=")}, "public_key",
    ),
    "a public key with bits to spare": ("key-version", {"public_key": PUBLIC[:-1] + "B"}, "public_key"),
    "a public key not in ASCII": ("key-version", {"public_key": "é" * 1_622}, "public_key"),
    "an unknown product": ("profile", {"profile": {"snp": {"products": ["nonsense"]}}}, "profile"),
    "an unknown TEE": ("profile", {"profile": {"sgx": {}}}, "profile"),
    "an unknown key of the profile": ("profile", {"profile": {"snp": {"danger": True}}}, "profile"),
    "another profile's name": ("profile", {"name": "tenants/acme/profiles/q"}, "name"),
    "a state nobody knows": ("reference-set", {"state": "tomorrow"}, "state"),
    "shared as a word": ("reference-set", {"shared": "no"}, "shared"),
    "no values": ("reference-set", {"values": []}, "values"),
    "two values of one name": ("reference-set", {"values": [VALUE, VALUE]}, "values"),
    "a short measurement": ("reference-set", {"values": [{**VALUE, "measurement": "ab" * 32}]}, "values"),
    "a value that covers nothing": ("reference-set", {"values": [{**VALUE, "covers": []}]}, "values"),
    "another set's name": ("reference-set", {"name": "tenants/acme/referenceSets/q"}, "name"),
    "a role nobody knows": ("principal", {"roles": ["root"]}, "roles"),
    "no role": ("principal", {"roles": []}, "roles"),
    "no tenant": ("principal", {"tenants": []}, "tenants"),
    "a key's SHA-1": ("principal", {"key_sha256": "cd" * 20}, "key_sha256"),
    "a lock on a name in capitals": ("lock", {"target": "tenants/ACME"}, "target"),
    "a lock on a pattern": ("lock", {"target": "tenants/acme/assets/*"}, "target"),
    "a lock on a key version": ("lock", {"target": f"{NAME}/keyVersions/1"}, "target"),
    "a lock with a space behind it": ("lock", {"target": "tenants/acme "}, "target"),
    "another lock's name": ("lock", {"name": "locks/2"}, "name"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_one_wrong_thing_at_a_time(name: str) -> None:
    kind, changed, field = WRONG[name]
    with pytest.raises(DocumentInvalid) as refused:
        _read(kind, GOOD[kind][1] | changed)
    assert str(refused.value).startswith(field), refused.value


@pytest.mark.parametrize("tier", range(len(TIERS)))
def test_each_tiers_own_ceilings_are_the_highest(tier: int) -> None:
    rule = TIERS[tier]
    most = {
        "new_nodes_per_hour": rule.new_nodes_per_hour,
        "bytes_per_day": rule.bytes_per_day,
        "lease_seconds": rule.lease_seconds,
    }
    assert _read("asset", ASSET | most | {"tier": tier}).rule is rule
    for field, highest in most.items():
        with pytest.raises(DocumentInvalid, match=field):
            _read("asset", ASSET | most | {"tier": tier, field: highest + 1})


def test_tiers_only_get_stricter() -> None:
    for looser, stricter in pairwise(TIERS):
        assert stricter.lease_seconds <= looser.lease_seconds
        assert stricter.new_nodes_per_hour <= looser.new_nodes_per_hour
        assert stricter.bytes_per_day <= looser.bytes_per_day
        assert stricter.covers >= looser.covers


SPELLINGS: dict[str, Callable[[bytes], bytes]] = {
    "a space": lambda data: data.replace(b":", b": ", 1),
    "another order": lambda data: b'{"v":"sealgate.lock/1",' + data[1:].replace(b',"v":"sealgate.lock/1"', b""),
    "a key twice": lambda data: data[:-1] + b',"v":"sealgate.lock/1"}',
    "a newline behind it": lambda data: data + b"\n",
    "an escape too many": lambda data: data.replace(b"acme", b"\\u0061cme"),
    "no JSON": lambda data: data[:-1],
    "a list": lambda data: b"[" + data + b"]",
    "nothing": lambda data: b"",
    "other than UTF-8": lambda data: data.replace(b"acme", b"\xff"),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_there_is_one_spelling(name: str) -> None:
    data = canonical(LOCK)
    assert str(read_object("lock", "locks/1", data).name) == "locks/1"  # type: ignore[union-attr]
    with pytest.raises(DocumentInvalid):
        read_object("lock", "locks/1", SPELLINGS[name](data))


def _entry(**said: Any) -> Draft:
    shown = {k: v.hex() if isinstance(v, bytes) else list(v) if isinstance(v, tuple) else v for k, v in said.items()}
    return Draft(body=canonical(shown), governance=True)


def _put(kind: str, **more: Any) -> Unit:
    name, document = GOOD[kind]
    return put(kind, name, {k: v for k, v in document.items() if k != "v"}, entry=_entry, **more)


@pytest.mark.parametrize("kind", GOOD)
def test_a_change_as_a_unit(kind: str) -> None:
    name, document = GOOD[kind]
    data = canonical(document)
    digest = hashlib.sha256(data).digest()
    made = _put(kind)
    assert made.expects == ((name, b""),)
    assert made.verdict.blobs == (data,)
    assert made.verdict.effects == (PutObject(name=name, kind=kind, digest=digest),)
    assert b'"entry_type":"%b.created"' % kind.encode() in made.verdict.draft.body
    again = _put(kind, replaces=digest)
    assert again.expects == ((name, digest),)
    assert b'"entry_type":"%b.changed"' % kind.encode() in again.verdict.draft.body
    assert b'"old":"%b"' % digest.hex().encode() in again.verdict.draft.body
    tenant = b"acme" if name.startswith("tenants/") else b""
    assert b'"tenant":"%b"' % tenant in made.verdict.draft.body


def test_keys_go_with_their_version() -> None:
    row = PutKeyMaterial(name="n", parent="", wrapped=b"w")
    made = _put("key-version", keys=iter([row]))
    assert made.verdict.effects[1:] == (row,)
    assert b"wrapped" not in made.verdict.draft.body


def test_what_cannot_be_used_is_not_put() -> None:
    cases: list[tuple[str, str, dict[str, Any]]] = [
        ("nonsense", "x", {}),
        ("asset", NAME, {}),
        ("asset", "tenants/umbrella/assets/llm", {k: v for k, v in ASSET.items() if k != "v"}),
        ("lock", "locks/1", {"name": "locks/1", "target": "tenants/acme", "v": "sealgate.lock/2"}),
    ]
    for kind, name, document in cases:
        with pytest.raises(DocumentInvalid):
            put(kind, name, document, entry=_entry)
    for bad in (1.5, "a\ud800", "e\u0301"):
        with pytest.raises(AttestError):
            put("lock", "locks/1", {"name": "locks/1", "target": bad}, entry=_entry)


class Objects:
    def __init__(self, *rows: tuple[str, str, bytes]) -> None:
        self._rows = [(name, kind, hashlib.sha256(data).digest(), data) for name, kind, data in rows]

    def objects(self) -> tuple[int, int, list[tuple[str, str, bytes, bytes]]]:
        return 5, 4, self._rows


def _rows(*kinds: str) -> list[tuple[str, str, bytes]]:
    return [(GOOD[kind][0], kind, canonical(GOOD[kind][1])) for kind in kinds]


def test_a_snapshot_holds_everything() -> None:
    snapshot = load(Objects(*_rows(*GOOD)))
    assert (snapshot.revision, snapshot.governance) == (5, 4)
    assert list(snapshot.assets) == list(snapshot.key_versions) == [NAME]
    assert list(snapshot.profiles) == [PROFILE["name"]]
    assert list(snapshot.references) == [REFERENCES["name"]]
    assert list(snapshot.principals) == [bytes.fromhex("cd" * 32)]
    assert [lock.target for lock in snapshot.locks] == [NAME]
    assert load(Objects()).assets == {}


def test_the_newest_version_is_the_one_released() -> None:
    asset = AssetName.parse(NAME)
    made = []
    for n in (10, 9, 100, 1):
        document = {"v": "sealgate.key-version/1", **key_version_document(asset, n, bytes(1_216))}
        made.append((asset.key_version(n), "key-version", canonical(document)))
    assert load(Objects(*made)).key_versions[NAME].version == 100


def test_nothing_is_skipped() -> None:
    cases = {
        "a kind that nobody knows": ("x", "tomorrow", b"{}"),
        "a document that does not read": (NAME, "asset", b"{}"),
        "a document under another's name": ("tenants/acme/assets/other", "asset", canonical(ASSET)),
    }
    for row in cases.values():
        with pytest.raises(DocumentInvalid):
            load(Objects(*_rows("profile"), row))


# name: (targets, if the asset is locked)
LOCKS: dict[str, tuple[list[str], bool]] = {
    "none": ([], False),
    "the asset": ([NAME], True),
    "its tenant": (["tenants/acme"], True),
    "another asset": (["tenants/acme/assets/llm-2"], False),
    "another tenant of the same beginning": (["tenants/acm"], False),
    "a lifted one": ([""], False),
    "a lifted one and one that holds": (["", "tenants/acme"], True),
}


@pytest.mark.parametrize("name", LOCKS)
def test_locks(name: str) -> None:
    targets, locked = LOCKS[name]
    made = [
        (f"locks/{n}", "lock", canonical({"v": "sealgate.lock/1", "name": f"locks/{n}", "target": target}))
        for n, target in enumerate(targets)
    ]
    snapshot = load(Objects(*_rows("asset"), *made))
    assert snapshot.locked(snapshot.assets[NAME].name) is locked


def test_what_was_read_is_frozen() -> None:
    asset = _read("asset", ASSET)
    with pytest.raises(dataclasses.FrozenInstanceError):
        asset.tier = 0
