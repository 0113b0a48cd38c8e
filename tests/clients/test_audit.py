"""Audits of published logs: clean ones, flipped bytes, anchors, receipts. The attacks are in test_audit_attacks.py."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from attest.tlog import tiles
from attest.tlog.merkle import leaf_hash, root_of
from clients.auditor.report import LEVELS, Report, Verdict
from clients.auditor.source import Directory, Source
from clients.auditor.tree import GrowingTree
from clients.auditor.verify import verify
from clients.errors import ClientError, NotTrusted, Usage
from tests.clients.test_audit_attacks import SAVED, SIZE, audit, body, failed, signed_by
from tests.makers.log import MadeLog, edit, make_log


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> MadeLog:
    """Published at 200 and at 300 entries. Tests copy it before they change it."""
    return make_log(tmp_path_factory.mktemp("made") / "log", SIZE, stops=[SAVED])


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
            # Six characters hold the key's id: with another the note claims no key that is trusted, and is refused so.
            foreign = str(name) == "checkpoint" and 0 <= at - raw.rindex(b" ") - 1 < 6
            expected = {Verdict.TAMPERED, Verdict.FOREIGN} if foreign else {Verdict.TAMPERED}
            assert report.verdict in expected, (name, at, report.text())
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
    leaves[17] = body("reason", "OTHER")(leaves[17])
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
    "state that nobody signed": (lambda log: {"saved": signed_by(bytes(32))(log.checkpoint())}, Usage, "NOTE_UNSIGNED"),
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
    report = audit(log, trust=trust)
    assert (report.verdict, failed(report)) == (Verdict.FOREIGN, {("V1", "CHECKPOINT_FOREIGN", None)})


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
