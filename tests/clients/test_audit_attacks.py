"""Each attack of facts/log.md section 3 that published files can carry, and what must be found.

===  ====================================================================================================
row  test
===  ====================================================================================================
1-9  `test_attacks[1 ...]` to `[9 ...]`; 5 to 8 also in test_audit_cli.py, with a state file between two runs
10   `test_attacks[10 ...]`: nothing but a witness bounds a time from above
11   nothing: the derived index is not published
12   `test_attacks[12 ...]`, tests/attest/tlog/test_canonical.py, tests/attest/tlog/test_shape.py
13   `test_attacks[13 ...]`
14   `test_attacks[14 ...]`: nothing but a receipt, a later state or a witness shows it
15   `test_attacks[15 ...]`, `test_audit.test_a_byte_flipped_in_any_file_is_found`, test_verifier.py
16   `test_attacks[16 ...]`
17   `test_attacks[17 ...]`, `test_audit_receipts.test_refused[17 ...]`
18   `test_attacks[18 ...]`, `test_audit_receipts.test_refused[18 ...]`
19   `test_attacks[19 ...]`
20   `test_attacks[20 ...]`
21   `test_attacks[21 ...]`
22   `test_attacks[22 ...]`
23   `test_attacks[23 ...]`, `test_audit_receipts.test_refused[23 ...]`
24   `test_attacks[24 ...]`
25   `test_attacks[25 ...]`
26   `test_a_key_that_stands_twice_in_the_trust_file_is_refused`: for logs; witnesses are not in it yet
27   the same
30   `test_attacks[30 ...]`: the published files; the process itself in tests/flow
31   `test_attacks[31 ...]`, `test_31_publishing_again_writes_the_same_bytes`
47+  nothing: there is one shard
===  ====================================================================================================

test_verifier.py holds the single-file verifier against all of them.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from attest.tlog import tiles
from attest.tlog.keys import KeyType, SignerKey, VerifierKey
from attest.tlog.merkle import leaf_hash, root_of
from attest.tlog.note import Note, Signature, sign_text
from clients.auditor.report import Report, Verdict
from clients.auditor.source import Directory
from clients.auditor.verify import verify
from clients.errors import Usage
from clients.trust import Trust
from tests.makers.log import SEED, START, MadeLog, edit, make_log, resequence

__all__ = ["ATTACKS", "Attack", "audit", "body", "failed", "publish_attacked", "signed_by"]

ORIGIN = "sealgate.test/audit/1"
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


# `make` changes a copy of the published log; what an auditor finds who has only
# the files, who has a saved checkpoint of 200 entries as well, who has a receipt of entry 290 instead.

Found = tuple[Verdict, Sequence[tuple[str, str, int | None]]]
NOTHING: Found = (Verdict.UNANCHORED, [])
FINE: Found = (Verdict.OK, [])


FOREIGN: Found = (Verdict.FOREIGN, [("V1", "CHECKPOINT_FOREIGN", None)])


def tampered(*found: tuple[str, str, int | None]) -> Found:
    return Verdict.TAMPERED, found


@dataclass(frozen=True, kw_only=True)
class Attack:
    make: Callable[[MadeLog, Path], object]
    files: Found
    state: Found | None = None  # None: as with the files alone
    receipt: Found | None = None


def body(name: str, value: object) -> Callable[[bytes], bytes]:
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
    _signed(lambda leaves: leaves.__setitem__(100, body("reason", "OTHER")(leaves[100])))(log, directory)
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


def signed_by(seed: bytes, name: str = "sealgate.test/audit/1") -> Callable[[bytes], bytes]:
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


def _under_another_name(raw: bytes) -> bytes:
    """20: the line of the log's key, said to be somebody else's."""
    note = Note.parse(raw)
    return replace(note, signatures=(replace(note.signatures[0], name="elsewhere.test/audit/1"),)).encode()


def _of_elsewhere(raw: bytes) -> bytes:
    """The log's own key under the text of another deployment."""
    text = Note.parse(raw).text.replace(b"sealgate.test/audit/1", b"elsewhere.test/audit/1")
    return sign_text(text, SignerKey.from_seed("sealgate.test/audit/1", SEED)).encode()


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


def _text(change: Callable[[bytes], bytes]) -> Callable[[MadeLog, Path], None]:
    """Another text under the checkpoint's name, signed by the log's own key, whatever the text is."""

    def resign(raw: bytes) -> bytes:
        text, signer = change(Note.parse(raw).text), SignerKey.from_seed(ORIGIN, SEED)
        line = Signature(name=ORIGIN, key_id=signer.public.key_id, blob=signer.sign(text))
        return Note(text=text, signatures=(line,)).encode()

    return _checkpoint(resign)


