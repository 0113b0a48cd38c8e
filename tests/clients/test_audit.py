"""Audits of published logs: clean ones of every shape, and each attack of the threat model with what must be found.

`python -m tests.clients.test_audit` measures entries per second.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from attest.tlog import tiles
from attest.tlog.keys import SignerKey
from attest.tlog.merkle import leaf_hash, root_of
from attest.tlog.note import Note, sign_text
from clients.auditor.report import LEVELS, Report, Verdict
from clients.auditor.source import Directory, Source
from clients.auditor.tree import GrowingTree
from clients.auditor.verify import verify
from clients.errors import ClientError, NotTrusted, Usage
from clients.trust import Trust
from tests.makers.log import SEED, MadeLog, edit, make_log, resequence

SIZE = 300  # two bundles, a tile of level 1
SAVED = 200  # what the auditor saw before


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> MadeLog:
    """Published at 200 and at 300 entries. Tests copy it before they change it."""
    return make_log(tmp_path_factory.mktemp("made") / "log", SIZE, stops=[SAVED])


def audit(log: MadeLog, directory: Path | None = None, trust: Trust | None = None, **anchors: Any) -> Report:
    return verify(Directory(directory or log.directory), trust or log.trust, **anchors)


def failed(report: Report) -> set[tuple[str, str, int | None]]:
    """Level, check and entry of what failed."""
    found = {(level.name, level.finding.check, level.finding.index) for level in report.levels if level.finding}
    assert {level.name for level in report.levels if level.outcome == "failed"} == {name for name, _, _ in found}
    return found


def outcomes(report: Report) -> str:
    return " ".join(level.outcome for level in report.levels)


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 1000])
def test_clean_logs_pass(tmp_path: Path, size: int) -> None:
    log = make_log(tmp_path, size)
    report = audit(log, saved=log.checkpoint(max(1, size // 2)), receipts={"r": log.receipt(size - 1)})
    assert (report.verdict, report.size, report.origin) == (Verdict.OK, size, "sealgate.test/audit/1")
    assert outcomes(report) == "passed " * 5 + "passed"
    assert report.root == root_of([leaf_hash(each) for each in log.leaves])
    assert report.anchored == size
    assert "UNANCHORED" not in report.text()


def test_without_anchor_it_says_so_loudly(log: MadeLog) -> None:
    report = audit(log)
    assert (report.verdict, report.verdict.code, report.anchored) == (Verdict.UNANCHORED, 12, 0)
    assert outcomes(report) == "passed passed passed skipped passed passed"
    assert "UNANCHORED" in report.text()
    assert "tail truncation and rewriting by a holder of the log key are not excluded" in report.text()


def test_first_use_is_ok_and_says_so(log: MadeLog) -> None:
    report = audit(log, first_use=True)
    assert (report.verdict, report.checkpoint) == (Verdict.OK, log.checkpoint())
    assert "FIRST USE" in report.text()


def test_what_no_anchor_covers_is_named(log: MadeLog) -> None:
    report = audit(log, saved=log.checkpoint(SAVED))
    assert (report.verdict, report.anchored) == (Verdict.OK, SAVED)
    assert "anchored up to entry 199; later entries rest on the log key alone" in report.text()


# The attacks of facts/log.md section 3. `make` changes a copy of the published log; what an auditor finds who has only
# the files, who has a saved checkpoint of 200 entries as well, who has a receipt of entry 290 instead.

Found = tuple[Verdict, Sequence[tuple[str, str, int | None]]]
NOTHING: Found = (Verdict.UNANCHORED, [])
FINE: Found = (Verdict.OK, [])


def tampered(*found: tuple[str, str, int | None]) -> Found:
    return Verdict.TAMPERED, found


@dataclass(frozen=True, kw_only=True)
class Attack:
    make: Callable[[MadeLog, Path], object]
    files: Found
    state: Found | None = None  # None: as with the files alone
    receipt: Found | None = None


def _body(name: str, value: object) -> Callable[[bytes], bytes]:
    return lambda raw: edit(raw, lambda body: {**body, name: value})


def _bundle(at: int, change: Callable[[list[bytes]], object]) -> Callable[[MadeLog, Path], None]:
    """Changes the entries of one bundle and nothing else."""

    def make(log: MadeLog, directory: Path) -> None:
        piece = list(tiles.bundles(len(log.leaves)))[at]
        path = directory / piece.path
        entries = list(tiles.decode_bundle(path.read_bytes(), piece.width))
        change(entries)
        path.write_bytes(tiles.encode_bundle(entries))

    return make


def _signed(change: Callable[[list[bytes]], Sequence[bytes] | None], *, size: int = SIZE) -> Callable[..., None]:
    """Changes entries, and hashes and signs all of it again."""

    def make(log: MadeLog, directory: Path) -> None:
        leaves = list(log.leaves[:size])
        shutil.rmtree(directory)
        log.forge(directory, change(leaves) or leaves)

    return make


def _hashed(log: MadeLog, directory: Path) -> None:
    """2: leaf and every hash above it, but nobody to sign."""
    genuine = (directory / "checkpoint").read_bytes()
    _signed(lambda leaves: leaves.__setitem__(100, _body("reason", "OTHER")(leaves[100])))(log, directory)
    (directory / "checkpoint").write_bytes(genuine)


def _truncated(log: MadeLog, directory: Path) -> None:
    (directory / "checkpoint").write_bytes(log.checkpoint(SAVED - 50))
    shutil.rmtree(directory / "tile")
    log.forge(directory / "older", log.leaves[: SAVED - 50])
    (directory / "older" / "tile").rename(directory / "tile")


def _flip(path: str, at: int = 40) -> Callable[[MadeLog, Path], None]:
    def make(log: MadeLog, directory: Path) -> None:
        raw = bytearray((directory / path).read_bytes())
        raw[at % len(raw)] ^= 1
        (directory / path).write_bytes(raw)

    return make


def _edited(index: int, **changes: object) -> Callable[[list[bytes]], None]:
    """Other header fields, or another value for a field of the body (`b_<name>`)."""

    def change(leaves: list[bytes]) -> None:
        body = {name.removeprefix("b_"): value for name, value in changes.items() if name.startswith("b_")}
        header = {name: value for name, value in changes.items() if not name.startswith("b_")}
        leaves[index] = edit(leaves[index], lambda old: {**old, **body}, **header)

    return change


def _swap(leaves: list[bytes]) -> None:
    leaves[100], leaves[150] = leaves[150], leaves[100]


def _skip_link(leaves: list[bytes]) -> None:
    """13: entry 101 is left out of the chains of its assets, and whoever follows does as if it had never been."""
    thinned = [edit(raw, chains=()) if n == 101 else raw for n, raw in enumerate(leaves)]
    leaves[:] = resequence(thinned)


def _checkpoint(change: Callable[[bytes], bytes]) -> Callable[[MadeLog, Path], None]:
    def make(log: MadeLog, directory: Path) -> None:
        path = directory / "checkpoint"
        path.write_bytes(change(path.read_bytes()))

    return make


def _by(seed: bytes, name: str = "sealgate.test/audit/1") -> Callable[[bytes], bytes]:
    """The checkpoint under another name or signed by another key."""

    def change(raw: bytes) -> bytes:
        text = Note.parse(raw).text.replace(b"sealgate.test/audit/1", name.encode())
        return sign_text(text, SignerKey.from_seed(name, seed)).encode()

    return change


def _with_bad_line(raw: bytes) -> bytes:
    """21: a second line of the same key, with another signature."""
    note = Note.parse(raw)
    line = note.signatures[0]
    return replace(note, signatures=(line, replace(line, blob=bytes(64)))).encode()


def _other_size(log: MadeLog, directory: Path) -> None:
    """18: the right root, signed with a wrong size."""
    root = root_of([leaf_hash(each) for each in log.leaves])
    (directory / "checkpoint").write_bytes(log.signer.checkpoint(SIZE - 1, root))


def _narrower_tile(log: MadeLog, directory: Path) -> None:
    """16: a tile of another size under this size's path."""
    path = directory / "tile/0/001.p/44"
    path.write_bytes(path.read_bytes()[: 43 * 32])


