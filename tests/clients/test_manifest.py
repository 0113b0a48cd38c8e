"""The manifest: one value, one byte string, and no path that leaves the folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from clients.workload.age_recipient import SealedError
from clients.workload.manifest import VERSION, Listed, Manifest

ASSET = "tenants/acme/assets/llm-70b"
ROOT = "ab" * 32
HEADER = "ef" * 32
GOOD: dict[str, Any] = {
    "asset": ASSET,
    "files": [
        {"header": HEADER, "path": "config.json.age", "root": ROOT, "size": 1700},
        {"header": HEADER, "path": "weights/model-00001.safetensors.age", "root": "", "size": 5_000_000_000},
    ],
    "v": VERSION,
}


def raw(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def refused(check: str) -> Any:
    return pytest.raises(SealedError, match=rf"^{check}: ")


def test_reads_and_writes_the_canonical_bytes() -> None:
    manifest = Manifest.parse(raw(GOOD))
    assert manifest.encode() == raw(GOOD) == rfc8785.dumps(GOOD)
    assert manifest.digest() == hashlib.sha256(raw(GOOD)).digest()
    assert manifest.files[1].size == 5_000_000_000
    assert manifest.file("config.json.age").root.hex() == ROOT


def edited(edit: Callable[[dict[str, Any]], object]) -> bytes:
    value = json.loads(raw(GOOD))
    edit(value)
    return raw(value)


def first(**members: object) -> bytes:
    return edited(lambda value: value["files"][0].update(members))


FORMAT_CASES: dict[str, bytes] = {
    "nothing": b"",
    "not JSON": b"{",
    "not an object": b"[]",
    "not UTF-8": raw(GOOD).replace(b"config", b"\xff"),
    "nested too deep": b"[" * 100_000,
    "a space": raw(GOOD).replace(b":[", b": ["),
    "a newline at the end": raw(GOOD) + b"\n",
    "keys in another order": json.dumps(dict(reversed(GOOD.items())), separators=(",", ":")).encode(),
    "an escape too many": raw(GOOD).replace(b"config", b"\\u0063onfig"),
    "a member twice": raw(GOOD).replace(b'"v":', b'"v":"x","v":'),
    "a fraction": raw(GOOD).replace(b"1700", b"1700.0"),
    "an unknown member": edited(lambda value: value.update(x=1)),
    "a member missing": edited(lambda value: value.pop("asset")),
    "another version": edited(lambda value: value.update(v="sealgate.manifest/2")),
    "an asset that is none": edited(lambda value: value.update(asset="tenants/acme")),
    "an asset of another type": edited(lambda value: value.update(asset=1)),
    "files of another type": edited(lambda value: value.update(files={})),
    "no file": edited(lambda value: value.update(files=[])),
    "a file that is none": edited(lambda value: value.update(files=["x"])),
    "a file twice": edited(lambda value: value["files"].insert(0, value["files"][0])),
    "files not sorted": edited(lambda value: value["files"].reverse()),
    "an unknown member of a file": first(mode=1),
    "a member of a file missing": edited(lambda value: value["files"][0].pop("root")),
    "a path of another type": first(path=1),
    "size zero": first(size=0),
    "size negative": first(size=-1),
    "size true": first(size=True),
    "size as text": first(size="1700"),
    "size above 2**53 - 1": first(size=2**53),
    "root in upper case": first(root=ROOT.upper()),
    "root too short": first(root=ROOT[2:]),
    "root of another type": first(root=None),
    "header in upper case": first(header=HEADER.upper()),
    "header empty": first(header=""),
    "header too long": first(header=HEADER + "ef"),
    "header of another type": first(header=7),
}


@pytest.mark.parametrize("encoded", FORMAT_CASES.values(), ids=FORMAT_CASES.keys())
def test_format_refused(encoded: bytes) -> None:
    with refused("MANIFEST_FORMAT"):
        Manifest.parse(encoded)


PATH_CASES: dict[str, str] = {
    "empty": "",
    "absolute": "/etc/passwd",
    "parent": "..",
    "parent inside": "a/../b",
    "parent at the end": "a/..",
    "here": "./a",
    "two slashes": "a//b",
    "slash at the end": "a/",
    "backslash": "a\\b",
    "zero byte": "a\0b",
    "newline": "a\nb",
    "escape sequence": "a\x1b[2Jb",
    "right-to-left override": "a\u202eb",
    "no-break space": "a\u00a0b",
    "space at the end": "a ",
    "space around a component": "a/ /b",
    "lone surrogate": "a\ud800",
    "component too long": "a" * 256,
    "component too long in UTF-8": "\u00e9" * 128,
    "path too long": "/".join(["a" * 200] * 6),
    "sidecar": "a.age.tree",
}


@pytest.mark.parametrize("path", PATH_CASES.values(), ids=PATH_CASES.keys())
def test_path_refused(path: str) -> None:
    with refused("MANIFEST_FORMAT"):
        Listed(path=path, size=1, header=bytes(32))


@pytest.mark.parametrize(
    "path", ["a", "a b", "-", ".hidden", "...", "a/b/c.age", "\u00e9", "\u6a21\u578b.age", "~", "a:b"]
)
def test_path_taken(path: str) -> None:
    manifest = Manifest(asset=ASSET, files=(Listed(path=path, size=1, header=bytes(32)),))
    assert Manifest.parse(manifest.encode()) == manifest


def test_a_path_not_in_nfc_has_no_bytes() -> None:
    manifest = Manifest(asset=ASSET, files=(Listed(path="e\u0301", size=1, header=bytes(32)),))
    with refused("MANIFEST_FORMAT"):
        manifest.encode()


@pytest.mark.parametrize(
    "path", ["", "config.json", "config.json.age ", "zzz", "../config.json.age", "CONFIG.JSON.AGE"]
)
def test_a_path_not_listed_is_unknown(path: str) -> None:
    with refused("MANIFEST_UNKNOWN_PATH"):
        Manifest.parse(raw(GOOD)).file(path)


def test_registered() -> None:
    digest = hashlib.sha256(raw(GOOD)).digest()
    assert Manifest.registered(raw(GOOD), asset=ASSET, content_digest=digest) == Manifest.parse(raw(GOOD))
    for wrong in (b"", bytes(32), digest[:-1], digest + b"x"):
        with refused("MANIFEST_DIGEST"):
            Manifest.registered(raw(GOOD), asset=ASSET, content_digest=wrong)
    with refused("MANIFEST_DIGEST"):  # before it is read
        Manifest.registered(b"{", asset=ASSET, content_digest=digest)
    with refused("MANIFEST_ASSET"):
        Manifest.registered(raw(GOOD), asset="tenants/acme/assets/other", content_digest=digest)


PATHS = st.text("abc./-_ \u00e9", min_size=1, max_size=12)


@settings(deadline=None, max_examples=200)
@given(st.dictionaries(PATHS, st.tuples(st.integers(1, 2**53 - 1), st.binary(min_size=32, max_size=32)), min_size=1))
def test_what_is_built_is_what_is_read(files: dict[str, tuple[int, bytes]]) -> None:
    listed = []
    for path, (size, root) in sorted(files.items()):
        try:
            listed.append(Listed(path=path, size=size, header=root[::-1], root=root if size % 2 else b""))
        except SealedError:
            assert {"", ".", ".."} & set(path.split("/")) or any(each != each.strip() for each in path.split("/"))
    if not listed:
        return
    manifest = Manifest(asset=ASSET, files=tuple(listed))
    assert Manifest.parse(manifest.encode()) == manifest
    assert all(manifest.file(each.path) == each for each in listed)


@settings(deadline=None, max_examples=200)
@given(at=st.integers(0, len(raw(GOOD)) - 1), bit=st.integers(0, 7))
def test_a_flip_is_refused_or_another_manifest(at: int, bit: int) -> None:
    flipped = bytearray(raw(GOOD))
    flipped[at] ^= 1 << bit
    try:
        manifest = Manifest.parse(bytes(flipped))
    except SealedError:
        return
    assert manifest.encode() == bytes(flipped) != raw(GOOD)