def _size(written: str) -> Callable[[MadeLog, Path], None]:
    return _text(lambda text: text.replace(b"\n300\n", f"\n{written}\n".encode(), 1))


def _lines(count: int, size: int = 68) -> Callable[[MadeLog, Path], None]:
    """25: as many lines of strangers before the genuine one."""

    def change(raw: bytes) -> bytes:
        note = Note.parse(raw)
        others = [Signature(name=f"stranger-{n}", key_id=bytes(4), blob=bytes(size - 4)) for n in range(count)]
        return replace(note, signatures=(*others, *note.signatures)).encode()

    return _checkpoint(change)


def _borrowed_id(raw: bytes) -> bytes:
    """20: name and key id of the log, signed by another key."""
    note = Note.parse(raw)
    blob = SignerKey.from_seed(ORIGIN, bytes(32)).sign(note.text)
    return replace(note, signatures=(replace(note.signatures[0], blob=blob),)).encode()


def _other_size_fitted(log: MadeLog, directory: Path) -> None:
    """18: as `_other_size`, with pieces that have that size."""
    _other_size(log, directory)
    leaves = log.leaves[256 : SIZE - 1]
    (directory / "tile/entries/001.p/43").write_bytes(tiles.encode_bundle(leaves))
    (directory / "tile/0/001.p/43").write_bytes(tiles.encode_tile([leaf_hash(each) for each in leaves]))


def _tile_of_another_log(log: MadeLog, directory: Path) -> None:
    make_log(directory / "shard2", SIZE, shard=2)
    shutil.copy(directory / "shard2/tile/0/001.p/44", directory / "tile/0/001.p/44")
    shutil.rmtree(directory / "shard2")


