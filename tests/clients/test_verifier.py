"""The single-file verifier, held against `sealgate audit verify`: the same verdict and exit code in every case.

Clean logs, every attack of test_audit_attacks.py with and without a receipt, receipts of every kind, damaged files by
the hundred, trust files. Clean logs in a process each, as an auditor runs it; attacks as a program in an interpreter
that is as isolated, and runs them all; where hundreds are tried, in this process.
"""

from __future__ import annotations

import ast
import base64
import hashlib
import importlib.util
import json
import random
import re
import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from attest.tlog import tiles
from attest.tlog.keys import KeyType, SignerKey, VerifierKey
from attest.tlog.log_keys import LogKeys, root_name
from attest.tlog.merkle import leaf_hash, root_of
from attest.tlog.note import sign_text
from clients.cli.main import Doors, main
from tests.clients.test_audit_attacks import ATTACKS, SAVED, SIZE, body, publish_attacked, signed_by
from tests.makers.log import MadeLog, edit, make_log

SCRIPT = Path(__file__).parents[2] / "deploy" / "verifier" / "sealgate_verify.py"
NOW = datetime(2026, 10, 1, tzinfo=UTC)


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("single_file_verifier", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


SINGLE = _load()
Outcome = tuple[int, dict[str, Any] | None]  # exit code; verdict, size, root, origin and anchored


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> MadeLog:
    """Of a real deployment, since neither program accepts the trust file of a simulated one."""
    return make_log(tmp_path_factory.mktemp("made") / "log", SIZE, stops=[SAVED], simulated=False)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Both programs over one directory."""

    folder: Path
    capsys: pytest.CaptureFixture[str]
    apart: subprocess.Popen[str] | None = None

    @property
    def directory(self) -> Path:
        return self.folder / "log"

    @property
    def trust(self) -> Path:
        return self.folder / "trust.json"

    def arguments(self, receipts: list[Path]) -> list[str]:
        given = ["--receipt", *map(str, receipts)] if receipts else []
        return [str(self.directory), "--trust", str(self.trust), "--json", *given]

    def ours(self, *receipts: Path) -> Outcome:
        code = main(["audit", "verify", *self.arguments([*receipts])], Doors(now=NOW))
        return _outcome(code, self.capsys.readouterr().out)

    def single(self, *receipts: Path) -> Outcome:
        """In this process."""
        code = SINGLE.main(self.arguments([*receipts]))
        return _outcome(code, self.capsys.readouterr().out)

    def spawned(self, *receipts: Path) -> Outcome:
        """As an auditor does. -I: neither this directory nor the environment is on the path."""
        command = [sys.executable, "-I", str(SCRIPT), *self.arguments([*receipts])]
        done = subprocess.run(command, capture_output=True, text=True, cwd="/", timeout=60, check=False)
        assert "Traceback" not in done.stderr, done.stderr
        return _outcome(done.returncode, done.stdout)

    def alone(self, *receipts: Path) -> Outcome:
        """As a program, from its first line to its exit, in an interpreter without this directory or environment."""
        assert self.apart is not None
        assert self.apart.stdin is not None
        assert self.apart.stdout is not None
        print(json.dumps(self.arguments([*receipts])), file=self.apart.stdin, flush=True)
        code, out, err = json.loads(self.apart.stdout.readline())
        assert "Traceback" not in err, err
        return _outcome(code, out)


def _outcome(code: int, out: str) -> Outcome:
    if not out:
        return code, None
    told = json.loads(out)
    return code, {name: told[name] for name in ("verdict", "size", "root", "origin", "anchored")}


# What `python -I SCRIPT` does, once for each line: a list of arguments in, exit code and output out.
_ALONE = """
import contextlib, io, json, sys, traceback
code = compile(open(sys.argv[1]).read(), sys.argv[1], "exec")
for line in sys.stdin:
    sys.argv[1:], out, err, ended = json.loads(line), io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            exec(code, {"__name__": "__main__"})
        except SystemExit as end:
            ended = end.code or 0
        except BaseException:
            traceback.print_exc()
            ended = 1
    print(json.dumps([ended, out.getvalue(), err.getvalue()]), flush=True)
"""


@pytest.fixture(scope="module")
def apart() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-I", "-c", _ALONE, str(SCRIPT)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/") as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture
def pair(log: MadeLog, tmp_path: Path, capsys: pytest.CaptureFixture[str], apart: subprocess.Popen[str]) -> Pair:
    log.write_trust(tmp_path / "trust.json")
    return Pair(folder=tmp_path, capsys=capsys, apart=apart)


def _receipt(pair: Pair, raw: bytes, name: str = "some") -> Path:
    path = pair.folder / f"{name}.tlog-proof"
    path.write_bytes(raw)
    return path


def test_it_is_one_file_on_the_standard_library_and_cryptography() -> None:
    imported = set()
    for node in ast.walk(ast.parse(SCRIPT.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module or "")
    roots = {name.split(".")[0] for name in imported}
    assert roots - {*sys.stdlib_module_names} == {"cryptography"}


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 600])
def test_clean_logs(tmp_path: Path, capsys: pytest.CaptureFixture[str], size: int) -> None:
    made = make_log(tmp_path / "log", size, simulated=False)
    made.write_trust(tmp_path / "trust.json")
    pair = Pair(folder=tmp_path, capsys=capsys)
    code, told = pair.spawned()
    assert (code, told) == pair.ours()
    assert (code, told and told["verdict"]) == (12, "unanchored")
    receipts = [_receipt(pair, made.receipt(size - 1), "last"), _receipt(pair, made.receipt(0, (size + 1) // 2), "old")]
    code, told = pair.spawned(*receipts)
    assert (code, told) == pair.ours(*receipts)
    assert (code, told and told["anchored"]) == (0, size)


@pytest.mark.parametrize("name", ATTACKS)
def test_attacks(log: MadeLog, pair: Pair, name: str) -> None:
    publish_attacked(log, pair.directory, ATTACKS[name])
    assert pair.alone() == pair.ours()
    receipt = _receipt(pair, log.receipt(290))
    assert pair.single(receipt) == pair.ours(receipt)


COVERED = {
    "ok": "25 sixteen lines of strangers",
    "stale": "14 frozen at an old genuine state",
    "incomplete": "full bundle missing",
    "foreign": "19 signed by another key under the log's name",
    "tampered": "1 leaf edited",
}


@pytest.mark.parametrize("word", COVERED)
def test_agreeing_means_something(log: MadeLog, pair: Pair, word: str) -> None:
    publish_attacked(log, pair.directory, ATTACKS[COVERED[word]])
    _, told = pair.single(_receipt(pair, log.receipt(290)))
    assert told is not None
    assert told["verdict"] == word


def _changed(log: MadeLog, at: int, change: Callable[[bytes], bytes]) -> MadeLog:
    leaves = [change(raw) if n == at else raw for n, raw in enumerate(log.leaves)]
    return replace(log, leaves=tuple(leaves))


def _under(log: MadeLog, receipt: bytes, size: int) -> bytes:
    """The same proof and root, signed by the log's own key under another size."""
    root = root_of([leaf_hash(each) for each in log.leaves])
    return receipt.split(b"\n\n")[0] + b"\n\n" + log.signer.checkpoint(size, root)


RECEIPTS: dict[str, Callable[[MadeLog], bytes]] = {
    "with its entry": lambda log: log.receipt(17, 100),
    "without its entry": lambda log: log.receipt(17, 100, with_leaf=False),
    "of a tree of one": lambda log: log.receipt(0, 1),
    "of a later tree": lambda log: replace(log, leaves=(*log.leaves, *log.leaves[-5:])).receipt(17),
    "of a later tree and entry": lambda log: replace(log, leaves=(*log.leaves, *log.leaves[-5:])).receipt(302),
    "of another history": lambda log: _changed(log, 17, body("reason", "OTHER")).receipt(17, 100),
    "of another history, without": lambda log: _changed(log, 17, body("reason", "X")).receipt(17, 100, with_leaf=False),
    "of another history, same size": lambda log: _changed(log, 17, body("reason", "OTHER")).receipt(18),
    "another index": lambda log: log.receipt(17).replace(b"index 17", b"index 18"),
    "index with a zero": lambda log: log.receipt(17).replace(b"index 17", b"index 017"),
    "beyond its tree": lambda log: log.receipt(9, 10, with_leaf=False).replace(b"index 9", b"index 10"),
    "of nobody": lambda log: log.receipt(17).split(b"\n\n")[0] + b"\n\n" + signed_by(bytes(32))(log.checkpoint()),
    "18 the right root in a tree of another size": lambda log: _under(log, log.receipt(17), 65_536),
    "18 the right root in a smaller tree": lambda log: _under(log, log.receipt(299), 44),
    "other magic": lambda log: log.receipt(17).replace(b"proof@v1", b"proof@v2"),
    "empty entry": lambda log: log.receipt(17, with_leaf=False).replace(b"\nindex", b"\nextra \nindex"),
    "no receipt": lambda log: b"hello",
    "nothing": lambda log: b"",
}


@pytest.mark.parametrize("name", RECEIPTS)
def test_receipts(log: MadeLog, pair: Pair, name: str) -> None:
    shutil.copytree(log.directory, pair.directory)
    receipt = _receipt(pair, RECEIPTS[name](log))
    assert pair.single(receipt) == pair.ours(receipt)


def test_a_receipt_convicts_where_a_piece_is_missing(log: MadeLog, pair: Pair) -> None:
    shutil.copytree(log.directory, pair.directory)
    (pair.directory / "tile/entries/001.p/44").unlink()
    for name in ("of another history, same size", "with its entry"):
        receipt = _receipt(pair, RECEIPTS[name](log))
        assert pair.single(receipt) == pair.ours(receipt)


def test_receipts_with_any_byte_flipped(log: MadeLog, pair: Pair) -> None:
    pair.directory.mkdir()
    small = log.forge(pair.directory, log.leaves[:20])
    for raw in (small.receipt(17), small.receipt(3, 9, with_leaf=False)):
        for at in range(0, len(raw), 11):
            receipt = _receipt(pair, raw[:at] + bytes([raw[at] ^ 1 << at % 8]) + raw[at + 1 :])
            assert pair.single(receipt) == pair.ours(receipt), at


def test_files_with_random_damage(log: MadeLog, pair: Pair) -> None:
    """Flipped bits, cut and longer files, files swapped; half of it inside entries, signed anew by the log's key."""
    dice = random.Random(7)
    clean = pair.folder / "clean"
    log.forge(clean, log.leaves[:270])
    receipt = _receipt(pair, log.receipt(20, 200))
    shutil.copytree(clean, pair.directory)
    files = sorted(path.relative_to(clean) for path in clean.rglob("*") if path.is_file())
    for _ in range(120):
        path = dice.choice(files)
        raw = bytearray((clean / path).read_bytes())
        match dice.randrange(6):
            case 0:
                del raw[dice.randrange(len(raw)) :]
            case 1:
                raw += bytes(dice.randrange(1, 70))
            case 2:
                raw = bytearray((clean / dice.choice(files)).read_bytes())
            case _:
                raw[dice.randrange(len(raw))] ^= 1 << dice.randrange(8)
        (pair.directory / path).write_bytes(raw)
        assert pair.single(receipt) == pair.ours(receipt), path
        (pair.directory / path).write_bytes((clean / path).read_bytes())


def _hostile(raw: bytes, dice: random.Random) -> bytes:
    """An entry as someone with the log key could write it: damaged text, or another value somewhere."""
    if dice.randrange(2):
        changed = bytearray(raw)
        changed[dice.randrange(len(raw))] = dice.choice(b'{}[]:,"\\ -.e0aN1\xc3')
        return bytes(changed)
    odd: object = dice.choice(
        [None, True, False, 0, 1, -1, 2**53 - 1, 2**53, 1.5, "", "x", "\u00fc", "e\u0301", [], {}, [{}]]
    )
    value = json.loads(raw)
    where = dice.choice([value, value["h"], value["b"], *value["h"]["chains"], *value["b"].get("keys", [])])
    where[dice.choice([*where])] = odd
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def test_entries_that_the_log_key_signed_but_no_broker_wrote(log: MadeLog, pair: Pair) -> None:
    dice = random.Random(9)
    words: dict[str, int] = {}
    for _ in range(250):
        leaves = list(log.leaves[:12])
        at = dice.randrange(len(leaves))
        leaves[at] = _hostile(leaves[at], dice)
        shutil.rmtree(pair.directory, ignore_errors=True)
        log.forge(pair.directory, leaves)
        code, told = pair.single()
        assert (code, told) == pair.ours(), leaves[at]
        word = str((told or {}).get("verdict"))
        words[word] = words.get(word, 0) + 1
    assert words["tampered"] > 100
    assert words["unanchored"] > 10  # a body's other fields are nobody's business here


HEADERS: dict[str, Callable[[bytes], bytes]] = {
    "of a newer schema": lambda raw: raw.replace(b".audit/1", b".audit/2"),
    "of no schema": lambda raw: raw.replace(b'"v":"sealgate.audit/1"', b'"v":1'),
    "newer and not canonical": lambda raw: raw.replace(b".audit/1", b".audit/2").replace(b'":', b'": ', 1),
    "with a field more": lambda raw: raw.replace(b'"i":', b'"h":0,"i":'),
    "witnessed": lambda raw: edit(raw, w="ab" * 32),
    "at the end of time": lambda raw: edit(raw, t=2**53 - 1),
    "too long": lambda raw: edit(raw, lambda old: {**old, "note": "x" * 57_000}) + b" " * 2_500,
    "minus zero": lambda raw: raw.replace(b'"gov":1', b'"gov":-0'),
    "deep": lambda raw: raw.replace(b'"gov":1', b'"gov":' + b"[" * 15 + b"]" * 15),
    "as deep as may be": lambda raw: raw.replace(b'"gov":1', b'"gov":' + b"[" * 14 + b"]" * 14),
    "deeper than the stack": lambda raw: raw.replace(b'"gov":1', b'"gov":' + b"[" * 20_000 + b"]" * 20_000),
    "an endless number": lambda raw: raw.replace(b'"gov":1', b'"gov":' + b"9" * 5_000),
    "in another alphabet": lambda raw: raw.replace(b'"training"', '"\u00fcbung"'.encode()),
    "not in NFC": lambda raw: raw.replace(b'"training"', '"u\u0308bung"'.encode()),
    "a lone surrogate": lambda raw: raw.replace(b'"training"', b'"\\ud800"'),
}


@pytest.mark.parametrize("name", HEADERS)
def test_entries(log: MadeLog, pair: Pair, name: str) -> None:
    leaves = list(log.leaves[:20])
    leaves[17] = HEADERS[name](leaves[17])
    assert leaves[17] != log.leaves[17]
    log.forge(pair.directory, leaves)
    assert pair.single() == pair.ours()


def test_after_an_entry_of_a_newer_schema_headers_are_still_judged(log: MadeLog, pair: Pair) -> None:
    """Chains and times cannot be followed any more, so nothing but the header itself is wrong here."""
    leaves = list(log.leaves[:20])
    leaves[5] = HEADERS["of a newer schema"](leaves[5])
    log.forge(pair.directory, leaves)
    assert pair.single() == pair.ours()
    assert pair.single()[0] == 11
    leaves[17] = re.sub(rb'"prev":[0-9]+', b'"prev":99', leaves[17])
    shutil.rmtree(pair.directory)
    log.forge(pair.directory, leaves)
    assert pair.single() == pair.ours()
    assert pair.single()[0] == 10


def test_base64_with_other_unused_bits(log: MadeLog, pair: Pair) -> None:
    """In the published checkpoint it is found; in a receipt it is another way to write the same."""
    shutil.copytree(log.directory, pair.directory)
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    raw = log.checkpoint()
    assert raw.endswith(b"=\n")
    odd = raw[:-3] + alphabet[alphabet.index(raw[-3]) + 1 :][:1] + raw[-2:]
    receipt = _receipt(pair, log.receipt(17).replace(raw, odd))
    assert pair.single(receipt) == pair.ours(receipt)
    assert pair.single(receipt)[0] == 0
    (pair.directory / "checkpoint").write_bytes(odd)
    assert pair.single() == pair.ours()
    assert pair.single()[0] == 10


TRUST: dict[str, Callable[[dict[str, Any]], object]] = {
    "as it is": lambda d: d,
    "simulated": lambda d: {**d, "simulated": True},
    "simulated and broken": lambda d: {**d, "simulated": True, "log_keys": []},
    "a field more": lambda d: {**d, "more": 1},
    "a field less": lambda d: {name: value for name, value in d.items() if name != "tenant"},
    "another version": lambda d: {**d, "v": "sealgate.trust/2"},
    "not an object": lambda d: [d],
    "origin empty": lambda d: {**d, "origin": ""},
    "origin of another": lambda d: {**d, "origin": "elsewhere.test"},
    "simulated is a number": lambda d: {**d, "simulated": 0},
    "no key": lambda d: {**d, "log_keys": []},
    "one key, not a list": lambda d: {**d, "log_keys": d["log_keys"][0]},
    "the key twice": lambda d: {**d, "log_keys": d["log_keys"] * 2},
    "another key id": lambda d: {**d, "log_keys": [d["log_keys"][0].replace("+", "+0", 1)]},
    "wrong key id": lambda d: {
        **d,
        "log_keys": ["sealgate.test/audit/1+00000000+" + d["log_keys"][0].split("+", 2)[2]],
    },
    "key of small order": lambda d: {**d, "log_keys": [_vkey(bytes(32))]},
    "key cut": lambda d: {**d, "log_keys": [_vkey(bytes(31))]},
    "unknown kind of key": lambda d: {**d, "log_keys": [_vkey(b"\1" * 32, kind=7)]},
    "a key of another deployment too": lambda d: {
        **d,
        "log_keys": [*d["log_keys"], _vkey(b"\3" * 32, name="x/audit/1")],
    },
}


def _vkey(raw: bytes, *, kind: int = 1, name: str = "sealgate.test/audit/1") -> str:
    data = bytes([kind]) + raw
    key_id = hashlib.sha256(name.encode() + b"\n" + data).hexdigest()[:8]
    return f"{name}+{key_id}+{base64.b64encode(data).decode()}"


@pytest.mark.parametrize("name", TRUST)
def test_trust_files(log: MadeLog, pair: Pair, name: str) -> None:
    shutil.copytree(log.directory, pair.directory)
    pair.trust.write_text(json.dumps(TRUST[name](json.loads(pair.trust.read_text()))))
    assert pair.single() == pair.ours()


ROOT = SignerKey.from_seed(root_name("sealgate.test"), bytes([9] * 32))
_FOREIGN = SignerKey.from_seed("other.test/log-keys", bytes([9] * 32))


def _rooted(least: object = 2, root: str = ROOT.verifier_key, **more: object) -> Callable[[dict[str, Any]], object]:
    """Turns a trust file that lists keys into one that names the offline key."""

    def change(trust: dict[str, Any]) -> object:
        kept = {name: value for name, value in trust.items() if name != "log_keys"}
        return {**kept, "v": "sealgate.trust/2", "log_root": {"key": root, "min_version": least}, **more}

    return change


def _listing(text: Callable[[str], str] = str, signer: SignerKey = ROOT) -> Callable[[MadeLog], bytes]:
    """The note of version 2 with one witness, its text changed before it is signed."""

    def make(log: MadeLog) -> bytes:
        witness = replace(SignerKey.from_seed("w", bytes([8] * 32)).public, type=KeyType.ED25519_COSIGNATURE)
        key = VerifierKey.parse(log.signer.verifier_key)
        keys = LogKeys(deployment="sealgate.test", version=2, logs=(key,), witnesses=(witness,))
        return sign_text(text(keys.text().decode()).encode(), signer).encode()

    return make


ROOTED: dict[str, tuple[Callable[[dict[str, Any]], object], Callable[[MadeLog], bytes] | None, int]] = {
    "as it is": (_rooted(), _listing(), 12),
    "a later note than is asked for": (_rooted(1), _listing(), 12),
    "an older note than is believed": (_rooted(3), _listing(), 4),
    "no note": (_rooted(), None, 4),
    "a note that is a checkpoint": (_rooted(), lambda log: log.checkpoint(), 4),
    "signed by another key": (_rooted(), _listing(signer=SignerKey.from_seed(ROOT.name, bytes([7] * 32))), 4),
    "signed by the log": (_rooted(), lambda log: log.signer.note(b"sealgate.test/log-keys\n2\n"), 4),
    "of another deployment": (_rooted(), _listing(lambda t: t.replace("sealgate.test/log-keys", "x/log-keys")), 4),
    "a log of another deployment": (_rooted(), _listing(lambda t: t.replace("log sealgate.test/a", "log x/a")), 4),
    "witnesses required": (_rooted(), _listing(lambda t: t.replace("quorum none", "quorum w")), 4),
    "a witness that is a log": (_rooted(), _listing(lambda t: t.replace("witness w ", "log ")), 4),
    "a witness under another name": (_rooted(), _listing(lambda t: t.replace("witness w ", "witness v ")), 4),
    "no log": (_rooted(), _listing(lambda t: "\n".join(x for x in t.split("\n") if x[:4] != "log ")), 4),
    "a log twice": (_rooted(), _listing(lambda t: t.replace("log ", t.split("\n")[2] + "\nlog ", 1)), 4),
    "a line more": (_rooted(), _listing(lambda t: t.replace("quorum", "group g any\nquorum")), 4),
    "no version": (_rooted(), _listing(lambda t: t.replace("\n2\n", "\n")), 4),
    "a version with a sign": (_rooted(), _listing(lambda t: t.replace("\n2\n", "\n+2\n")), 4),
    "a version with a zero": (_rooted(), _listing(lambda t: t.replace("\n2\n", "\n02\n")), 4),
    "no offline key": (_rooted(root=""), _listing(), 2),
    "another deployment's offline key": (_rooted(root=_FOREIGN.verifier_key), _listing(), 2),
    "least version zero": (_rooted(0), _listing(), 2),
    "least version true": (_rooted(True), _listing(), 2),
    "log keys besides": (_rooted(log_keys=[ROOT.verifier_key]), _listing(), 2),
    "simulated": (_rooted(simulated=True), _listing(), 4),
}


@pytest.mark.parametrize("name", ROOTED)
def test_trust_files_that_name_an_offline_key(log: MadeLog, pair: Pair, name: str) -> None:
    change, note, code = ROOTED[name]
    shutil.copytree(log.directory, pair.directory)
    pair.trust.write_text(json.dumps(change(json.loads(pair.trust.read_text()))))
    if note is not None:
        (pair.directory / "log-keys").write_bytes(note(log))
    assert pair.single() == pair.ours()
    assert pair.single()[0] == code


@pytest.mark.parametrize("lost", ["directory", "trust", "receipt"])
def test_what_is_not_there_is_usage(log: MadeLog, pair: Pair, lost: str) -> None:
    if lost != "directory":
        shutil.copytree(log.directory, pair.directory)
    if lost == "trust":
        pair.trust.unlink()
    receipts = [pair.folder / "no"] if lost == "receipt" else []
    assert pair.spawned(*receipts) == pair.ours(*receipts) == (2, None)


def test_a_mirror_may_have_the_full_piece_instead_of_the_partial(tmp_path: Path, capsys: Any) -> None:
    made = make_log(tmp_path / "log", 512, stops=[300], simulated=False)
    made.write_trust(tmp_path / "trust.json")
    (tmp_path / "log/checkpoint").write_bytes(made.checkpoint(300))
    for partial in (tmp_path / "log").rglob("001.p"):
        shutil.rmtree(partial)
    pair = Pair(folder=tmp_path, capsys=capsys)
    assert pair.single() == pair.ours()
    assert pair.single()[0] == 12
    (tmp_path / "log/tile/0/001").write_bytes(bytes(100))
    assert pair.single() == pair.ours()
    assert pair.single()[0] == 10


def test_the_tree_and_its_tiles_are_those_of_the_specification() -> None:
    """Beyond 65,536 leaves: three levels of tiles."""
    hashes = [hashlib.sha256(b"%d" % n).digest() for n in range(66_000)]
    tree, made = SINGLE.Tree(), {}
    for size, each in enumerate(hashes, 1):
        tree.add(each)
        for level, row in enumerate(tree.rows):
            if len(row) == 256 or (row and size == len(hashes)):
                made[level, ((size >> 8 * level) - 1) // 256] = [*row]
            if len(row) == 256:
                row.clear()
        if size in {1, 2, 3, 255, 256, 257, 65_535, 65_536, 65_537}:
            assert tree.root() == root_of(hashes[:size])
    assert tree.root() == root_of(hashes)
    assert [*made] == [(each.level, each.index) for each in sorted(tiles.tiles(len(hashes)), key=_done)]
    for (level, index), row in made.items():
        span = 256**level
        first = index * 256 * span
        assert row == [root_of(hashes[at : at + span]) for at in range(first, first + len(row) * span, span)]


def _done(tile: tiles.Tile) -> tuple[int, int]:
    """When a tile of 66,000 leaves is complete, the partial ones at the end."""
    whole = (tile.index + 1) * 256 ** (tile.level + 1)
    return min(whole, 66_000), tile.level


def test_paths_of_tiles_are_the_specification_s(tmp_path: Path) -> None:
    for index in (0, 7, 255, 999, 1_000, 1_234_067, 999_999_999):
        for piece in (tiles.Tile(level=0, index=index), tiles.Tile(level=3, index=index, width=9)):
            (tmp_path / piece.path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / piece.path).write_bytes(bytes(32 * piece.width))
            assert SINGLE.read_items(tmp_path, str(piece.level), index, piece.width) == [bytes(32)] * piece.width


def test_its_memory_does_not_grow_with_the_log(tmp_path: Path) -> None:
    peaks = []
    for size in (512, 1536):
        made = make_log(tmp_path / str(size), size, simulated=False)
        trust = SINGLE.read_trust(made.write_trust(tmp_path / "trust.json"), made.directory / "log-keys")
        tracemalloc.start()
        assert SINGLE.Audit(made.directory, trust).run([]) is SINGLE.Verdict.UNANCHORED
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.2


def test_it_speaks_to_people_in_ascii(log: MadeLog, pair: Pair) -> None:
    log.forge(pair.directory, [body("type", "\x1b[2J\u202e\n.created")(log.leaves[0])])
    assert SINGLE.main([str(pair.directory), "--trust", str(pair.trust)]) == 10
    out = pair.capsys.readouterr().out
    assert out.replace("\n", "").isprintable()
    assert out.isascii()
    assert out.endswith("verdict  TAMPERED\n")


def test_allowing_unanchored_allows_nothing_else(log: MadeLog, pair: Pair) -> None:
    shutil.copytree(log.directory, pair.directory)
    arguments = [*pair.arguments([]), "--allow-unanchored"]
    assert SINGLE.main(arguments) == 0
    stale = _receipt(pair, RECEIPTS["of a later tree"](log))
    assert SINGLE.main([*arguments, "--receipt", str(stale)]) == 12
    (pair.directory / "tile/0/000").unlink()
    assert SINGLE.main(arguments) == 11
