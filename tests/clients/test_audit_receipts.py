"""`sealgate audit prove` and `check-receipt`: receipts out of published files alone, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from attest.tlog.keys import SignerKey
from attest.tlog.merkle import leaf_hash, root_of
from attest.tlog.note import Note, sign_text
from attest.tlog.proof_file import ProofFile
from attest.tlog.proofs import inclusion_proof
from clients.auditor.prove import Refuted, prove
from clients.auditor.source import Directory
from clients.cli.main import Doors, main
from tests.clients.test_audit_attacks import ORIGIN, body, signed_by
from tests.makers.log import SEED, MadeLog, make_log

SIZE = 300
NOW = datetime(2026, 10, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Site:
    folder: Path
    log: MadeLog
    capfd: pytest.CaptureFixture[str]

    @property
    def directory(self) -> Path:
        return self.folder / "log"

    def run(self, verb: str, *arguments: object, simulated: bool = True) -> tuple[int, str, str]:
        trust = ("--trust", str(self.folder / "trust.json"))
        code = main(["audit", verb, *map(str, arguments), *trust], Doors(now=NOW, simulated=simulated))
        out, err = self.capfd.readouterr()
        assert "Traceback" not in err
        return code, out, err

    def check(self, raw: bytes, *arguments: object) -> tuple[int, str, str]:
        path = self.folder / "some.tlog-proof"
        path.write_bytes(raw)
        return self.run("check-receipt", path, *arguments)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeLog:
    return make_log(tmp_path_factory.mktemp("made") / "log", SIZE, stops=[200])


@pytest.fixture
def site(made: MadeLog, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Site:
    shutil.copytree(made.directory, tmp_path / "log")
    made.write_trust(tmp_path / "trust.json")
    return Site(folder=tmp_path, log=made, capfd=capfd)


@pytest.mark.parametrize("size", [1, 2, 3, 255, 256, 257, 700])
def test_every_entry_has_the_receipt_that_the_broker_would_have_given(tmp_path: Path, size: int) -> None:
    log = make_log(tmp_path, size)
    hashes = [leaf_hash(each) for each in log.leaves]
    for index in sorted({*range(0, size, 37), 0, size // 2, size - 1}):
        proven = prove(Directory(tmp_path), log.trust, index)
        proof = ProofFile.parse(proven.receipt)
        assert (proven.index, proof.extra, proof.checkpoint) == (index, log.leaves[index], log.checkpoint())
        assert proof.hashes == inclusion_proof(hashes, index)
        assert proven.receipt == log.receipt(index)


def test_a_tree_of_three_levels_of_tiles(tmp_path: Path) -> None:
    """65,536 leaves and some more, the first again and again: only at index 0 it is in its place."""
    genuine = make_log(tmp_path / "small", 1)
    leaves = [genuine.leaves[0]] * 65_800
    log = genuine.forge(tmp_path / "log", leaves)
    proof = ProofFile.parse(prove(Directory(log.directory), log.trust, 0).receipt)
    assert proof.hashes == inclusion_proof([leaf_hash(each) for each in leaves], 0)
    with pytest.raises(Refuted, match="ENTRY_INDEX"):
        prove(Directory(log.directory), log.trust, 65_600)


def test_prove_writes_what_check_receipt_and_verify_accept(site: Site) -> None:
    path = site.folder / "17.tlog-proof"
    code, out, _ = site.run("prove", site.directory, 17, "--out", path)
    assert (code, out) == (0, f"{path}: entry 17 of {ORIGIN}, proven at 300 entries\n")
    assert path.read_bytes() == site.log.receipt(17)
    code, out, _ = site.run("prove", site.directory, 17)
    assert (code, out.encode()) == (0, path.read_bytes())
    code, out, _ = site.run("check-receipt", path)
    assert code == 0
    for told in ("SIMULATED", f"log      {ORIGIN}, signed at 300 entries", "entry    17, ", "model-2 version 1"):
        assert told in out
    assert site.run("verify", site.directory, "--receipt", path)[0] == 0


def test_check_receipt_as_json(site: Site) -> None:
    code, out, _ = site.check(site.log.receipt(28), "--json")
    told = json.loads(out)
    assert code == 0
    assert {name: told[name] for name in ("verified", "simulated", "log", "index", "tree_size", "type", "reason")} == {
        "verified": True,
        "simulated": True,
        "log": ORIGIN,
        "index": 28,
        "tree_size": SIZE,
        "type": "release.refused",
        "reason": "MEASUREMENT_UNKNOWN",
    }
    assert told["leaf_hash"] == leaf_hash(site.log.leaves[28]).hex()
    assert told["lease"] is None


def test_what_a_receipt_says_cannot_steer_the_terminal(site: Site) -> None:
    leaves = [*site.log.leaves[:5], body("reason", "\x1b[2J\n ok")(site.log.leaves[5])]
    forged = site.log.forge(site.folder / "forged", leaves)
    code, out, _ = site.check(forged.receipt(5))
    assert (code, "\x1b" in out, "\\x1b[2J\\n ok" in out) == (0, False, True)


def test_a_receipt_is_never_overwritten(site: Site) -> None:
    path = site.folder / "old.tlog-proof"
    path.write_bytes(b"evidence")
    code, out, err = site.run("prove", site.directory, 17, "--out", path)
    assert (code, out, "not overwritten" in err, path.read_bytes()) == (2, "", True, b"evidence")


def _flip(path: str, at: int) -> Callable[[Path], object]:
    def change(directory: Path) -> None:
        raw = bytearray((directory / path).read_bytes())
        raw[at] ^= 1
        (directory / path).write_bytes(raw)

    return change


def _longer(directory: Path) -> None:
    path = directory / "tile/0/001.p/44"
    path.write_bytes(path.read_bytes() + bytes(32))


def _foreign(directory: Path) -> None:
    path = directory / "checkpoint"
    path.write_bytes(signed_by(bytes(32))(path.read_bytes()))


PROVE: dict[str, tuple[Callable[[Path], object], object, int, str]] = {
    "no such entry": (lambda d: None, SIZE, 2, "there is no entry 300"),
    "not a number": (lambda d: None, "x", 2, "invalid int"),
    "no checkpoint": (lambda d: (d / "checkpoint").unlink(), 17, 11, "CHECKPOINT_MISSING"),
    "no bundle": (lambda d: (d / "tile/entries/000").unlink(), 17, 11, "BUNDLE_MISSING"),
    "no tile": (lambda d: (d / "tile/0/001.p/44").unlink(), 17, 11, "TILE_MISSING"),
    "no upper tile": (lambda d: (d / "tile/1/000.p/1").unlink(), 270, 11, "TILE_MISSING"),
    "checkpoint of nobody": (_flip("checkpoint", 30), 17, 10, "NOTE_SIGNATURE"),
    "checkpoint of another log": (_foreign, 17, 10, "CHECKPOINT_FOREIGN"),
    "tile changed": (_flip("tile/0/001.p/44", 40), 17, 10, "PROOF_ROOT"),
    "tile too long": (_longer, 17, 10, "TILE_LENGTH"),
    "entry changed": (_flip("tile/entries/000", 90), 0, 10, "PROOF_ROOT"),
    "bundle malformed": (_flip("tile/entries/000", 0), 0, 10, "BUNDLE_FORMAT"),
}


@pytest.mark.parametrize("name", PROVE)
def test_no_receipt_of_what_cannot_be_proven(site: Site, name: str) -> None:
    change, index, code, sentence = PROVE[name]
    change(site.directory)
    path = site.folder / "new.tlog-proof"
    got, out, err = site.run("prove", site.directory, index, "--out", path)
    assert (got, out, sentence in err, path.exists()) == (code, "", True, False), err


def test_a_full_piece_answers_for_a_partial_one(site: Site) -> None:
    """A mirror has dropped the partial tile and bundle of 200 entries."""
    (site.directory / "checkpoint").write_bytes(site.log.checkpoint(200))
    for partial in site.directory.rglob("000.p/200"):
        partial.unlink()
    code, out, _ = site.run("prove", site.directory, 199)
    assert (code, out.encode()) == (0, site.log.receipt(199, 200))


def _signed(size: str) -> Callable[[MadeLog], bytes]:
    """A receipt whose checkpoint has the right root and another size, signed by the log's own key."""

    def make(log: MadeLog) -> bytes:
        proof = ProofFile.parse(log.receipt(17))
        text = Note.parse(proof.checkpoint).text.replace(b"\n300\n", f"\n{size}\n".encode())
        note = sign_text(text, SignerKey.from_seed(ORIGIN, SEED)).encode()
        return ProofFile(index=17, hashes=proof.hashes, checkpoint=note, extra=proof.extra).encode()

    return make


