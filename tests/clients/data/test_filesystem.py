"""Reading in place: safetensors files and tar shards, through a file object and through fsspec, as loaders do."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from array import array
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fsspec
import pytest
from safetensors import TensorSpec, deserialize, serialize

from clients.cli.main import Doors, main
from clients.data.filesystem import SealedFileSystem
from clients.errors import Usage
from clients.workload.age_recipient import KeyPair, SealedError
from clients.workload.opened_set import OpenedSet

PAIR = KeyPair.generate(bytes(range(32)))
SAMPLES = {f"{n:05}.{kind}": os.urandom(900 + 37 * n) for n in range(120) for kind in ("jpg", "cls")}
TENSORS = {f"layer.{n}.weight": os.urandom(4 * 30_000) for n in range(4)}


def shard(samples: dict[str, bytes]) -> bytes:
    """A WebDataset shard: a tar whose members of one stem are one sample."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in samples.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return sink.getvalue()


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A sealed set, and what `keys get` would have written for it."""
    top = tmp_path_factory.mktemp("set")
    model, shards = top / "src" / "model.safetensors", top / "src" / "shards"
    shards.mkdir(parents=True)
    held = {name: array("B", data) for name, data in TENSORS.items()}
    specs = {
        name: TensorSpec(dtype="float32", shape=[30_000], data_ptr=data.buffer_info()[0], data_len=len(data))
        for name, data in held.items()
    }
    model.write_bytes(serialize(specs))
    (shards / "000.tar").write_bytes(shard(SAMPLES))
    (top / "key.pub").write_text(PAIR.recipient.text())
    (top / "a.key").write_bytes(PAIR.seed)
    arguments = ["seal", str(model), str(shards), "--asset", "tenants/acme/assets/a", "--out", str(top / "sealed")]
    more = ["--recipient", str(top / "key.pub"), "--state", str(top / "state")]
    assert main([*arguments, *more], Doors(now=datetime(2026, 6, 1, tzinfo=UTC))) == 0
    (top / "a.content").write_text(hashlib.sha256((top / "sealed" / "manifest.json").read_bytes()).hexdigest())
    return {"folder": str(top / "sealed"), "key": str(top / "a.key"), "content": str(top / "a.content")}


def test_tensors_are_read_where_they_lie(options: dict[str, str]) -> None:
    """One tensor costs its own chunks; all of them are what the library itself reads."""
    fs = fsspec.filesystem("sealgate", **options)
    with fs.open("model.safetensors", "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        for name, data in TENSORS.items():
            start, end = header[name]["data_offsets"]
            assert fs.cat_file("model.safetensors", 8 + length + start, 8 + length + end) == data
    whole = dict(deserialize(fs.cat_file("model.safetensors")))  # type: ignore[no-untyped-call]
    assert {name: bytes(each["data"]) for name, each in whole.items()} == TENSORS


def test_a_shard_is_streamed_as_webdataset_does(options: dict[str, str]) -> None:
    shard = fsspec.open("sealgate://shards/000.tar", "rb", **options)
    with shard as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
        read = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    assert read == SAMPLES


def test_members_are_read_at_random_by_many_threads(options: dict[str, str]) -> None:
    opened = OpenedSet.of(Path(options["folder"]), key=Path(options["key"]), content=Path(options["content"]))
    with opened.open("shards/000.tar") as sealed:
        with tarfile.open(fileobj=sealed, mode="r:") as tar:
            places = {m.name: (m.offset_data, m.size) for m in tar}

        def read(name: str) -> bytes:
            offset, size = places[name]
            into = bytearray(size)
            assert sealed.read_at(offset, memoryview(into)) == size
            return bytes(into)

        with ThreadPoolExecutor(8) as pool:
            assert dict(zip(SAMPLES, pool.map(read, SAMPLES), strict=True)) == SAMPLES


def test_what_there_is(options: dict[str, str]) -> None:
    fs = SealedFileSystem(**options)
    assert fs.ls("", detail=False) == ["model.safetensors", "shards"]
    assert fs.ls("sealgate://shards/", detail=True) == [
        {"name": "shards/000.tar", "size": len(shard(SAMPLES)), "type": "file"}
    ]
    assert fs.find("") == ["model.safetensors", "shards/000.tar"]
    assert fs.glob("**/*.tar") == ["shards/000.tar"]
    assert (fs.isdir("shards"), fs.isfile("shards"), fs.exists("shards/001.tar")) == (True, False, False)
    assert fs.size("shards/000.tar") == len(shard(SAMPLES))
    with fs.open("model.safetensors", "rb") as file:
        file.seek(-8, os.SEEK_END)
        assert len(file.read()) == 8
    with pytest.raises(FileNotFoundError):
        fs.open("manifest.json")
    with pytest.raises(IsADirectoryError):
        fs.open("shards")


@pytest.mark.parametrize(
    "write",
    [
        lambda fs: fs.open("x", "wb"),
        lambda fs: fs.mkdir("x"),
        lambda fs: fs.makedirs("x"),
        lambda fs: fs.rm("model.safetensors"),
        lambda fs: fs.pipe_file("x", b""),
        lambda fs: fs.touch("x"),
        lambda fs: fs.cp_file("model.safetensors", "x"),
    ],
)
def test_nothing_is_written(options: dict[str, str], write: Any) -> None:
    with pytest.raises(OSError, match="Read-only"):
        write(SealedFileSystem(**options))


def test_a_key_is_not_found_by_its_arguments(options: dict[str, str]) -> None:
    assert SealedFileSystem(**options) is not SealedFileSystem(**options)
    assert PAIR.seed.hex() not in repr(SealedFileSystem(**options))


def test_what_is_not_trusted_is_refused_at_once(options: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "c").write_text("ab" * 32)
    with pytest.raises(SealedError, match="MANIFEST_DIGEST"):
        SealedFileSystem(**{**options, "content": str(tmp_path / "c")})
    (tmp_path / "c").write_text("")
    with pytest.raises(Usage, match="none registered"):
        SealedFileSystem(**{**options, "content": str(tmp_path / "c")})
    with pytest.raises(SealedError, match="MANIFEST_ASSET"):
        SealedFileSystem(**options, asset="tenants/acme/assets/other")