def _half_published(log: MadeLog, directory: Path) -> None:
    """31: bundles and tiles are those of 300 entries, the checkpoint is still the one before."""
    (directory / "checkpoint").write_bytes(log.checkpoint(SAVED))


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
        make=_signed(lambda leaves: resequence([*leaves[:150], *(body("node", "other")(raw) for raw in leaves[150:])])),
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
    "19 signed by another key under the log's name": Attack(make=_checkpoint(signed_by(bytes(32))), files=FOREIGN),
    "20 the id of the log's key under another name": Attack(
        make=_checkpoint(_under_another_name),
        files=tampered(("V1", "NOTE_UNSIGNED", None)),
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
    "10 entry dated into the future": Attack(
        make=_signed(_edited(299, t=START * 2)), files=NOTHING, state=FINE, receipt=tampered(RECEIPT)
    ),
    "16 upper tile from another size": Attack(
        make=lambda log, directory: (directory / "tile/1/000.p/1").write_bytes(bytes(64)),
        files=tampered(("V3", "TILE_LENGTH", 0)),
    ),
    "16 tile of another log": Attack(make=_tile_of_another_log, files=tampered(("V3", "TILE_HASH", 256))),
    "18 right root, wrong size, pieces cut to fit": Attack(
        make=_other_size_fitted, files=tampered(ROOT), receipt=tampered(ROOT, ("V4", "RECEIPT_AHEAD", None))
    ),
    "18 right root, larger size": Attack(
        make=_size("301"),
        files=(Verdict.INCOMPLETE, [("V2", "BUNDLE_MISSING", 256)]),
    ),
    "20 name and id of the log's key, signed by another": Attack(
        make=_checkpoint(_borrowed_id), files=tampered(("V1", "NOTE_SIGNATURE", None))
    ),
    "22 extension line, signed": Attack(
        make=_text(lambda text: text + b"more\n"), files=tampered(("V1", "CHECKPOINT_EXTENSION", None))
    ),
    **{
        f"23 size {written!a}": Attack(make=_size(written), files=tampered(("V1", "CHECKPOINT_FORMAT", None)))
        for written in (
            "+300",
            "0300",
            "300 ",
            " 300",
            "3_00",
            "300.0",
            "-300",
            "",
            "3e2",
            "0x12c",
            str(2**63),
            "\u0663",
        )
    },
    "24 CRLF": Attack(
        make=_text(lambda text: text.replace(b"\n", b"\r\n")), files=tampered(("V1", "NOTE_FORMAT", None))
    ),
    "24 NUL": Attack(
        make=_text(lambda text: text.replace(b"300", b"300\0")), files=tampered(("V1", "NOTE_FORMAT", None))
    ),
    "24 no-break space": Attack(make=_size("300\u00a0"), files=tampered(("V1", "CHECKPOINT_FORMAT", None))),
    "24 no-break space in the signature line": Attack(
        make=_checkpoint(lambda raw: raw.replace("\u2014 ".encode(), "\u2014\u00a0".encode())),
        files=tampered(("V1", "NOTE_FORMAT", None)),
    ),
    "24 not UTF-8": Attack(
        make=_text(lambda text: text.replace(b"300", b"300\xff")), files=tampered(("V1", "NOTE_FORMAT", None))
    ),
    "24 no blank line": Attack(
        make=_checkpoint(lambda raw: raw.replace(b"\n\n", b"\n")), files=tampered(("V1", "NOTE_FORMAT", None))
    ),
    "25 sixteen lines of strangers": Attack(make=_lines(16), files=NOTHING, state=FINE, receipt=FINE),
    "25 a hundred lines and one": Attack(make=_lines(100), files=tampered(("V1", "NOTE_LENGTH", None))),
    "25 more than a megabyte": Attack(make=_lines(2, 500_000), files=tampered(("V1", "NOTE_LENGTH", None))),
    "30 entries committed and not yet published": Attack(
        make=_signed(lambda leaves: None, size=250),
        files=NOTHING,
        state=FINE,
        receipt=(Verdict.STALE, [("V4", "RECEIPT_AHEAD", None)]),
    ),
    "31 killed between tiles and checkpoint": Attack(
        make=_half_published, files=NOTHING, state=FINE, receipt=(Verdict.STALE, [("V4", "RECEIPT_AHEAD", None)])
    ),
    "log of another deployment, signed by its own key": Attack(
        make=_checkpoint(signed_by(SEED, "elsewhere.test/audit/1")), files=FOREIGN
    ),
    "text of another deployment, signed by our key": Attack(
        make=_checkpoint(_of_elsewhere), files=tampered(("V1", "CHECKPOINT_ORIGIN", None))
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
    "an entry whose type is a list": Attack(
        make=_signed(_edited(250, b_type=["log.genesis"])),
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


def publish_attacked(log: MadeLog, directory: Path, attack: Attack) -> None:
    """A copy of the published log, attacked."""
    shutil.copytree(log.directory, directory)
    attack.make(log, directory)


@pytest.mark.parametrize("held", ["files", "state", "receipt"])
@pytest.mark.parametrize("name", ATTACKS)
def test_attacks(log: MadeLog, tmp_path: Path, name: str, held: str) -> None:
    attack, directory = ATTACKS[name], tmp_path / "log"
    publish_attacked(log, directory, attack)
    anchors: dict[str, dict[str, Any]] = {
        "state": {"saved": log.checkpoint(SAVED)},
        "receipt": {"receipts": {"r": log.receipt(290)}},
    }
    verdict, found = getattr(attack, held) or attack.files
    report = audit(log, directory, **anchors.get(held, {}))
    assert failed(report) == set(found), report.text()
    assert report.verdict is verdict
    assert report.text().startswith("SIMULATED")


@pytest.mark.parametrize("change", [{"name": "sealgate.test/audit/2"}, {"type": KeyType.ED25519_COSIGNATURE}], ids=str)
def test_a_key_that_stands_twice_in_the_trust_file_is_refused(log: MadeLog, change: dict[str, Any]) -> None:
    """26, 27: it would be counted as two."""
    key = log.trust.log_keys[0]
    twice = replace(log.trust, log_keys=(key, replace(key, **change)))
    with pytest.raises(Usage, match="VKEY_DUPLICATE"):
        audit(log, trust=twice)
    stranger = VerifierKey(name="elsewhere.test/audit/1", type=KeyType.ED25519, key=key.key)
    assert audit(log, trust=replace(log.trust, log_keys=(stranger, key, key))).verdict is Verdict.UNANCHORED


def test_31_publishing_again_writes_the_same_bytes(log: MadeLog, tmp_path: Path) -> None:
    whole = {path.relative_to(log.directory): path.read_bytes() for path in log.directory.rglob("*") if path.is_file()}
    new = [path for path in whole if path.name not in {"checkpoint", "200"}]
    for lost in ([], new[:1], new[1:], new):
        directory = tmp_path / str(len(lost))
        publish_attacked(log, directory, ATTACKS["31 killed between tiles and checkpoint"])
        for path in lost:
            (directory / path).unlink()
        log.forge(directory, log.leaves)
        assert whole == {
            each.relative_to(directory): each.read_bytes() for each in directory.rglob("*") if each.is_file()
        }
