"""`sealgate audit`: exit codes, the state file, JSON, and what is said in sentences."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from attest.tlog.checkpoint import open_checkpoint
from attest.tlog.keys import SignerKey, VerifierKey
from attest.tlog.log_keys import LogKeys
from attest.tlog.note import sign_text
from clients.auditor.state import State, write_state
from clients.cli.main import Doors, main
from clients.errors import Unavailable
from tests.makers.log import MadeLog, edit, make_log, resequence

SIZE = 300
NOW = datetime(2026, 10, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Site:
    """A published log with its trust file, in a directory of its own, and the command to audit it."""

    folder: Path
    log: MadeLog
    capsys: pytest.CaptureFixture[str]

    @property
    def directory(self) -> Path:
        return self.folder / "log"

    def run(self, *arguments: object, simulated: bool = True) -> tuple[int, str, str]:
        code = main(["audit", *map(str, arguments)], Doors(now=NOW, simulated=simulated))
        out, err = self.capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    def verify(self, *arguments: object, **doors: bool) -> tuple[int, str, str]:
        return self.run("verify", self.directory, "--trust", self.folder / "trust.json", *arguments, **doors)

    def publish(self, leaves: Sequence[bytes]) -> None:
        """Whoever has the log key publishes something else."""
        shutil.rmtree(self.directory)
        self.log.forge(self.directory, leaves)

    def receipt(self, index: int, size: int | None = None) -> Path:
        path = self.folder / f"{index}-{size}.tlog-proof"
        path.write_bytes(self.log.receipt(index, size))
        return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeLog:
    return make_log(tmp_path_factory.mktemp("made") / "log", SIZE)


@pytest.fixture
def site(made: MadeLog, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Site:
    shutil.copytree(made.directory, tmp_path / "log")
    made.write_trust(tmp_path / "trust.json")
    return Site(folder=tmp_path, log=made, capsys=capsys)


def test_without_anchor_it_passes_only_if_asked_to(site: Site) -> None:
    code, out, err = site.verify()
    assert (code, err) == (12, "")
    assert "UNANCHORED: neither a saved state nor a receipt was given" in out
    assert out.endswith("verdict  ok, unanchored\n")
    code, out, _ = site.verify("--allow-unanchored")
    assert code == 0
    assert "UNANCHORED" in out


def test_allowing_unanchored_allows_nothing_else(site: Site) -> None:
    assert site.verify("--allow-unanchored", "--receipt", _future(site))[0] == 12
    (site.directory / "tile/0/000").unlink()
    assert site.verify("--allow-unanchored")[0] == 11
    (site.directory / "checkpoint").write_bytes(b"")
    assert site.verify("--allow-unanchored")[0] == 10


def _future(site: Site) -> Path:
    later = make_log(site.folder / "later", SIZE + 20)
    path = site.folder / "later.tlog-proof"
    path.write_bytes(later.receipt(SIZE + 10))
    return path


def test_receipts_anchor(site: Site) -> None:
    code, out, _ = site.verify("--receipt", site.receipt(3, 10), site.receipt(250), "--receipt", site.receipt(9))
    assert (code, "UNANCHORED" in out) == (0, False)


def test_waiting_for_what_has_yet_to_be_published(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A receipt may be ahead of the published log by a second; one that stays ahead is told as before."""
    receipt = site.receipt(250)
    site.publish(site.log.leaves[:100])
    looked: list[float] = []

    def publish(seconds: float) -> None:
        looked.append(seconds)
        site.publish(site.log.leaves)

    monkeypatch.setattr("clients.cli.audit.time.sleep", publish)
    assert site.verify("--receipt", receipt)[0] == 12
    assert looked == []
    assert site.verify("--receipt", receipt, "--wait", "60")[0] == 0
    assert len(looked) == 1