def _spliced(log: MadeLog, directory: Path) -> None:
    other = make_log(directory / "shard2", 120, shard=2)
    _signed(lambda leaves: leaves.__setitem__(100, other.leaves[100]))(log, directory)


def _directory_for_a_tile(log: MadeLog, directory: Path) -> None:
    (directory / "tile/0/000").unlink()
    (directory / "tile/0/000").mkdir()


def _tile_missing_leaf_edited(log: MadeLog, directory: Path) -> None:
    (directory / "tile/0/000").unlink()
    _bundle(1, _edited(0, b_reason="OTHER"))(log, directory)


ROOT = ("V3", "ROOT", None)
INDEX, RECEIPT = ("V2", "ENTRY_INDEX", 100), ("V4", "RECEIPT_FORK", SIZE - 1)
FORK = ("V4", "STATE_FORK", SAVED - 1)
CHAIN = ("V6", "ASSET_CHAIN", 101)

ATTACKS = {
    "1 leaf edited": Attack(
        make=_bundle(0, _edited(100, b_reason="OTHER")),
        files=tampered(("V3", "TILE_HASH", 100)),
        state=tampered(("V3", "TILE_HASH", 100), FORK),
        receipt=tampered(("V3", "TILE_HASH", 100), RECEIPT),
    ),
    "2 leaf and hashes edited": Attack(
        make=_hashed, files=tampered(ROOT), state=tampered(ROOT, FORK), receipt=tampered(ROOT, RECEIPT)
    ),
    "3 row deleted": Attack(
        make=lambda log, directory: (directory / "tile/entries/000").write_bytes(
            tiles.encode_bundle([*log.leaves[:100], *log.leaves[101:256]])
        ),
        files=tampered(("V2", "BUNDLE_FORMAT", 0)),
    ),
    "3 row deleted, signed again": Attack(
        make=_signed(lambda leaves: leaves.__delitem__(100)),
        files=tampered(INDEX, ("V6", "ASSET_CHAIN", 100)),
        state=tampered(INDEX, FORK, ("V6", "ASSET_CHAIN", 100)),
        receipt=(
            Verdict.TAMPERED,
            [INDEX, ("V4", "RECEIPT_ENTRY", 290), ("V6", "ASSET_CHAIN", 100)],
        ),
    ),
    "4 two rows swapped": Attack(
        make=_bundle(0, _swap),
        files=tampered(INDEX, ("V3", "TILE_HASH", 100), ("V5", "TIME_ORDER", 101), ("V6", "ASSET_CHAIN", 100)),
        state=tampered(INDEX, ("V3", "TILE_HASH", 100), FORK, ("V5", "TIME_ORDER", 101), ("V6", "ASSET_CHAIN", 100)),
        receipt=tampered(
            INDEX, ("V3", "TILE_HASH", 100), RECEIPT, ("V5", "TIME_ORDER", 101), ("V6", "ASSET_CHAIN", 100)
        ),
    ),
    "5 tail cut off at an older genuine checkpoint": Attack(
        make=_truncated,
        files=NOTHING,
        state=tampered(("V4", "STATE_SHRANK", None)),
        receipt=(Verdict.STALE, [("V4", "RECEIPT_AHEAD", None)]),
    ),
    "6 backup restored, honest broker continues": Attack(
        make=_signed(
            lambda leaves: resequence([*leaves[:150], *(_body("node", "other")(raw) for raw in leaves[150:])])
        ),
        files=NOTHING,
        state=tampered(FORK),
        receipt=tampered(RECEIPT),
    ),
    "7 key stolen, entry dropped, all renumbered and signed": Attack(
        make=_signed(lambda leaves: resequence([*leaves[:100], *leaves[101:], leaves[100]])[:250]),
        files=NOTHING,
        state=tampered(FORK),
        receipt=(Verdict.STALE, [("V4", "RECEIPT_AHEAD", None)]),
    ),
    "8 key stolen, outcome flipped, all signed": Attack(
        make=_signed(_edited(100, b_type="release.refused")),
        files=NOTHING,
        state=tampered(FORK),
        receipt=tampered(RECEIPT),
    ),
    "9 entry back-dated": Attack(
        make=_signed(_edited(250, t=1_600_000_000_000)),
        files=tampered(("V5", "TIME_ORDER", 250)),
        receipt=tampered(RECEIPT, ("V5", "TIME_ORDER", 250)),
    ),
    "12 leaf not canonical: a key twice": Attack(
        make=_signed(lambda leaves: leaves.__setitem__(250, leaves[250].replace(b'{"b":{', b'{"b":{"account":0,', 1))),
        files=tampered(("V2", "ENTRY_CANONICAL", 250)),
        receipt=tampered(("V2", "ENTRY_CANONICAL", 250), RECEIPT),
    ),
    "12 leaf not canonical: a space": Attack(
        make=_signed(lambda leaves: leaves.__setitem__(250, leaves[250].replace(b'":', b'": ', 1))),
        files=tampered(("V2", "ENTRY_CANONICAL", 250)),
        receipt=tampered(("V2", "ENTRY_CANONICAL", 250), RECEIPT),
    ),
    "13 asset's link skipped": Attack(
        make=_signed(_skip_link), files=tampered(CHAIN), state=tampered(CHAIN, FORK), receipt=tampered(CHAIN, RECEIPT)
    ),
    "14 frozen at an old genuine state": Attack(  # only a witness would notice
        make=_signed(lambda leaves: None, size=SAVED),
        files=NOTHING,
        state=FINE,
        receipt=(Verdict.STALE, [("V4", "RECEIPT_AHEAD", None)]),
    ),
    "15 byte of a full tile": Attack(make=_flip("tile/0/000", 32 * 7), files=tampered(("V3", "TILE_HASH", 7))),
    "15 byte of a partial tile": Attack(make=_flip("tile/0/001.p/44"), files=tampered(("V3", "TILE_HASH", 257))),
    "15 byte of an upper tile": Attack(make=_flip("tile/1/000.p/1"), files=tampered(("V3", "TILE_HASH", 0))),
    "16 tile from another size": Attack(make=_narrower_tile, files=tampered(("V3", "TILE_LENGTH", 256))),
    "17 entry of another shard": Attack(
        make=_spliced,
        files=tampered(("V2", "ENTRY_LOG", 100)),
        state=tampered(("V2", "ENTRY_LOG", 100), FORK),
        receipt=tampered(("V2", "ENTRY_LOG", 100), RECEIPT),
    ),
    "18 right root, wrong size": Attack(
        make=_other_size,
        files=(Verdict.INCOMPLETE, [("V2", "BUNDLE_MISSING", 256)]),
        receipt=(Verdict.INCOMPLETE, [("V2", "BUNDLE_MISSING", 256), ("V4", "RECEIPT_AHEAD", None)]),
    ),
    "19 signed by another key under the log's name": Attack(
        make=_checkpoint(_by(bytes(32))), files=tampered(("V1", "NOTE_UNSIGNED", None))
    ),
    "21 a second signature that does not verify": Attack(
        make=_checkpoint(_with_bad_line), files=tampered(("V1", "NOTE_SIGNATURE", None))
    ),
    "22 extension line": Attack(
        make=_checkpoint(lambda raw: raw.replace(b"\n\n", b"\nmore\n\n", 1)),
        files=tampered(("V1", "NOTE_SIGNATURE", None)),
    ),
    "24 final newline missing": Attack(
        make=_checkpoint(lambda raw: raw[:-1]), files=tampered(("V1", "NOTE_FORMAT", None))
    ),
    "log of another deployment, signed by its own key": Attack(
        make=_checkpoint(_by(SEED, "elsewhere.test/audit/1")), files=tampered(("V1", "CHECKPOINT_ORIGIN", None))
    ),
    "checkpoint empty": Attack(make=_checkpoint(lambda raw: b""), files=tampered(("V1", "NOTE_FORMAT", None))),
    "genesis names another key": Attack(
        make=_signed(_edited(0, b_log_key="sealgate.test/audit/1+00000000+AQ==")),
        files=tampered(("V6", "GENESIS_KEY", 0)),
        state=tampered(FORK, ("V6", "GENESIS_KEY", 0)),
        receipt=tampered(RECEIPT, ("V6", "GENESIS_KEY", 0)),
    ),
    "genesis key of a wrong kind": Attack(
        make=_signed(_edited(0, b_log_key=[])),
        files=tampered(("V6", "GENESIS_KEY", 0)),
        state=tampered(FORK, ("V6", "GENESIS_KEY", 0)),
        receipt=tampered(RECEIPT, ("V6", "GENESIS_KEY", 0)),
    ),
    "genesis of another deployment": Attack(
        make=_signed(_edited(0, b_deployment="elsewhere.test")),
        files=tampered(("V6", "GENESIS_DEPLOYMENT", 0)),
        state=tampered(FORK, ("V6", "GENESIS_DEPLOYMENT", 0)),
        receipt=tampered(RECEIPT, ("V6", "GENESIS_DEPLOYMENT", 0)),
    ),
    "no genesis": Attack(
        make=_signed(lambda leaves: resequence(leaves[1:])),
        files=tampered(("V6", "GENESIS_PLACE", 0)),
        state=tampered(FORK, ("V6", "GENESIS_PLACE", 0)),
        receipt=tampered(("V4", "RECEIPT_ENTRY", 290), ("V6", "GENESIS_PLACE", 0)),
    ),
    "a second genesis": Attack(
        make=_signed(_edited(250, b_type="log.genesis")),
        files=tampered(("V6", "GENESIS_PLACE", 250)),
        receipt=tampered(RECEIPT, ("V6", "GENESIS_PLACE", 250)),
    ),
    "change hidden from the governance chain": Attack(
        make=_signed(_edited(287, gp=None, gs=None)),
        files=tampered(("V6", "GOVERNANCE_CHAIN", 287)),
        receipt=tampered(RECEIPT, ("V6", "GOVERNANCE_CHAIN", 287)),
    ),
    "governance number skipped": Attack(
        make=_signed(_edited(287, gp=246, gs=99)),
        files=tampered(("V6", "GOVERNANCE_CHAIN", 287)),
        receipt=tampered(RECEIPT, ("V6", "GOVERNANCE_CHAIN", 287)),
    ),
    "an entry made under simulated anchors": Attack(
        make=_signed(_edited(250, b_simulated=False)),
        files=tampered(("V2", "ENTRY_SIMULATED", 250)),
        receipt=tampered(("V2", "ENTRY_SIMULATED", 250), RECEIPT),
    ),
    "an entry that does not say if it is simulated": Attack(
        make=_signed(_edited(250, b_simulated=1)),
        files=tampered(("V2", "ENTRY_SIMULATED", 250)),
        receipt=tampered(("V2", "ENTRY_SIMULATED", 250), RECEIPT),
    ),
    "an entry without a type": Attack(
        make=_signed(_edited(250, b_type=None)),
        files=tampered(("V2", "ENTRY_FORMAT", 250)),
        receipt=tampered(("V2", "ENTRY_FORMAT", 250), RECEIPT),
    ),
    "an entry of a schema to come": Attack(
        make=_signed(
            lambda leaves: leaves.__setitem__(250, leaves[250].replace(b"sealgate.audit/1", b"sealgate.audit/2"))
        ),
        files=(Verdict.INCOMPLETE, [("V2", "ENTRY_VERSION", 250)]),
        receipt=tampered(("V2", "ENTRY_VERSION", 250), RECEIPT),
    ),
    "checkpoint missing": Attack(
        make=lambda log, directory: (directory / "checkpoint").unlink(),
        files=(Verdict.INCOMPLETE, [("V1", "CHECKPOINT_MISSING", None)]),
    ),
    "full bundle missing": Attack(
        make=lambda log, directory: (directory / "tile/entries/000").unlink(),
        files=(Verdict.INCOMPLETE, [("V2", "BUNDLE_MISSING", 0)]),
    ),
    "partial bundle missing": Attack(
        make=lambda log, directory: (directory / "tile/entries/001.p/44").unlink(),
        files=(Verdict.INCOMPLETE, [("V2", "BUNDLE_MISSING", 256)]),
    ),
    "full tile missing": Attack(
        make=lambda log, directory: (directory / "tile/0/000").unlink(),
        files=(Verdict.INCOMPLETE, [("V3", "TILE_MISSING", 0)]),
    ),
    "upper tile missing": Attack(
        make=lambda log, directory: (directory / "tile/1/000.p/1").unlink(),
        files=(Verdict.INCOMPLETE, [("V3", "TILE_MISSING", 0)]),
    ),
    "a directory where a tile should be": Attack(
        make=_directory_for_a_tile,
        files=(Verdict.INCOMPLETE, [("V3", "TILE_MISSING", 0)]),
    ),
    "tile missing and a leaf edited: the worse counts": Attack(
        make=_tile_missing_leaf_edited,
        files=tampered(("V3", "TILE_HASH", 256)),
        receipt=tampered(("V3", "TILE_HASH", 256), RECEIPT),
    ),
}


