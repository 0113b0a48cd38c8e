"""Tiles and bundles: paths, what a size needs, what changes, and proofs out of tiles."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attest.tlog.merkle import Extension, Frontier, extend, leaf_hash, root_of
from attest.tlog.proofs import (
    consistency_proof,
    consistency_ranges,
    inclusion_proof,
    inclusion_ranges,
    verify_consistency,
)
from attest.tlog.tile_tree import frontier_of, frontier_tiles, roots, tiles_for
from attest.tlog.tiles import (
    Bundle,
    Tile,
    bundles,
    decode_bundle,
    decode_tile,
    encode_bundle,
    encode_tile,
    new_tiles,
    parse_path,
    tiles,
)
from tests.attest.tlog.refusal import refused

COUNT = 70_000
LEAVES = [leaf_hash(b"%d" % i) for i in range(COUNT)]


def build(size: int) -> dict[Tile, tuple[bytes, ...]]:
    """Every tile of a tree, as a publisher makes them: leaf hashes below, roots of full tiles above."""
    made: dict[Tile, tuple[bytes, ...]] = {}
    for tile in tiles(size):
        if tile.level == 0:
            hashes = tuple(LEAVES[tile.index * 256 : tile.index * 256 + tile.width])
        else:
            hashes = tuple(root_of(made[child]) for child in tile.children())
        made[tile] = decode_tile(encode_tile(hashes), tile.width)
    return made


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(level=0, index=0), "tile/0/000"),
        (Tile(level=0, index=1000), "tile/0/x001/000"),
        (Tile(level=63, index=1234067, width=1), "tile/63/x001/x234/067.p/1"),
        (Tile(level=2, index=999, width=255), "tile/2/999.p/255"),
        (Bundle(index=0, width=13), "tile/entries/000.p/13"),
        (Bundle(index=1234067), "tile/entries/x001/x234/067"),
        (Tile(level=0, index=2**55 - 1), "tile/0/x036/x028/x797/x018/x963/967"),
    ],
)
def test_paths(tile: Tile | Bundle, path: str) -> None:
    assert tile.path == path
    assert parse_path(path) == tile


@given(st.integers(0, 2**55 - 1), st.integers(0, 63), st.integers(1, 256))
def test_paths_round_trip(index: int, level: int, width: int) -> None:
    tile, bundle = Tile(level=level, index=index, width=width), Bundle(index=index, width=width)
    assert parse_path(tile.path) == tile
    assert parse_path(bundle.path) == bundle


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/00/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/0/001/000",
        "tile/0/x000/001",
        "tile/0/x001",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/",
        "tile/0/000.P/1",
        "tile/0/000/",
        "/tile/0/000",
        "tile/0/../000",
        "tile/0/000\n",
        "tile/0/\u0660\u0660\u0660",
        "tile/data/000",
        "tile/Entries/000",
        "tile/0/" + "x001/" * 9 + "000",
        "tile/0/x036/x028/x797/x018/x963/968",
    ],
)
def test_paths_that_are_none(path: str) -> None:
    with refused("TILE_PATH"):
        parse_path(path)


@pytest.mark.parametrize(("level", "index", "width"), [(-1, 0, 1), (64, 0, 1), (0, -1, 1), (0, 0, 0), (0, 0, 257)])
def test_tiles_that_are_none(level: int, index: int, width: int) -> None:
    with refused("TILE_PATH"):
        Tile(level=level, index=index, width=width)


def test_what_a_size_needs() -> None:
    paths = [tile.path for tile in tiles(70_000)]
    assert len(paths) == 273 + 1 + 1 + 1 + 1
    assert paths[272:] == ["tile/0/272", "tile/0/273.p/112", "tile/1/000", "tile/1/001.p/17", "tile/2/000.p/1"]
    assert [tile.path for tile in tiles(256)] == ["tile/0/000", "tile/1/000.p/1"]
    assert [tile.path for tile in tiles(255)] == ["tile/0/000.p/255"]
    assert [*tiles(0), *bundles(0)] == []
    assert [bundle.path for bundle in bundles(300)] == ["tile/entries/000", "tile/entries/001.p/44"]


@settings(deadline=None)
@given(st.integers(0, 70_000), st.integers(0, 2_000))
def test_new_tiles_are_the_difference(old: int, more: int) -> None:
    listed = list(new_tiles(old, old + more))
    before = {*tiles(old), *bundles(old)}
    after = [*bundles(old + more), *tiles(old + more)]
    assert listed == [each for each in after if each not in before]


def test_new_tiles_of_sizes_in_the_wrong_order() -> None:
    for old, new in ((5, 4), (-1, 4), (0, 2**63)):
        with refused("TILE_SIZE"):
            new_tiles(old, new)


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 300, 511, 512, 4_097, 65_536, 65_537, 70_000])
def test_frontier_and_proofs_out_of_tiles(size: int) -> None:
    made = build(size)
    needed = frontier_tiles(size)
    assert frontier_of(size, {tile: made[tile] for tile in needed}).root() == root_of(LEAVES[:size])
    for index in {0, size // 3, size // 2, size - 1}:
        ranges = inclusion_ranges(index, size)
        proof = roots(ranges, size, {tile: made[tile] for tile in tiles_for(ranges, size)})
        assert proof == inclusion_proof(LEAVES[:size], index)
        ranges = consistency_ranges(index + 1, size)
        proof = roots(ranges, size, {tile: made[tile] for tile in tiles_for(ranges, size)})
        assert proof == consistency_proof(LEAVES[:size], index + 1)
        verify_consistency(index + 1, root_of(LEAVES[: index + 1]), size, root_of(LEAVES[:size]), proof)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 3_000), st.data())
def test_any_proof_out_of_tiles(size: int, data: st.DataObject) -> None:
    made = build(size)
    index = data.draw(st.integers(0, size - 1))
    assert roots(inclusion_ranges(index, size), size, made) == inclusion_proof(LEAVES[:size], index)
    assert roots(consistency_ranges(index + 1, size), size, made) == consistency_proof(LEAVES[:size], index + 1)
    extension: Extension = extend(frontier_of(size, made), LEAVES[size : size + 10])
    assert extension.root == root_of(LEAVES[: size + 10])


def test_a_proof_says_which_tile_is_missing() -> None:
    with refused("TILE_MISSING"):
        roots(inclusion_ranges(0, 300), 300, {})
    assert frontier_tiles(0) == ()
    assert frontier_of(0, {}) == Frontier()


def test_15_a_flipped_byte_of_a_tile_leads_to_another_root() -> None:
    made = build(300)
    tile = Tile(level=0, index=1, width=44)
    flipped = bytes([made[tile][3][0] ^ 1]) + made[tile][3][1:]
    made[tile] = (*made[tile][:3], flipped, *made[tile][4:])
    assert frontier_of(300, made).root() != root_of(LEAVES[:300])


@pytest.mark.parametrize(
    ("raw", "width"), [(b"", 1), (bytes(31), 1), (bytes(64), 1), (bytes(32), 2), (bytes(8192), 255)]
)
def test_16_tiles_of_another_width(raw: bytes, width: int) -> None:
    with refused("TILE_LENGTH"):
        decode_tile(raw, width)


@pytest.mark.parametrize("hashes", [[], [bytes(31)], [bytes(32)] * 257])
def test_tiles_that_cannot_be_written(hashes: list[bytes]) -> None:
    with refused("TILE_LENGTH"):
        encode_tile(hashes)


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=256))
def test_bundles_round_trip_and_a_narrower_one_is_a_prefix(entries: list[bytes]) -> None:
    raw = encode_bundle(entries)
    assert decode_bundle(raw, len(entries)) == tuple(entries)
    assert raw.startswith(encode_bundle(entries[: len(entries) // 2 + 1]))
    for wrong in (raw + b"\0", raw[:-1], raw + b"\0\0"):
        with refused("BUNDLE_FORMAT"):
            decode_bundle(wrong, len(entries))
    with refused("BUNDLE_FORMAT"):
        decode_bundle(raw, len(entries) + 1)


def test_the_longest_entry() -> None:
    assert decode_bundle(encode_bundle([bytes(65_535)]), 1) == (bytes(65_535),)
    for entries in ([bytes(65_536)], [], [b""] * 257):
        with refused("BUNDLE_FORMAT"):
            encode_bundle(entries)
