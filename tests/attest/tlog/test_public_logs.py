"""Notes, tiles and proofs that other implementations made: Tessera, Sunlight, torchwood, sum.golang.org, Rekor."""

from __future__ import annotations

import base64
import json
import re
from itertools import pairwise
from pathlib import Path

import pytest

from attest.errors import NotLogged
from attest.tlog.checkpoint import Checkpoint, open_checkpoint
from attest.tlog.keys import KeyType, VerifierKey
from attest.tlog.merkle import Extension, Frontier, extend, leaf_hash, root_of
from attest.tlog.note import Note, open_note
from attest.tlog.proof_file import ProofFile, verify
from attest.tlog.proofs import consistency_ranges, verify_consistency, verify_inclusion
from attest.tlog.tile_tree import frontier_of, roots
from attest.tlog.tiles import Bundle, Tile, decode_bundle, decode_tile, encode_bundle, encode_tile, parse_path, tiles
from tests.attest.tlog.refusal import refused
from tests.vectors import VECTORS, needs_vectors

TLOG = (VECTORS or Path("absent")) / "tlog"
TESSERA = TLOG / "tessera/testdata/log"
SUNLIGHT = TLOG / "sunlight/cmd/skylight/testdata"
LITEWITNESS = TLOG / "torchwood/cmd/litewitness/testdata"
REKOR = TLOG / "sigstore/test/assets"

TESSERA_ORIGIN = "example.com/log/testdata"
TESSERA_KEY = VerifierKey.parse(f"{TESSERA_ORIGIN}+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx")
WIT1 = VerifierKey.parse("Wit1+9b3fb2d5+BFhZSmQj9+SoL+p/nN0Hh76xXmF7QcHfytUrI1XfSClk")
SUM_DB = VerifierKey.parse("sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8")
SIGSUM_ORIGIN = "sigsum.org/v1/tree/4d6d8825a6bb689d459628312889dfbb0bcd41b5211d9e1ce768b0ff0309e562"
SIGSUM_RAW_KEY = bytes.fromhex("ffdc2d4d98e4124d3feaf788c0c2f9abfd796083d1f0495437f302ec79cf100f")
SIGSUM_KEY = VerifierKey(name=SIGSUM_ORIGIN, type=KeyType.ED25519, key=SIGSUM_RAW_KEY)
MIRROR_HASH = "000de184301123b9278c086a7d9f68c9577e83872224c197058fd90784ea9706"


def tessera_entries(size: int) -> tuple[bytes, ...]:
    if size == 0:
        return ()
    return decode_bundle((TESSERA / Bundle(index=0, width=size).path).read_bytes(), size)


@needs_vectors(16)
@pytest.mark.parametrize("size", range(16))
def test_tessera(size: int) -> None:
    signed = open_checkpoint((TESSERA / f"checkpoint.{size}").read_bytes(), TESSERA_ORIGIN, [TESSERA_KEY])
    entries = tessera_entries(size)
    hashes = [leaf_hash(entry) for entry in entries]
    assert signed.checkpoint == Checkpoint(origin=TESSERA_ORIGIN, size=size, root=root_of(hashes))
    stored = {tile: decode_tile((TESSERA / tile.path).read_bytes(), tile.width) for tile in tiles(size)}
    assert [encode_tile(each) for each in stored.values()] == ([b"".join(hashes)] if size else [])
    assert frontier_of(size, stored).root() == signed.checkpoint.root
    if entries:
        assert encode_bundle(entries) == (TESSERA / Bundle(index=0, width=size).path).read_bytes()