@pytest.mark.parametrize("held", ["files", "state", "receipt"])
@pytest.mark.parametrize("name", ATTACKS)
def test_attacks(log: MadeLog, tmp_path: Path, name: str, held: str) -> None:
    attack, directory = ATTACKS[name], tmp_path / "log"
    shutil.copytree(log.directory, directory)
    attack.make(log, directory)
    anchors: dict[str, dict[str, Any]] = {
        "state": {"saved": log.checkpoint(SAVED)},
        "receipt": {"receipts": {"r": log.receipt(290)}},
    }
    verdict, found = getattr(attack, held) or attack.files
    report = audit(log, directory, **anchors.get(held, {}))
    assert failed(report) == set(found), report.text()
    assert report.verdict is verdict
    assert report.text().startswith("SIMULATED")


def test_a_byte_flipped_in_any_file_is_found(tmp_path: Path) -> None:
    log = make_log(tmp_path, 257)
    files = {path.relative_to(tmp_path): path for path in sorted(tmp_path.rglob("*")) if path.is_file()}
    assert [str(name) for name in files] == [
        "checkpoint",
        "tile/0/000",
        "tile/0/001.p/1",
        "tile/1/000.p/1",
        "tile/entries/000",
        "tile/entries/001.p/1",
    ]
    held = log.checkpoint(100)
    for name, path in files.items():
        raw = path.read_bytes()
        step = 1 if len(raw) < 300 else len(raw) // 40
        for at in sorted({*range(0, len(raw), step), len(raw) - 1}):
            path.write_bytes(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :])
            report = audit(log, saved=held)
            assert report.verdict is Verdict.TAMPERED, (name, at, report.text())
        for changed in (raw[:-1], raw + b"\0", b""):
            path.write_bytes(changed)
            assert audit(log, saved=held).verdict is Verdict.TAMPERED, (name, len(changed))
        path.write_bytes(raw)
    assert audit(log, saved=held).verdict is Verdict.OK


