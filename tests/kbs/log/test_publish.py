"""The published log: read back with attest's readers, published again after a crash, never a fork or a step back."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from attest.errors import AttestError
from attest.tlog.checkpoint import open_checkpoint
from attest.tlog.keys import VerifierKey
from attest.tlog.merkle import Frontier, extend, leaf_hash, root_of
from attest.tlog.proofs import consistency_ranges, inclusion_ranges, verify_consistency, verify_inclusion
from attest.tlog.tile_tree import frontier_of, frontier_tiles, roots, tiles_for
from attest.tlog.tiles import Bundle, Tile, bundles, decode_bundle, decode_tile, tiles
from kbs.log.publish import LogForked, Publisher
from kbs.log.signer import CheckpointSigner
from kbs.model.log import LogHead

ORIGIN = "publish.example/audit/1"
SIGNER = CheckpointSigner(ORIGIN, bytes(range(32)))
KEY = VerifierKey.parse(SIGNER.verifier_key)
BOUNDARIES = (1, 2, 255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537, 66_000)


class Entries:
    """A committed log in memory that grows when told."""

    def __init__(self, leaves: list[bytes]) -> None:
        self.leaves = leaves
        self.hashes = [leaf_hash(leaf) for leaf in leaves]
        self.size = len(leaves)

    def at(self, size: int) -> Entries:
        self.size = size
        return self

    def head(self) -> LogHead:
        return LogHead(size=self.size, root=root_of(self.hashes[: self.size]), frontier=b"", last_time=0)

    def entries(self, start: int, end: int) -> list[tuple[int, bytes, bytes]]:
        return [(n, self.leaves[n], self.hashes[n]) for n in range(start, min(end, self.size))]


def _entries(size: int, name: str = "") -> Entries:
    return Entries([f"{name}{n}".encode() for n in range(size)])


def _size(directory: Path) -> tuple[int, bytes]:
    checkpoint = open_checkpoint((directory / "checkpoint").read_bytes(), ORIGIN, [KEY]).checkpoint
    return checkpoint.size, checkpoint.root


def _tile(directory: Path, tile: Tile) -> tuple[bytes, ...]:
    return decode_tile((directory / tile.path).read_bytes(), tile.width)


def _files(directory: Path) -> dict[str, bytes]:
    return {p.relative_to(directory).as_posix(): p.read_bytes() for p in sorted(directory.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def large() -> Entries:
    return _entries(BOUNDARIES[-1])


def test_every_boundary_reads_back(tmp_path: Path, large: Entries) -> None:
    """One log published at each size in turn; at each, an auditor with the files alone gets to the signed root."""
    publisher = Publisher(tmp_path, large, SIGNER)
    before: tuple[int, bytes] | None = None
    for size in BOUNDARIES:
        large.at(size)
        assert publisher.publish() == size == publisher.published()
        assert _size(tmp_path) == (size, large.head().root)
        held = {tile: _tile(tmp_path, tile) for tile in frontier_tiles(size)}
        assert frontier_of(size, held).root() == large.head().root
        for index in {0, size // 2, size - 1, min(size - 1, 256)}:
            ranges = inclusion_ranges(index, size)
            proof = roots(ranges, size, {tile: _tile(tmp_path, tile) for tile in tiles_for(ranges, size)})
            verify_inclusion(large.hashes[index], index, size, proof, large.head().root)
        if before is not None:
            ranges = consistency_ranges(before[0], size)
            proof = roots(ranges, size, {tile: _tile(tmp_path, tile) for tile in tiles_for(ranges, size)})
            verify_consistency(*before, size, large.head().root, proof)
        before = size, large.head().root
    leaves: list[bytes] = []
    for bundle in bundles(size):
        leaves += decode_bundle((tmp_path / bundle.path).read_bytes(), bundle.width)
    assert leaves == large.leaves
    for tile in tiles(size):
        if tile.level == 0:
            assert list(_tile(tmp_path, tile)) == large.hashes[tile.index * 256 : tile.index * 256 + tile.width]
        else:
            assert list(_tile(tmp_path, tile)) == [root_of(_tile(tmp_path, child)) for child in tile.children()]


def test_steps_do_not_show(tmp_path: Path) -> None:
    """However it was published, the files of one size are the same bytes; partial ones of steps between stay."""
    log = _entries(600)
    for name, stops in {"once": [600], "steps": [1, 255, 256, 300, 513, 600], "each": list(range(590, 601))}.items():
        publisher = Publisher(tmp_path / name, log, SIGNER)
        for stop in stops:
            log.at(stop)
            publisher.publish()
    once = _files(tmp_path / "once")
    assert set(once) == {"checkpoint", *(t.path for t in tiles(600)), *(b.path for b in bundles(600))}
    for name in ("steps", "each"):
        found = _files(tmp_path / name)
        assert {path: found[path] for path in once} == once
        assert all(".p/" in path for path in found.keys() - once.keys())
        assert not [path for path in found if path.rsplit("/", 1)[-1].startswith(".")]


def test_publishing_again_changes_nothing(tmp_path: Path) -> None:
    log = _entries(300)
    publisher = Publisher(tmp_path, log, SIGNER)
    assert publisher.published() == 0
    publisher.publish()
    before = {path: (tmp_path / path).stat().st_mtime_ns for path in _files(tmp_path)}
    assert publisher.publish() == 300
    assert Publisher(tmp_path, log, SIGNER).publish() == 300
    assert before == {path: (tmp_path / path).stat().st_mtime_ns for path in _files(tmp_path)}


class Crash(Exception):
    pass


def _crash(point: str, /) -> None:
    raise Crash


@pytest.mark.parametrize(("old", "new"), [(0, 1), (0, 257), (10, 300), (255, 256), (256, 513)])
def test_a_crash_between_tiles_and_checkpoint(tmp_path: Path, old: int, new: int) -> None:
    log = _entries(600)
    crashed, whole = tmp_path / "crashed", tmp_path / "whole"
    for directory in (crashed, whole):
        log.at(old)
        Publisher(directory, log, SIGNER).publish()
    log.at(new)
    with pytest.raises(Crash):
        Publisher(crashed, log, SIGNER, _crash).publish()
    assert Publisher(crashed, log, SIGNER).published() == old
    # A torn file of a crash within a write lies beside, under a name that nobody asks for; it is written over.
    (crashed / ".checkpoint.new").write_bytes(b"torn")
    Publisher(crashed, log, SIGNER).publish()
    Publisher(whole, log, SIGNER).publish()
    assert _files(crashed) == _files(whole)
    # More had been committed before the broker came back: also then the same bytes.
    log.at(600)
    for directory in (crashed, whole):
        Publisher(directory, log, SIGNER).publish()
    assert _files(crashed) == _files(whole)


def _other_tail(at: int, size: int) -> Entries:
    mine, other = _entries(at).leaves, _entries(size, "other ").leaves
    return Entries(mine + other[at:])


# name: what is stored when 300 entries are published
FORKS = {
    "shorter": _entries(299),
    "empty": _entries(0),
    "another log of the same size": _other_tail(290, 300),
    "another log that has grown": _other_tail(290, 400),
    "another log that has grown much": _other_tail(10, 2_000),
    "the first entry changed": Entries([b"changed", *_entries(400).leaves[1:]]),
    "an entry in the middle left out": Entries([*_entries(150).leaves, *_entries(400).leaves[151:]]),
}


@pytest.mark.parametrize("name", FORKS)
def test_a_log_that_does_not_continue_what_was_published(tmp_path: Path, name: str) -> None:
    Publisher(tmp_path, _entries(300), SIGNER).publish()
    before = _files(tmp_path)
    for _ in range(2):
        with pytest.raises(LogForked):
            Publisher(tmp_path, FORKS[name], SIGNER).publish()
    assert _files(tmp_path) == before


def test_a_head_that_is_not_its_entries(tmp_path: Path) -> None:
    class Lying(Entries):
        def head(self) -> LogHead:
            return LogHead(size=self.size, root=bytes(32), frontier=b"", last_time=0)

    with pytest.raises(LogForked):
        Publisher(tmp_path, Lying(_entries(5).leaves), SIGNER).publish()
    assert _files(tmp_path) == {}


def test_a_leaf_that_was_changed_in_the_store(tmp_path: Path) -> None:
    """Its stored hash is still the old one; what is published is the leaf."""
    log = _entries(5)
    log.leaves[3] = b"changed"
    with pytest.raises(LogForked):
        Publisher(tmp_path, log, SIGNER).publish()
    assert _files(tmp_path) == {}


@pytest.mark.parametrize("path", ["tile/0/001.p/44", "tile/1/000.p/1"])
def test_a_published_tile_that_was_changed(tmp_path: Path, path: str) -> None:
    Publisher(tmp_path, _entries(300), SIGNER).publish()
    file = tmp_path / path
    data = bytearray(file.read_bytes())
    data[0] ^= 1
    file.write_bytes(data)
    with pytest.raises(LogForked):
        Publisher(tmp_path, _entries(301), SIGNER).publish()


def test_a_checkpoint_that_is_not_ours(tmp_path: Path) -> None:
    log = _entries(10)
    good = SIGNER.checkpoint(10, log.head().root)
    cases = {
        "another key": CheckpointSigner(ORIGIN, bytes(32)).checkpoint(10, log.head().root),
        "another origin": CheckpointSigner("other.example/audit/1", bytes(range(32))).checkpoint(10, log.head().root),
        "a torn one": good[: len(good) // 2],
        "nothing": b"",
    }
    for name, data in cases.items():
        directory = tmp_path / name
        publisher = Publisher(directory, log, SIGNER)
        (directory / "checkpoint").write_bytes(data)
        with pytest.raises(AttestError):
            publisher.publish()
        assert (directory / "checkpoint").read_bytes() == data


def test_two_publishers_of_one_directory(tmp_path: Path) -> None:
    log = _entries(400)
    one, two = (Publisher(tmp_path, log, SIGNER) for _ in range(2))
    for size, publisher in ((100, one), (200, two), (200, one), (300, one), (400, two)):
        log.at(size)
        assert publisher.publish() == size
    shutil.rmtree(tmp_path)
    tmp_path.mkdir()
    assert Publisher(tmp_path, log, SIGNER).publish() == 400


def test_names_are_those_of_the_specification() -> None:
    assert Bundle(index=0, width=5).path == "tile/entries/000.p/5"
    assert extend(Frontier(), []).frontier == Frontier()