@needs_vectors(15)
def test_tessera_grew_consistently_and_by_our_appending() -> None:
    trees = [Checkpoint.parse(Note.parse((TESSERA / f"checkpoint.{size}").read_bytes()).text) for size in range(16)]
    hashes = [leaf_hash(entry) for entry in tessera_entries(15)]
    grown = extend(Frontier(), [])
    for old, new in pairwise(trees):
        grown = extend(grown.frontier, hashes[old.size : new.size])
        assert grown.root == new.root
        verify_inclusion(hashes[old.size], old.size, new.size, grown.inclusion(old.size), new.root)
        if old.size:
            proof = roots(consistency_ranges(old.size, new.size), new.size, {tile_of(new.size): hashes[: new.size]})
            verify_consistency(old.size, old.root, new.size, new.root, proof)
    assert isinstance(grown, Extension)


def tile_of(size: int) -> Tile:
    (tile,) = tiles(size)
    return tile


@needs_vectors(2)
@pytest.mark.parametrize("name", ["tessera-index5-size13", "tessera-index5-size13-extra-leaf"])
def test_generated_proofs(name: str) -> None:
    raw = (TLOG / f"generated/{name}.tlog-proof").read_bytes()
    proof = ProofFile.parse(raw)
    assert proof.encode() == raw
    assert proof.extra == (b"six" if "extra" in name else None)
    signed = verify(proof, b"six", TESSERA_ORIGIN, [TESSERA_KEY, WIT1])
    assert [(each.key.name, each.timestamp) for each in signed.witnesses] == [("Wit1", 1_767_139_200)]
    with refused("PROOF_ROOT"):
        verify(proof, b"seven", TESSERA_ORIGIN, [TESSERA_KEY, WIT1])
    with refused("COSIGNATURE_TIME"):
        verify(proof, b"six", TESSERA_ORIGIN, [TESSERA_KEY, WIT1], now=1_767_139_199)


@needs_vectors(3)
@pytest.mark.parametrize(
    ("keys", "note", "origin"),
    [
        ("witness/witness.v0.json", f"witness/{MIRROR_HASH}/checkpoint", "rome2026h1.example.org"),
        ("witness/mirror/mirror.v0.json", f"witness/mirror/{MIRROR_HASH}/checkpoint", "rome2026h1.example.org"),
        (
            "witness2/witness.v0.json",
            "witness2/88ad7a28caeb0b2aa890fdf0304c2fcaf59fca2ee140134ff8c1300bac493482/checkpoint",
            "milan2026h1.example.org",
        ),
    ],
)
def test_sunlight_witnesses(keys: str, note: str, origin: str) -> None:
    (vkey,) = json.loads((SUNLIGHT / keys).read_bytes())["verifier_keys"]
    raw = (SUNLIGHT / note).read_bytes()
    opened = open_note(raw, [VerifierKey.parse(vkey)])
    assert Checkpoint.parse(opened.text).origin == origin
    assert [each.timestamp for each in opened.signatures] == [1_767_139_200]
    with refused("CHECKPOINT_UNSIGNED"):
        open_checkpoint(raw, origin, [VerifierKey.parse(vkey)])


@needs_vectors(1)
def test_sunlight_mirror_tiles_lead_to_its_checkpoint() -> None:
    folder = SUNLIGHT / "witness/mirror" / MIRROR_HASH
    tree = Checkpoint.parse(Note.parse((folder / "checkpoint").read_bytes()).text)
    stored = {tile: decode_tile((folder / tile.path).read_bytes(), tile.width) for tile in tiles(tree.size)}
    assert frontier_of(tree.size, stored).root() == tree.root
    first, top = Tile(level=0, index=0), Tile(level=1, index=0, width=1)
    assert root_of(stored[first]) == stored[top][0]
    assert root_of([*stored[first], *stored[Tile(level=0, index=1, width=44)]]) == tree.root


@needs_vectors(1)
def test_a_decoy_and_a_fake_tile_are_refused() -> None:
    with refused("NOTE_FORMAT"):
        Note.parse((SUNLIGHT / "witness/checkpoint").read_bytes())
    with refused("TILE_LENGTH"):
        decode_tile((SUNLIGHT / "tree/tile/0/000").read_bytes(), 256)