def test_base64_with_other_unused_bits_is_found(log: MadeLog, tmp_path: Path) -> None:
    shutil.copytree(log.directory, tmp_path / "log")
    path = tmp_path / "log" / "checkpoint"
    raw = path.read_bytes()
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    path.write_bytes(raw[:-3] + alphabet[alphabet.index(raw[-3]) + 1 :][:1] + raw[-2:])
    assert failed(audit(log, tmp_path / "log")) == {("V1", "NOTE_CANONICAL", None)}


def test_a_mirror_may_have_the_full_piece_instead_of_the_partial(tmp_path: Path) -> None:
    log = make_log(tmp_path / "log", 512, stops=[300])
    (tmp_path / "log/checkpoint").write_bytes(log.checkpoint(300))
    for partial in (tmp_path / "log").rglob("001.p"):
        shutil.rmtree(partial)
    report = audit(log, saved=log.checkpoint(200))
    assert (report.verdict, report.size) == (Verdict.OK, 300)


RECEIPTS: dict[str, tuple[Callable[[MadeLog], bytes], Verdict]] = {
    "with its entry": (lambda log: log.receipt(17, 100), Verdict.OK),
    "without its entry": (lambda log: log.receipt(17, 100, with_leaf=False), Verdict.OK),
    "of a tree of one": (lambda log: log.receipt(0, 1), Verdict.OK),
    "of the whole tree": (lambda log: log.receipt(SIZE - 1), Verdict.OK),
    "of a later tree, entry here": (lambda log: _longer(log).receipt(17), Verdict.STALE),
    "of a later tree and entry": (lambda log: _longer(log).receipt(SIZE), Verdict.STALE),
    "of another history": (lambda log: _other(log).receipt(17, 100), Verdict.TAMPERED),
    "of another history, without its entry": (
        lambda log: _other(log).receipt(17, 100, with_leaf=False),
        Verdict.TAMPERED,
    ),
    "of another history and a later tree": (lambda log: _longer(_other(log)).receipt(17), Verdict.TAMPERED),
}