def test_the_state_is_made_kept_and_carried_forward(site: Site) -> None:
    state = site.folder / "audit.state"
    site.publish(site.log.leaves[:100])
    code, out, _ = site.verify("--state", state)
    assert (code, "FIRST USE" in out, state.read_bytes()) == (0, True, site.log.checkpoint(100))
    site.publish(site.log.leaves)
    code, out, _ = site.verify("--state", state)
    assert (code, "FIRST USE" in out, state.read_bytes()) == (0, False, site.log.checkpoint())
    assert site.verify("--state", state)[0] == 0
    assert sorted(path.name for path in site.folder.iterdir()) == ["audit.state", "log", "trust.json"]


def _rewritten(log: MadeLog) -> list[bytes]:
    return [edit(raw, lambda b: {**b, "purpose": "other"}) if n == 150 else raw for n, raw in enumerate(log.leaves)]


# What the log's operator does after an audit of 200 entries.
BETRAYALS: dict[str, tuple[Callable[[MadeLog], Sequence[bytes]], str]] = {
    "shrinks": (lambda log: log.leaves[:199], "STATE_SHRANK"),
    "shrinks to one entry": (lambda log: log.leaves[:1], "STATE_SHRANK"),
    "forks at the same size": (lambda log: _rewritten(log)[:200], "STATE_FORK"),
    "forks and grows": (_rewritten, "STATE_FORK"),
    "forks in the last entry seen": (
        lambda log: [*log.leaves[:199], *resequence([*log.leaves[:199], log.leaves[200]])[199:], *log.leaves[200:]],
        "STATE_FORK",
    ),
}


@pytest.mark.parametrize("name", BETRAYALS)
def test_a_log_that_takes_back_what_the_state_saw_is_proven_to(site: Site, name: str) -> None:
    make, check = BETRAYALS[name]
    state = site.folder / "audit.state"
    site.publish(site.log.leaves[:200])
    assert site.verify("--state", state)[0] == 0
    site.publish(make(site.log))
    for arguments in ([], ["--allow-unanchored"], ["--receipt", site.receipt(3, 4)]):
        code, out, _ = site.verify("--state", state, *arguments)
        assert (code, check in out) == (10, True)
        assert state.read_bytes() == site.log.checkpoint(200)


def test_a_log_that_fails_leaves_the_state_alone(site: Site) -> None:
    state = site.folder / "audit.state"
    (site.directory / "tile/0/000").unlink()
    assert site.verify("--state", state)[0] == 11
    assert not state.exists()
    state.write_bytes(site.log.checkpoint(50))
    assert site.verify("--state", state)[0] == 11
    assert state.read_bytes() == site.log.checkpoint(50)


def test_a_state_that_another_audit_changed_is_not_overwritten(site: Site) -> None:
    state = site.folder / "audit.state"
    for old in (None, State(checkpoint=b"another"), State(checkpoint=b"newer", log_keys=b"note")):
        state.write_bytes(b"newer")
        with pytest.raises(Unavailable, match="another audit has changed"):
            write_state(state, MINE, old=old)
        assert state.read_bytes() == b"newer"
    state.unlink()
    with pytest.raises(Unavailable, match="another audit has changed"):
        write_state(state, MINE, old=State(checkpoint=b"newer"))
    write_state(state, MINE, old=None)
    assert state.read_bytes() == b"mine"


MINE = State(checkpoint=b"mine")
ROOT = SignerKey.from_seed("sealgate.test/log-keys", bytes([9] * 32))


def _note(site: Site, version: int, *extra: VerifierKey, root: SignerKey = ROOT) -> bytes:
    keys = LogKeys(
        deployment="sealgate.test", version=version, logs=(VerifierKey.parse(site.log.signer.verifier_key), *extra)
    )
    return sign_text(keys.text(), root).encode()


def _rooted(site: Site, *, root: SignerKey = ROOT, least: int = 1) -> None:
    """A trust file that names the offline key and lists none itself."""
    trust = json.loads((site.folder / "trust.json").read_text())
    trust.pop("log_keys", None)
    named = {"key": root.verifier_key, "min_version": least}
    (site.folder / "trust.json").write_text(json.dumps({**trust, "v": "sealgate.trust/2", "log_root": named}))