@needs_vectors(35)
def test_the_paths_of_real_logs_read_back() -> None:
    seen = 0
    for root in (TESSERA, SUNLIGHT / "witness/mirror" / MIRROR_HASH):
        for file in sorted((root / "tile").rglob("*")):
            if file.is_file():
                path = file.relative_to(root).as_posix()
                assert parse_path(path).path == path
                seen += 1
    assert seen == 35


def hurl_bodies(name: str) -> list[tuple[bytes, int]]:
    """The requests of a litewitness script with the status they must get."""
    text = (LITEWITNESS / name).read_text(encoding="utf-8")
    found = re.findall(r"```\n(.*?)```\nHTTP (\d+)", text, re.DOTALL)
    return [(body.encode(), int(status)) for body, status in found]


ROOTS = {
    1: base64.b64decode("KgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
    3: base64.b64decode("RcCI1Nk56ZcSmIEfIn0SleqtV7uvrlXNccFx595Iwl0="),
}


STATUS = {"NOTE_SIGNATURE": 403, "NOTE_UNSIGNED": 403, "CHECKPOINT_ORIGIN": 403, "PROOF_LENGTH": 422, "PROOF_ROOT": 422}


def add_checkpoint(body: bytes) -> int:
    """What a witness that knows one log, and its roots at 1 and 3, has to answer."""
    head, _, raw = body.partition(b"\n\n")
    old, *hashes = head.decode().split("\n")
    size = int(old.removeprefix("old "))
    try:
        tree = open_checkpoint(raw, SIGSUM_ORIGIN, [SIGSUM_KEY]).checkpoint
        if size:
            verify_consistency(size, ROOTS[size], tree.size, tree.root, [base64.b64decode(each) for each in hashes])
    except NotLogged as error:
        return STATUS[error.check]
    return 200


@needs_vectors(7)
def test_litewitness_conversation() -> None:
    """Without the answers 409, which are about the witness's own state."""
    bodies = [each for each in hurl_bodies("litewitness.txt") if each[1] != 409]
    assert [status for _, status in bodies] == [200, 403, 403, 422, 422, 200, 200]
    assert [add_checkpoint(body) for body, _ in bodies] == [status for _, status in bodies]


@needs_vectors(1)
def test_a_log_whose_key_has_another_name_than_its_origin() -> None:
    ((body, _),) = hurl_bodies("sumdb.txt")
    raw = body.partition(b"\n\n")[2]
    signed = open_checkpoint(raw, "go.sum database tree", [SUM_DB])
    assert signed.checkpoint.size == 35_225_469
    with refused("NOTE_SIGNATURE"):
        open_checkpoint(raw.replace(b"35225469", b"35225468"), "go.sum database tree", [SUM_DB])


@needs_vectors(2)
@pytest.mark.parametrize("name", ["staging-rekor-v2.txt", "a.dsse.staging-rekor-v2.txt"])
def test_rekor_staging(name: str) -> None:
    trusted = json.loads((TLOG / "sigstore/staging_trusted_root.json").read_bytes())["tlogs"]
    document = json.loads((REKOR / f"{name}.sigstore.json").read_bytes())
    (entry,) = document["verificationMaterial"]["tlogEntries"]
    proof = entry["inclusionProof"]
    (spki,) = [each["publicKey"]["rawBytes"] for each in trusted if each["logId"]["keyId"] == entry["logId"]["keyId"]]
    raw = proof["checkpoint"]["envelope"].encode()
    origin = raw.decode().split("\n")[0]
    key = VerifierKey(name=origin, type=KeyType.ED25519, key=base64.b64decode(spki)[-32:])
    file = ProofFile(
        index=int(proof["logIndex"]),
        hashes=tuple(base64.b64decode(each) for each in proof["hashes"]),
        checkpoint=raw,
    )
    signed = verify(file, base64.b64decode(entry["canonicalizedBody"]), origin, [key])
    assert signed.checkpoint.root == base64.b64decode(proof["rootHash"])