def _longer(log: MadeLog) -> MadeLog:
    return replace(log, leaves=(*log.leaves, *log.leaves[-5:]))


def _other(log: MadeLog) -> MadeLog:
    leaves = list(log.leaves)
    leaves[17] = _body("reason", "OTHER")(leaves[17])
    return replace(log, leaves=tuple(leaves))


@pytest.mark.parametrize("name", RECEIPTS)
def test_receipts(log: MadeLog, name: str) -> None:
    make, verdict = RECEIPTS[name]
    report = audit(log, receipts={"mine.tlog-proof": make(log)})
    assert report.verdict is verdict, report.text()
    assert (report.anchored > 0) == (verdict is Verdict.OK)


def test_one_bad_receipt_among_good_ones_counts(log: MadeLog) -> None:
    good = {f"r{n}": log.receipt(n, n + 1 + n % 7) for n in range(0, 280, 13)}
    assert audit(log, receipts=good).verdict is Verdict.OK
    report = audit(log, receipts={**good, "bad": _other(log).receipt(200, 260)})
    assert failed(report) == {("V4", "RECEIPT_FORK", 259)}


UNUSABLE: dict[str, tuple[Callable[[MadeLog], dict[str, Any]], type[ClientError], str]] = {
    "receipt that is none": (lambda log: {"receipts": {"r": b"hello"}}, NotTrusted, "PROOF_FORMAT"),
    "receipt of another shard": (
        lambda log: {"receipts": {"r": _shard(log, 2).receipt(3)}},
        NotTrusted,
        "NOTE_UNSIGNED",
    ),
    "receipt whose proof does not hold": (
        lambda log: {"receipts": {"r": log.receipt(17).replace(b"index 17", b"index 18")}},
        NotTrusted,
        "PROOF_",
    ),
    "receipt beyond its own tree": (
        lambda log: {"receipts": {"r": log.receipt(9, 10, with_leaf=False).replace(b"index 9", b"index 10")}},
        NotTrusted,
        "PROOF_INDEX",
    ),
    "state that is empty": (lambda log: {"saved": b""}, Usage, "NOTE_FORMAT"),
    "state that nobody signed": (lambda log: {"saved": _by(bytes(32))(log.checkpoint())}, Usage, "NOTE_UNSIGNED"),
    "state of another shard": (lambda log: {"saved": _shard(log, 2).checkpoint()}, Usage, "NOTE_UNSIGNED"),
}