def test_an_older_note_of_log_keys_is_refused_once_a_newer_was_seen(site: Site) -> None:
    state, note = site.folder / "audit.state", site.directory / "log-keys"
    _rooted(site)
    for version in (2, 5, 5):
        note.write_bytes(_note(site, version))
        assert site.verify("--state", state)[0] == 0
    kept = state.read_bytes()
    assert kept == State(checkpoint=site.log.checkpoint(), log_keys=_note(site, 5)).encode()
    thief = SignerKey.from_seed("sealgate.test/audit/1", bytes([5] * 32)).public
    for shown, check in (
        (_note(site, 4), "version 4, and this state has seen version 5"),
        (_note(site, 1, thief), "LOG_KEYS_VERSION"),
        (_note(site, 5, thief), "LOG_KEYS_FORK"),
        (_note(site, 9, root=SignerKey.from_seed(ROOT.name, bytes([8] * 32))), "NOTE_UNSIGNED"),
    ):
        note.write_bytes(shown)
        for verb in (["verify"], ["incident", "--out", site.folder / "incident.json"]):
            where = [verb[0], site.directory, "--trust", site.folder / "trust.json", *verb[1:]]
            code, _, err = site.run(*where, "--state", state)
            assert (code, check in err) == (4, True), err
        assert state.read_bytes() == kept
    # Without a state, nobody can tell; named on the command line it is the same.
    note.write_bytes(_note(site, 4))
    assert site.verify("--allow-unanchored")[0] == 0
    older = _file(site, _note(site, 4))
    note.write_bytes(_note(site, 6))
    assert site.verify("--state", state, "--log-keys", older)[0] == 4
    assert site.verify("--state", state)[0] == 0
    assert State.decode(state.read_bytes()) == State(checkpoint=site.log.checkpoint(), log_keys=_note(site, 6))


def test_a_state_from_before_there_was_a_note_takes_one_and_keeps_it(site: Site) -> None:
    state, note = site.folder / "audit.state", site.directory / "log-keys"
    site.publish(site.log.leaves[:200])
    assert site.verify("--state", state)[0] == 0
    listed = (site.folder / "trust.json").read_bytes()
    _rooted(site)
    site.publish(site.log.leaves)
    note.write_bytes(_note(site, 3))
    assert site.verify("--state", state)[0] == 0
    seen = State(checkpoint=site.log.checkpoint(), log_keys=_note(site, 3))
    assert State.decode(state.read_bytes()) == seen
    (site.folder / "trust.json").write_bytes(listed)  # a trust file that lists keys heeds no note, and loses none
    assert site.verify("--state", state)[0] == 0
    assert State.decode(state.read_bytes()) == seen
    _rooted(site)
    note.write_bytes(_note(site, 2))
    assert site.verify("--state", state)[0] == 4


def test_a_log_that_fails_teaches_the_state_no_note(site: Site) -> None:
    state, note = site.folder / "audit.state", site.directory / "log-keys"
    _rooted(site)
    note.write_bytes(_note(site, 2))
    assert site.verify("--state", state)[0] == 0
    kept = state.read_bytes()
    note.write_bytes(_note(site, 3))
    (site.directory / "tile/0/000").unlink()
    assert site.verify("--state", state)[0] == 11
    assert state.read_bytes() == kept