def _of(leaves: Callable[[MadeLog], Sequence[bytes]], index: int) -> Callable[[MadeLog], bytes]:
    """A genuine receipt in a tree of other leaves."""

    def make(log: MadeLog) -> bytes:
        entries = leaves(log)
        hashes = [leaf_hash(each) for each in entries]
        checkpoint = log.signer.checkpoint(len(hashes), root_of(hashes))
        path = inclusion_proof(hashes, index)
        return ProofFile(index=index, hashes=path, checkpoint=checkpoint, extra=entries[index]).encode()

    return make


def _by_another(log: MadeLog) -> bytes:
    proof = ProofFile.parse(log.receipt(17))
    note = signed_by(bytes(32))(proof.checkpoint)
    return ProofFile(index=17, hashes=proof.hashes, checkpoint=note, extra=proof.extra).encode()


def _swapped(log: MadeLog) -> bytes:
    proof = ProofFile.parse(log.receipt(17))
    return ProofFile(index=17, hashes=proof.hashes, checkpoint=proof.checkpoint, extra=log.leaves[18]).encode()


REFUSED: dict[str, tuple[Callable[[MadeLog], bytes], int, str]] = {
    "17 entry of another place": (_of(lambda log: [log.leaves[1], log.leaves[0]], 0), 4, "ENTRY_INDEX"),
    "17 entry of another log": (
        _of(lambda log: [log.leaves[0].replace(b"/audit/1", b"/audit/2")], 0),
        4,
        "ENTRY_LOG",
    ),
    "18 another size under the same root": (_signed("65536"), 4, "PROOF_LENGTH"),
    "18 index of another tree": (lambda log: log.receipt(2, 3).replace(b"index 2", b"index 1"), 4, "PROOF_"),
    "23 size with a plus": (_signed("+300"), 4, "CHECKPOINT_FORMAT"),
    "another index": (lambda log: log.receipt(17).replace(b"index 17", b"index 16"), 4, "PROOF_ROOT"),
    "another entry": (_swapped, 4, "PROOF_ROOT"),
    "without its entry": (lambda log: log.receipt(17, with_leaf=False), 4, "RECEIPT_NO_ENTRY"),
    "signed by another key": (_by_another, 4, "NOTE_UNSIGNED"),
    "not canonical": (_of(lambda log: [log.leaves[0].replace(b'":', b'": ', 1)], 0), 4, "ENTRY_CANONICAL"),
    "of a real deployment": (_of(lambda log: [body("simulated", False)(log.leaves[0])], 0), 4, "ENTRY_SIMULATED"),
    "of a newer schema": (_of(lambda log: [log.leaves[0].replace(b".audit/1", b".audit/2")], 0), 11, "ENTRY_VERSION"),
    "no receipt": (lambda log: b"hello", 4, "PROOF_FORMAT"),
    "nothing": (lambda log: b"", 4, "PROOF_FORMAT"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(site: Site, name: str) -> None:
    make, code, check = REFUSED[name]
    got, out, err = site.check(make(site.log))
    assert (got, out, check in err) == (code, "", True), err


def test_receipts_flipped_in_any_byte_prove_nothing(site: Site) -> None:
    """Or they are the same receipt: unused bits of a signature line's base64."""
    raw = site.log.receipt(17)
    for at in range(0, len(raw), 23):
        code, out, _ = site.check(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :])
        assert (code, out) == (4, "")


def test_the_ordinary_commands_refuse_a_simulated_deployment(site: Site) -> None:
    for arguments in (("prove", site.directory, 17), ("check-receipt", site.folder / "x")):
        code, out, err = site.run(*map(str, arguments), simulated=False)
        assert (code, out, "simulated deployment" in err) == (4, "", True)


@pytest.mark.parametrize("verb", ["prove", "check-receipt"])
def test_help_has_exit_codes_and_examples(site: Site, verb: str) -> None:
    code, out, _ = site.run(verb, "--help")
    assert (code, "examples:" in out, "exit codes:" in out) == (0, True, True)