def _shard(log: MadeLog, shard: int) -> MadeLog:
    with tempfile.TemporaryDirectory() as directory:
        return make_log(Path(directory), 5, shard=shard)


@pytest.mark.parametrize("name", UNUSABLE)
def test_anchors_that_cannot_be_used_are_refused(log: MadeLog, name: str) -> None:
    make, error, check = UNUSABLE[name]
    with pytest.raises(error, match=check):
        audit(log, **make(log))


def test_keys_of_other_deployments_in_the_trust_file_do_not_count(log: MadeLog) -> None:
    trust = replace(log.trust, origin="elsewhere.test")
    assert failed(audit(log, trust=trust)) == {("V1", "CHECKPOINT_ORIGIN", None)}


def test_a_real_deployment_refuses_simulated_entries(log: MadeLog) -> None:
    report = audit(log, trust=replace(log.trust, simulated=False), saved=log.checkpoint())
    assert (report.verdict, failed(report)) == (Verdict.TAMPERED, {("V2", "ENTRY_SIMULATED", 0)})


def test_what_a_log_says_cannot_steer_the_terminal(log: MadeLog, tmp_path: Path) -> None:
    forged = log.forge(tmp_path, [edit(log.leaves[0], lambda body: {**body, "log_key": "\x1b[2J\u202e\n ok"})])
    text = audit(forged).text()
    assert all(each.isprintable() for each in text.replace("\n", ""))
    assert "\\x1b[2J\\u202e" in text


