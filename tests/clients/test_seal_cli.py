"""`sealgate seal` and `sealgate open`: whole sets, on several workers, interrupted and gone on with."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from clients.cli.main import Doors, main
from clients.cli.progress import Progress, size_text
from clients.workload import age, bulk
from clients.workload.age_recipient import KeyPair, Recipient
from clients.workload.manifest import Manifest
from clients.workload.sealed import open_sealed
from clients.workload.sealed_set import Journal
from tests.makers.sealed import sparse

ASSET = "tenants/acme/assets/images"
PAIR = KeyPair.generate(bytes(range(32)))
SIZES = {"a.bin": 0, "shards/s-0.tar": 1, "shards/s-1.tar": age.CHUNK, "shards/deep/s-2.tar": 40 * age.CHUNK + 7}


class Work:
    """A directory with sources, and the command over it."""

    def __init__(self, top: Path) -> None:
        self.top, self.sealed, self.plain = top, top / "sealed", top / "plain"
        self.content = {name: os.urandom(size) for name, size in SIZES.items()}
        for name, data in self.content.items():
            (top / "src" / name).parent.mkdir(parents=True, exist_ok=True)
            (top / "src" / name).write_bytes(data)
        (top / "key.pub").write_text(f"# {ASSET}/keyVersions/1\n{PAIR.recipient.text()}\n")
        (top / "images.key").write_bytes(PAIR.seed)

    def run(self, *arguments: str) -> int:
        return main(arguments, Doors(now=datetime(2026, 6, 1, tzinfo=UTC)))

    def seal(self, *more: str) -> int:
        state = ("--state", str(self.top / "state"), "--recipient", str(self.top / "key.pub"), "--asset", ASSET)
        return self.run("seal", *state, "--out", str(self.sealed), *more)

    def seal_all(self, *more: str) -> int:
        return self.seal(str(self.top / "src" / "a.bin"), str(self.top / "src" / "shards"), *more)

    def open(self, path: str, *more: str) -> int:
        digest = hashlib.sha256((self.sealed / "manifest.json").read_bytes()).hexdigest()
        (self.top / "images.content").write_text(digest)
        keys = ("--key", str(self.top / "images.key"), "--content", str(self.top / "images.content"))
        return self.run("open", str(self.sealed / path), *keys, *more)


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path)


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("workers", ["1", "3"])
def test_a_set_is_sealed_and_opened(work: Work, exact: bool, workers: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert work.seal_all("--workers", workers, "--json", *(["--exact"] if exact else [])) == 0
    told = json.loads(capsys.readouterr().out)
    manifest = Manifest.parse((work.sealed / "manifest.json").read_bytes())
    assert told == {
        "content_digest": manifest.digest().hex(), "files": sorted(SIZES), "bytes": sum(SIZES.values())
    }  # fmt: skip
    assert [bool(line.root) for line in manifest.files] == [exact] * len(SIZES)
    assert any(work.sealed.rglob("*.tree")) is exact
    assert not (work.top / "state").exists() or not any((work.top / "state").iterdir())
    assert work.open("", "--out", str(work.plain), "--workers", workers, "--json") == 0
    assert json.loads(capsys.readouterr().out)["bytes"] == sum(SIZES.values())
    assert {n: (work.plain / n).read_bytes() for n in SIZES} == work.content
    assert work.open("", "--check") == 0
    assert all((work.plain / name).stat().st_mode & 0o777 == 0o600 for name in SIZES)
    for name in SIZES:  # what many workers wrote is what one stream of age writes, but for its keys
        sink, line = io.BytesIO(), manifest.file(name)
        keys = {"file_key": os.urandom(16), "nonce": os.urandom(16)}
        age.seal(io.BytesIO(work.content[name]), sink, PAIR.recipient, **keys)
        assert line.size == len(sink.getvalue()) == (work.sealed / name).stat().st_size


def test_a_part_of_a_set_is_opened(work: Work) -> None:
    work.seal_all()
    assert work.open("shards/deep", "--out", str(work.plain)) == 0
    assert [p.name for p in work.plain.rglob("*")] == ["s-2.tar"]
    one = work.top / "one"
    assert work.open("shards/s-1.tar", "--out", str(one)) == 0
    assert one.read_bytes() == work.content["shards/s-1.tar"]


REFUSED: dict[str, tuple[int, str, tuple[str, ...]]] = {
    "no such file": (2, "does not exist", ("src/none",)),
    "a directory of nothing": (2, "no file to seal", ("empty",)),
    "two of one name": (2, "both be sealed as a.bin", ("src/a.bin", "twin/a.bin")),
    "a manifest": (2, "name of a file that sealing writes", ("twin/manifest.json",)),
    "a tree": (2, "name of a file that sealing writes", ("twin/x.tree",)),
    "what it writes itself": (2, "choose a folder outside", ("sealed",)),
    "a pipe": (2, "is no file that can be sealed", ("pipe",)),
    "a linked directory": (2, "is a link to a directory", ("links",)),
}


@pytest.mark.parametrize(("code", "sentence", "paths"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_sealed(
    work: Work, code: int, sentence: str, paths: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("empty", "twin", "sealed", "links"):
        (work.top / folder).mkdir()
    for name in ("twin/a.bin", "twin/manifest.json", "twin/x.tree", "sealed/x"):
        (work.top / name).touch()
    os.mkfifo(work.top / "pipe")
    (work.top / "links" / "d").symlink_to(work.top / "twin")
    assert work.seal(*(str(work.top / path) for path in paths)) == code
    assert sentence in capsys.readouterr().err
    assert not (work.sealed / "manifest.json").exists()


@pytest.mark.parametrize(
    ("text", "sentence"), [("", "holds 0 keys"), ("age1pq1xx", "SEALED_KEY_TEXT"), ("a\nb", "holds 2 keys")]
)
def test_a_recipient_that_is_none(work: Work, text: str, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    (work.top / "key.pub").write_text(text)
    assert work.seal_all() != 0
    assert sentence in capsys.readouterr().err


class Interrupted:
    """Fails when so many bytes are done, as a full disk or a signal would."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, after: int, error: BaseException) -> None:
        self.used: list[tuple[bytes, bytes]] = []
        self._left, self._error = after, error
        write, sealer = bulk._write, age.Sealer

        def failing(descriptor: int, data: bytes | memoryview, offset: int) -> None:
            self._left -= len(data)
            if self._left < 0:
                raise self._error
            write(descriptor, data, offset)

        def recorded(recipient: Recipient, *, file_key: bytes, nonce: bytes) -> Any:
            self.used.append((file_key, nonce))
            return sealer(recipient, file_key=file_key, nonce=nonce)

        monkeypatch.setattr(bulk, "_write", failing)
        monkeypatch.setattr(age, "Sealer", recorded)

    def end(self) -> None:
        self._left = 1 << 60


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_an_interrupted_run_goes_on(
    work: Work, exact: bool, error: BaseException, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ["--exact"] if exact else []
    stop = Interrupted(monkeypatch, 2_000_000, error)
    assert work.seal_all(*more) == (5 if isinstance(error, OSError) else 130)
    assert "space" in capsys.readouterr().err or not isinstance(error, OSError)
    finished = {p: p.stat().st_ino for p in work.sealed.rglob("*") if p.is_file()}
    assert {p.name for p in finished if p.suffix != ".tree"} == {"a.bin"}
    stop.end()
    assert work.seal_all(*more) == 2
    assert "--resume" in capsys.readouterr().err
    assert work.seal_all("--resume", *more) == 0
    assert len(stop.used) == len({key for key, _ in stop.used}) == len({nonce for _, nonce in stop.used})
    assert all(p.stat().st_ino == inode for p, inode in finished.items())
    assert work.open("", "--out", str(work.plain)) == 0
    assert {n: (work.plain / n).read_bytes() for n in SIZES} == work.content


def test_going_on_keeps_what_is_finished_and_the_same(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    stop = Interrupted(monkeypatch, 2_000_000 + age.CHUNK, KeyboardInterrupt())
    assert work.seal_all() == 130
    first = dict.fromkeys(key for key, _ in stop.used)
    kept = (work.sealed / "a.bin").stat().st_ino
    stop.end()
    assert work.seal_all("--resume") == 0
    assert (work.sealed / "a.bin").stat().st_ino == kept
    assert len(stop.used) == len({key for key, _ in stop.used}) == len(first) + len(SIZES) - 1


@pytest.mark.parametrize("more", [[], ["--resume"]], ids=["anew", "resumed"])
def test_a_finished_set_is_never_sealed_over(work: Work, more: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert work.seal_all() == 0
    before = {p: p.read_bytes() for p in work.sealed.rglob("*") if p.is_file()}
    (work.top / "src" / "later.bin").write_bytes(b"later")
    for paths in (["a.bin", "shards"], ["later.bin"]):
        capsys.readouterr()
        assert work.seal(*(str(work.top / "src" / path) for path in paths), *more) == 2
        assert "holds a set that is finished" in capsys.readouterr().err
    assert {p: p.read_bytes() for p in work.sealed.rglob("*") if p.is_file()} == before


EDITS: dict[str, Any] = {
    "the source changed": lambda w: (w.top / "src" / "a.bin").write_bytes(b"other"),
    "the sealed file is another": lambda w: (w.sealed / "a.bin").write_bytes(b"other"),
    "the sealed file is gone": lambda w: (w.sealed / "a.bin").unlink(),
    "the journal is cut": lambda w: next((w.top / "state").iterdir()).write_text('[[0, 0, 0, 0], "a.bin", 1'),
    "the journal is of another": lambda w: next((w.top / "state").iterdir()).write_text('[[1],"a.bin",1,"","zz"]\n'),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
def test_going_on_remakes_what_is_not_the_same(work: Work, edit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stop = Interrupted(monkeypatch, 2_000_000, KeyboardInterrupt())
    assert work.seal_all() == 130
    edit(work)
    stop.end()
    assert work.seal_all("--resume") == 0
    assert len({key for key, _ in stop.used}) == len(stop.used)
    assert work.open("", "--out", str(work.plain)) == 0
    for name in SIZES:
        assert (work.plain / name).read_bytes() == (work.top / "src" / name).read_bytes()


def test_a_source_that_changes_while_it_is_sealed(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    source, write = work.top / "src" / "a.bin", bulk._write

    def touching(descriptor: int, data: bytes | memoryview, offset: int) -> None:
        write(descriptor, data, offset)
        os.utime(source, ns=(1, 1))

    monkeypatch.setattr(bulk, "_write", touching)
    assert work.seal(str(source)) == 2
    assert not any(work.sealed.iterdir())


def test_the_journal_lies_apart_for_each_run(tmp_path: Path) -> None:
    def named(target: str = "t", asset: str = ASSET, exact: bool = False, pair: KeyPair = PAIR) -> Path:
        made = Journal.of(tmp_path, target=tmp_path / target, asset=asset, recipient=pair.recipient, exact=exact)
        return made.file

    others = [named("u"), named(asset=f"{ASSET}-2"), named(exact=True), named(pair=KeyPair.generate(bytes(32)))]
    assert len({named(), *others}) == 5
    assert named() == named()


OPEN_REFUSED: dict[str, tuple[int, str, Any]] = {
    "another key": (4, "SEALED_KEY", lambda w: (w.top / "images.key").write_bytes(bytes(32))),
    "a key of another length": (4, "SEALED_KEY_TEXT", lambda w: (w.top / "images.key").write_bytes(bytes(31))),
    "no manifest": (2, "no manifest.json", lambda w: (w.sealed / "manifest.json").rename(w.top / "m")),
    "a file of no manifest": (4, "MANIFEST_UNKNOWN_PATH", lambda w: (w.sealed / "a.bin").rename(w.sealed / "b.bin")),
    "a file that is gone": (2, "No such file", lambda w: (w.sealed / "a.bin").unlink()),
    "a byte changed": (4, "SEALED_CHUNK", lambda w: _flip(w.sealed / "a.bin")),
}


def _flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize(("code", "sentence", "edit"), OPEN_REFUSED.values(), ids=OPEN_REFUSED.keys())
def test_what_does_not_open(
    work: Work, code: int, sentence: str, edit: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    work.seal_all()
    digest = hashlib.sha256((work.sealed / "manifest.json").read_bytes()).hexdigest()
    (work.top / "images.content").write_text(digest)
    edit(work)
    keys = ("--key", str(work.top / "images.key"), "--content", str(work.top / "images.content"))
    path = work.sealed / ("b.bin" if (work.sealed / "b.bin").exists() else "a.bin")
    assert work.run("open", str(path), *keys, "--out", str(work.plain)) == code
    assert sentence in capsys.readouterr().err
    assert not work.plain.exists()


def test_a_manifest_that_was_not_registered(work: Work, capsys: pytest.CaptureFixture[str]) -> None:
    work.seal_all()
    (work.top / "c").write_text("ab" * 32)
    keys = ("--key", str(work.top / "images.key"), "--content", str(work.top / "c"))
    assert work.run("open", str(work.sealed), *keys, "--check") == 4
    assert "MANIFEST_DIGEST" in capsys.readouterr().err
    (work.top / "c").write_text("")
    assert work.run("open", str(work.sealed), *keys, "--check") == 2
    assert "the asset may have none registered" in capsys.readouterr().err
    assert work.open("", "--check", "--asset", "tenants/acme/assets/other") == 4
    assert "MANIFEST_ASSET" in capsys.readouterr().err


def test_opening_refuses_a_file_that_is_there_and_goes_on(work: Work, capsys: pytest.CaptureFixture[str]) -> None:
    work.seal_all()
    assert work.open("", "--out", str(work.plain)) == 0
    assert work.open("", "--out", str(work.plain)) == 2
    assert "exists already" in capsys.readouterr().err
    (work.plain / "a.bin").unlink()
    (work.plain / "shards" / "s-0.tar").write_bytes(b"too long")
    before = (work.plain / "shards" / "s-1.tar").stat().st_ino
    assert work.open("", "--out", str(work.plain), "--resume") == 0
    assert {n: (work.plain / n).read_bytes() for n in SIZES} == work.content
    assert (work.plain / "shards" / "s-1.tar").stat().st_ino == before


def test_a_hundred_gigabytes_are_read_at_random(tmp_path: Path) -> None:
    size = 100 << 30
    chunks = {index: os.urandom(age.CHUNK) for index in (0, 1, 777_777, 777_778, 1_500_000)}
    manifest = sparse(tmp_path / "big", size, chunks, PAIR, ASSET)
    into = bytearray(age.CHUNK)
    with open_sealed(tmp_path, "big", manifest=manifest, identity=PAIR) as sealed:
        assert sealed.size == size
        for offset in (0, 777_777 * age.CHUNK + 12_345):
            index, skip = divmod(offset, age.CHUNK)
            assert sealed.read_at(offset, memoryview(into)) == age.CHUNK
            assert into == (chunks[index] + chunks[index + 1])[skip : skip + age.CHUNK]


def test_progress_is_a_line_for_people_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("sealing", 10, shown=False) as silent:
        silent(10)
    assert capsys.readouterr().err == ""
    with Progress("sealing", 1 << 20, shown=True) as shown:
        shown._last -= 1
        shown(1 << 19)
    told = capsys.readouterr().err
    assert "sealing 50 % of 1.0 MiB" in told
    assert told.endswith("\r\x1b[K")
    assert [size_text(n) for n in (0, 1023, 1024, 5 << 30, 300 << 40)] == [
        "0 B", "1023 B", "1.0 KiB", "5.0 GiB", "300 TiB"
    ]  # fmt: skip