DAMAGED: dict[str, Callable[[bytes, bytes], bytes]] = {
    "no size": lambda c, n: b"sealgate.state/2\n" + c + n,
    "a size that int takes": lambda c, n: b"sealgate.state/2\n+%d\n" % len(c) + c + n,
    "a size with a zero before it": lambda c, n: b"sealgate.state/2\n0%d\n" % len(c) + c + n,
    "a size beyond the end": lambda c, n: b"sealgate.state/2\n99999\n" + c + n,
    "no note": lambda c, n: b"sealgate.state/2\n%d\n" % len(c) + c,
    "no checkpoint": lambda c, n: b"sealgate.state/2\n0\n" + n,
    "a size that is off by one": lambda c, n: b"sealgate.state/2\n%d\n" % (len(c) - 1) + c + n,
    "another's note": lambda c, n: State(checkpoint=c, log_keys=n.replace(b"\n1\n", b"\n2\n")).encode(),
    "a later version of the file": lambda c, n: b"sealgate.state/3\n%d\n" % len(c) + c + n,
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_state_that_is_not_as_it_was_left_says_nothing_about_the_log(site: Site, name: str) -> None:
    state = site.folder / "audit.state"
    _rooted(site)
    (site.directory / "log-keys").write_bytes(_note(site, 1))
    state.write_bytes(DAMAGED[name](site.log.checkpoint(), _note(site, 1)))
    before = state.read_bytes()
    code, _, err = site.verify("--state", state)
    assert (code, "the state file" in err) == (2, True), err
    assert state.read_bytes() == before


USAGE: dict[str, tuple[Callable[[Site], Sequence[object]], int, str]] = {
    "no such directory": (lambda s: ["verify", s.folder / "no", "--trust", s.folder / "trust.json"], 2, "no is not a"),
    "no trust file": (lambda s: ["verify", s.directory], 2, "--trust"),
    "trust file missing": (lambda s: ["verify", s.directory, "--trust", s.folder / "x"], 2, "cannot be read"),
    "state is empty": (lambda s: [*_verify(s), "--state", _file(s, b"")], 2, "the state file is not a checkpoint"),
    "state is a directory": (lambda s: [*_verify(s), "--state", s.folder], 2, "the state file"),
    "state nowhere": (lambda s: [*_verify(s), "--state", s.folder / "no" / "state"], 2, "is not a directory"),
    "receipt missing": (lambda s: [*_verify(s), "--receipt", s.folder / "no"], 2, "the receipt"),
    "receipt broken": (lambda s: [*_verify(s), "--receipt", _file(s, b"x")], 4, "PROOF_FORMAT"),
    "checkpoint missing": (lambda s: [*_verify(s, s.folder)], 11, ""),
    "list without a log": (lambda s: ["list", s.folder], 2, "no file named checkpoint"),
    "list of a broken checkpoint": (lambda s: ["list", _broken(s, "checkpoint")], 11, "the checkpoint is not one"),
    "list of a broken bundle": (lambda s: ["list", _broken(s, "tile/entries/000")], 11, "is not an entry bundle"),
    "show beyond the end": (lambda s: ["show", s.directory, SIZE], 2, "there is no entry 300"),
    "show before the start": (lambda s: ["show", s.directory, "--", -1], 2, "there is no entry -1"),
    "show what is no number": (lambda s: ["show", s.directory, "x"], 2, "invalid int"),
    "no verb": (lambda s: [], 2, "VERB"),
}


def _verify(site: Site, directory: Path | None = None) -> list[object]:
    return ["verify", directory or site.directory, "--trust", site.folder / "trust.json"]


def _file(site: Site, raw: bytes) -> Path:
    path = site.folder / "some-file"
    path.write_bytes(raw)
    return path


def _broken(site: Site, name: str) -> Path:
    (site.directory / name).write_bytes(b"\x00\x05")
    return site.directory


@pytest.mark.parametrize("name", USAGE)
def test_what_cannot_be_done_is_said_in_a_sentence(site: Site, name: str) -> None:
    make, code, sentence = USAGE[name]
    got, _, err = site.run(*make(site))
    assert (got, sentence in err) == (code, True), err


def test_the_ordinary_command_refuses_a_simulated_deployment(site: Site) -> None:
    code, out, err = site.verify(simulated=False)
    assert (code, out, "simulated deployment" in err) == (4, "", True)
    trust = json.loads((site.folder / "trust.json").read_text())
    (site.folder / "trust.json").write_text(json.dumps({**trust, "simulated": False}))
    assert site.verify()[0] == 4
    code, out, _ = site.verify("--allow-unanchored", simulated=False)
    assert (code, "ENTRY_SIMULATED" in out) == (10, True)


def _json(out: str) -> dict[str, Any]:
    document = json.loads(out)
    assert isinstance(document, dict)
    assert list(document) == [
        "verdict",
        "levels",
        "size",
        "root",
        "origin",
        "simulated",
        "anchored",
        "first_use",
    ]
    return document


def test_json(site: Site) -> None:
    _, out, _ = site.verify("--json")
    document = _json(out)
    assert (document["verdict"], document["size"], document["simulated"]) == ("unanchored", SIZE, True)
    assert document["origin"] == "sealgate.test/audit/1"
    assert document["root"] == (site.directory / "checkpoint").read_text().splitlines()[2]
    assert [level["outcome"] for level in document["levels"]] == [*["passed"] * 3, "skipped", "passed", "passed"]
    path = site.directory / "tile/0/000"
    path.write_bytes(bytes(32) + path.read_bytes()[32:])
    code, out, _ = site.verify("--json")
    document = _json(out)
    level = document["levels"][2]
    assert (code, document["verdict"]) == (10, "tampered")
    assert (level["level"], level["outcome"], level["check"], level["index"]) == ("V3", "failed", "TILE_HASH", 0)
    assert (level["path"], level["got"], level["failures"]) == ("tile/0/000[0]", "A" * 43 + "=", 1)
    (site.directory / "checkpoint").unlink()
    code, out, _ = site.verify("--json")
    document = _json(out)
    assert (code, document["verdict"], document["size"], document["root"]) == (11, "incomplete", None, None)


def test_a_reader_that_goes_away_does_not_make_it_ok(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object, **__: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("builtins.print", gone)
    assert site.verify("--allow-unanchored")[0] == 5
    assert site.verify()[0] == 12


def test_list_and_show(site: Site) -> None:
    code, out, _ = site.run("list", site.directory)
    lines = out.splitlines()
    assert (code, len(lines)) == (0, SIZE)
    assert lines[0].split() == ["0", "2026-09-21T14:13:57.000Z", "log.genesis", "-", "broker-1", "-", "(simulated)"]
    words = lines[7 * 4].split()
    assert (words[2:4], words[5][:26]) == (["release.refused", "MEASUREMENT_UNKNOWN"], "tenants/acme/assets/model-")
    _, out, _ = site.run("list", site.directory, "--json")
    objects = [json.loads(line) for line in out.splitlines()]
    assert [each["index"] for each in objects] == list(range(SIZE))
    assert set(objects[3]) == {"index", "verified", "time", "type", "reason", "actor", "assets", "simulated"}
    assert not any(each["verified"] for each in objects)
    for index in (0, 255, 256, 299):
        code, out, _ = site.run("show", site.directory, index)
        document = json.loads(out)
        assert (code, document["index"], document["header"]["i"], document["verified"]) == (0, index, index, False)
        assert document["body"]["type"] == objects[index]["type"]


def test_list_of_one_type_actor_or_asset(site: Site) -> None:
    _, out, _ = site.run("list", site.directory, "--json")
    objects = [json.loads(line) for line in out.splitlines()]
    for name in ("type", "actor", "assets"):
        wanted = objects[7 * 4][name]
        option, value = ("asset", wanted[0]) if name == "assets" else (name, wanted)
        code, out, _ = site.run("list", site.directory, "--json", f"--{option}", value)
        found = [json.loads(line) for line in out.splitlines()]
        assert (code, found) == (0, [o for o in objects if value == o[name] or value in o["assets"]])
        assert 0 < len(found) < SIZE
    assert site.run("list", site.directory, "--actor", "person-nobody")[:2] == (0, "")


def test_list_goes_as_far_as_it_can(site: Site) -> None:
    (site.directory / "tile/entries/001.p/44").unlink()
    code, out, err = site.run("list", site.directory)
    assert (code, len(out.splitlines())) == (11, 256)
    assert "tile/entries/001.p/44 is missing: entries 256 to 299" in err


def test_list_and_show_survive_what_is_no_entry(site: Site) -> None:
    odd = edit(site.log.leaves[2], lambda b: {**b, "reason": "\x1b[31m", "type": ["x"]}, t=2**53 - 1)
    site.publish([site.log.leaves[0], b"not an entry", odd])
    code, out, _ = site.run("list", site.directory)
    assert (code, out.isascii(), "\x1b" in out) == (0, True, False)
    assert "not an entry of this schema" in out.splitlines()[1]
    assert "9007199254740991 ms" in out.splitlines()[2]
    assert site.run("list", site.directory, "--json")[0] == 0
    assert site.run("show", site.directory, 1)[0] == 11
    assert site.run("show", site.directory, 2)[0] == 0


@pytest.mark.parametrize("verb", ["verify", "list", "show"])
def test_help_has_examples_and_says_what_is_not_done(site: Site, verb: str) -> None:
    code, out, _ = site.run(verb, "--help")
    assert (code, "examples:" in out) == (0, True)
    assert ("12  unanchored" if verb == "verify" else "Nothing is verified here") in out


def _incident(site: Site, *arguments: object) -> tuple[int, str, str]:
    return site.run("incident", site.directory, "--trust", site.folder / "trust.json", *arguments)


def _fork(site: Site) -> None:
    """Whoever has the log key signs another history of the same length."""
    leaves = list(site.log.leaves)
    leaves[17] = edit(leaves[17], lambda body: {**body, "reason": "ALLOWED_AFTERWARDS"})
    site.publish(resequence(leaves))


def test_incident_of_two_histories_convicts_by_itself(site: Site) -> None:
    """The two signed checkpoints in the file contradict each other, for whoever has the log's key and nothing else."""
    state, out = site.folder / "audit.state", site.folder / "incident.json"
    assert site.verify("--state", state)[0] == 0
    kept = state.read_bytes()
    receipt = site.receipt(5)
    _fork(site)
    code, text, _ = _incident(site, "--state", state, "--receipt", receipt, "--out", out)
    assert (code, f"{out} holds the evidence" in text) == (10, True)
    assert state.read_bytes() == kept
    document = json.loads(out.read_bytes())
    assert (document["v"], document["report"]["verdict"]) == ("sealgate.audit-incident/1", "tampered")
    assert base64.b64decode(document["saved"]) == kept
    assert base64.b64decode(document["receipts"][str(receipt)]) == receipt.read_bytes()
    [key] = [VerifierKey.parse(each) for each in document["log_keys"]]
    notes = [base64.b64decode(document[name]) for name in ("published", "saved")]
    one, two = (open_checkpoint(raw, key.name, [key]).checkpoint for raw in notes)
    assert (one.size, one.root != two.root) == (two.size, True)
    assert {tuple(pair["notes"]) for pair in document["contradictions"]} == {
        ("published", "saved"),
        ("published", str(receipt)),
    }
    assert _incident(site, "--state", state, "--out", out)[0] == 2  # never written over


@pytest.mark.parametrize(
    ("attack", "verdict", "code"),
    [("edit", "tampered", 10), ("remove", "incomplete", 11), ("ahead", "stale", 12), ("nothing", "ok", 0)],
)
def test_incident_is_kept_of_whatever_is_not_well(site: Site, attack: str, verdict: str, code: int) -> None:
    out, receipt = site.folder / "incident.json", site.receipt(3)
    if attack == "edit":
        path = site.directory / "tile/0/000"
        path.write_bytes(bytes(32) + path.read_bytes()[32:])
    elif attack == "remove":
        (site.directory / "tile/0/000").unlink()
    elif attack == "ahead":
        receipt = _future(site)
    found, text, _ = _incident(site, "--receipt", receipt, "--out", out, "--json")
    told = json.loads(text)
    assert (found, told["verdict"]) == (code, verdict)
    assert (told["file"], out.exists()) == ((str(out), True) if code else (None, False))
    if code:
        assert json.loads(out.read_bytes())["contradictions"] == []