def test_every_level_is_reported_once_and_in_order(log: MadeLog, tmp_path: Path) -> None:
    for report in (audit(log), audit(log, tmp_path)):
        assert [level.name for level in report.levels] == list(LEVELS)


def test_the_growing_tree_agrees_with_the_whole_one() -> None:
    hashes = [hashlib.sha256(bytes([n % 256, n // 256])).digest() for n in range(256 * 5 + 3)]
    for size in (0, 1, 2, 3, 255, 256, 257, 511, 512, 513, len(hashes)):
        tree = GrowingTree()
        for first in range(0, size, 256):
            for more in (1, 2, 7, 255, 256):
                end = min(first + more, size)
                assert tree.root(hashes[first:end]) == root_of(hashes[:end])
            tree.push(hashes[first : min(first + 256, size)])
        assert tree.root() == root_of(hashes[:size])


class _Counted:
    """Counts what is read: each piece once, and nothing is listed."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.reads = 0

    def read(self, path: str) -> bytes | None:
        self.reads += 1
        return self._source.read(path)


def test_memory_does_not_grow_with_the_log(tmp_path: Path) -> None:
    peaks = []
    for size in (512, 2048):
        log = make_log(tmp_path / str(size), size)
        source = _Counted(Directory(log.directory))
        tracemalloc.start()
        verify(source, log.trust)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert source.reads == 1 + len(list(tiles.bundles(size))) + len(list(tiles.tiles(size)))
    assert peaks[1] < peaks[0] * 1.2


def _measure(size: int = 20_000) -> None:
    with tempfile.TemporaryDirectory() as directory:
        log = make_log(Path(directory), size)
        start = time.perf_counter()
        report = audit(log, saved=log.checkpoint(size // 2))
        spent = time.perf_counter() - start
    sys.stdout.write(f"{size} entries, {spent:.2f} s, {size / spent:,.0f} entries/s, verdict {report.verdict.word}\n")


if __name__ == "__main__":
    _measure()
