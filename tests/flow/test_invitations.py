"""Somebody is let in by two operators, and comes back after a removal as somebody new: commands, wire and log."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from attest.errors import Malformed
from attest.tlog.entry import parse_leaf
from clients.cli.main import Doors, main
from clients.operator.approval import approve
from clients.operator.enrolment import PersonKey
from kbs.model.approval import Approval, Proposal
from kbs.model.enrolment import ENROLMENT_LIFE_MS
from kbs.serve.invite import NotAdmitted, admit, propose
from kbs.serve.removal import people, remove
from kbs.serve.site import Site
from kbs.serve.wiring import wall_clock
from kbs.store.read import Reader
from tests.flow.test_people import ORIGIN, Served, _served
from tests.kbs.serve.deployment import Hands, make

ACME, OPERATOR = frozenset({"acme"}), frozenset({"operator"})


def _site(served: Served) -> Site:
    return Site(directory=served.folder / "site", deployment=ORIGIN)


def _key(served: Served, name: str) -> PersonKey:
    return PersonKey.load((served.folder / f"{name}.key").read_bytes(), name=name)


async def _founders(served: Served) -> None:
    for number, name in enumerate(("alice", "bob")):
        out = str(served.folder / name)
        assert await served.sealgate("enrol", "--code-file", served.code_file(number), "--out", out) == 0


async def _approved(served: Served, proposal: Proposal, *names: str) -> list[bytes]:
    """By the command, as operators do it."""
    file = served.folder / "invitation"
    file.write_bytes(proposal.encode() + b"\n")
    made = []
    for name in names:
        out = served.folder / f"{name}.approval"
        out.unlink(missing_ok=True)
        words = ["approve", str(file), "--trust", str(served.folder / "trust.json")]
        words += ["--key", str(served.folder / f"{name}.key"), "--out", str(out)]
        assert await asyncio.to_thread(main, words, Doors(now=dt.datetime.now(dt.UTC))) == 0
        made.append(out.read_bytes())
    return made


async def _let_in(served: Served, name: str, *, roles: frozenset[str] = OPERATOR) -> str:
    """The whole way; the new pseudonym."""
    proposal, code = propose(ORIGIN, roles, ACME, wall_clock())
    words = await _approved(served, proposal, "alice", "bob")
    await admit(_site(served), proposal.encode(), words, wall_clock, alone=False)
    (served.folder / f"{name}.code").write_text(code)
    out, file = str(served.folder / name), str(served.folder / f"{name}.code")
    assert await served.sealgate("enrol", "--code-file", file, "--out", out) == 0
    return proposal.enrolment.principal


async def test_who_was_removed_comes_back_as_somebody_new(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with _served(tmp_path) as served:
        await _founders(served)
        site, reader = _site(served), served.running.reader
        first = await _let_in(served, "eve")
        old = ("--key", str(tmp_path / "eve.key"), "--cert", str(tmp_path / "eve.pem"))
        asked = ("explain", "00" * 16)
        capsys.readouterr()
        assert await served.sealgate(*asked, *old, people=True) == 3
        assert "NOT_FOUND" in capsys.readouterr().err  # somebody
        await remove(site, first, wall_clock, last=False)
        assert await served.sealgate(*asked, *old, people=True) == 3
        assert "CERTIFICATE_UNKNOWN" in capsys.readouterr().err

        size = reader.head().size
        second = await _let_in(served, "again")
        assert second != first
        bodies: list[Any] = [parse_leaf(leaf).body for leaf in reader.leaves(size, reader.head().size)]
        created, principal = (body for body in bodies if body["type"].endswith(".created"))
        assert (created["type"], principal["type"]) == ("enrolment.created", "principal.created")
        assert principal["actor"]["id"] == second
        founders = {invitation.principal for invitation in served.invitations}
        assert {each["person"] for each in created["approvals"]} == founders
        for each in created["approvals"]:  # an auditor finds what was signed, and by which key
            raw = reader.document(size, bytes.fromhex(each["approval_digest"]))
            assert raw is not None
            known = {person.id: person.key for person in people(site)}
            assert Approval.decode(raw).key_digest == known[each["person"]]
        new = ("--key", str(tmp_path / "again.key"), "--cert", str(tmp_path / "again.pem"))
        capsys.readouterr()
        assert await served.sealgate(*asked, *new, people=True) == 3
        assert "NOT_FOUND" in capsys.readouterr().err
        # What was worth nothing stays so: the certificate, the key at login, and the key with a code of today.
        assert await served.sealgate(*asked, *old, people=True) == 3
        assert "CERTIFICATE_UNKNOWN" in capsys.readouterr().err
        assert await served.sealgate("login", *old) == 3
        proposal, code = propose(ORIGIN, OPERATOR, ACME, wall_clock())
        words = await _approved(served, proposal, "alice", "bob")
        await admit(site, proposal.encode(), words, wall_clock, alone=False)
        (tmp_path / "code").write_text(code)
        capsys.readouterr()
        for name, said in (("eve", "KEY_RETIRED"), ("alice", "KEY_ENROLLED")):
            out = ("--out", str(tmp_path / name))
            assert await served.sealgate("enrol", "--code-file", str(tmp_path / "code"), *out) == 3
            assert said in capsys.readouterr().err
        assert (
            await served.sealgate("enrol", "--code-file", str(tmp_path / "code"), "--out", str(tmp_path / "new")) == 0
        )
        assert (
            await served.sealgate("enrol", "--code-file", str(tmp_path / "code"), "--out", str(tmp_path / "too")) == 3
        )


async def test_nobody_comes_in_without_two_operators(tmp_path: Path) -> None:
    async with _served(tmp_path) as served:
        await _founders(served)
        await _let_in(served, "auditor", roles=frozenset({"auditor"}))
        site, now = _site(served), wall_clock()
        proposal, _ = propose(ORIGIN, OPERATOR, ACME, now)
        alice, bob = (approve(proposal, _key(served, name)) for name in ("alice", "bob"))
        stranger = approve(proposal, PersonKey.generate())
        auditor = approve(proposal, _key(served, "auditor"))
        other, _ = propose(ORIGIN, OPERATOR, ACME, now)
        wider = dataclasses.replace(
            proposal, enrolment=dataclasses.replace(proposal.enrolment, roles=frozenset({"operator", "auditor"}))
        )
        longer = dataclasses.replace(
            proposal, enrolment=dataclasses.replace(proposal.enrolment, expires=now + 2 * ENROLMENT_LIFE_MS)
        )
        elsewhere = dataclasses.replace(proposal, origin="other.example")
        foreign, _ = propose(ORIGIN, OPERATOR, frozenset({"umbrella"}), now)
        known, _ = propose(ORIGIN, OPERATOR, ACME, now)
        known = dataclasses.replace(
            known, enrolment=dataclasses.replace(known.enrolment, principal=served.invitations[0].principal)
        )
        moved = Approval.decode(bob)
        stolen = Approval.decode(alice)
        both: Callable[[Proposal], list[bytes]] = lambda p: [approve(p, _key(served, n)) for n in ("alice", "bob")]  # noqa: E731
        cases: dict[str, tuple[Proposal, list[bytes], str]] = {
            "nobody": (proposal, [], "2 operators have to approve it, and 0 did"),
            "one": (proposal, [alice], "and 1 did"),
            "one, twice": (proposal, [alice, alice], "and 1 did"),
            "one, signed twice": (proposal, [alice, approve(proposal, _key(served, "alice"))], "and 1 did"),
            "an auditor": (proposal, [alice, auditor], "is no operator of acme"),
            "a stranger": (proposal, [alice, stranger], "nobody's who is enrolled"),
            "of another invitation": (proposal, [alice, approve(other, _key(served, "bob"))], "another invitation"),
            "for fewer roles": (wider, [alice, bob], "does not sign this invitation as it stands"),
            "for a shorter time": (longer, both(longer), "within a day from now"),
            "of another deployment": (elsewhere, both(elsewhere), "is of other.example"),
            "for a tenant that is not theirs": (foreign, both(foreign), "is no operator of umbrella"),
            "a pseudonym that is somebody's": (known, both(known), "is somebody's"),
            "a signature of somebody else": (
                proposal, [alice, dataclasses.replace(moved, signature=stolen.signature).encode()], "as it stands",
            ),
            "a file that is none": (proposal, [alice, b"{}"], "APPROVAL_FORMAT"),
        }  # fmt: skip
        reader = Reader(site.store)
        before = reader.head().size
        for name, (asked, words, said) in cases.items():
            for alone in (False, True):
                with pytest.raises(NotAdmitted, match=said):
                    await admit(site, asked.encode(), words, wall_clock, alone=alone)
                assert reader.head().size == before, name
        with pytest.raises(NotAdmitted, match="day is over"):
            await admit(site, proposal.encode(), [alice, bob], lambda: now + ENROLMENT_LIFE_MS, alone=False)
        with pytest.raises(NotAdmitted, match="INVITATION_FORMAT"):
            await admit(site, proposal.encode()[:-1], [alice, bob], wall_clock, alone=False)
        await admit(site, proposal.encode(), [alice, bob], wall_clock, alone=False)
        with pytest.raises(NotAdmitted, match="admitted already"):
            await admit(site, proposal.encode(), [alice, bob], wall_clock, alone=False)
        # A removed operator's word is nobody's, and the one who is left decides alone only if that is said.
        [gone] = [person.id for person in people(site) if person.key == moved.key_digest]
        await remove(site, gone, wall_clock, last=False)
        with pytest.raises(NotAdmitted, match="nobody's who is enrolled"):
            await admit(site, other.encode(), both(other), wall_clock, alone=True)
        mine = [approve(other, _key(served, "alice"))]
        with pytest.raises(NotAdmitted, match="say --alone"):
            await admit(site, other.encode(), mine, wall_clock, alone=False)
        await admit(site, other.encode(), mine, wall_clock, alone=True)
        body: Any = parse_leaf(reader.entries(reader.head().size - 1, reader.head().size)[0][1]).body
        assert (body["type"], len(body["approvals"])) == ("enrolment.created", 1)
        reader.close()


# name: (what becomes of the file, as a document)
FORMS: dict[str, Callable[[dict[str, Any]], object]] = {
    "another version": lambda d: {**d, "v": "sealgate.invitation/2"},
    "a field more": lambda d: {**d, "more": ""},
    "a field less": lambda d: {"v": d["v"], "origin": d["origin"]},
    "no object": lambda d: [d],
    "no role": lambda d: {**d, "enrolment": {**d["enrolment"], "roles": []}},
    "a role that nobody knows": lambda d: {**d, "enrolment": {**d["enrolment"], "roles": ["root"]}},
    "roles twice": lambda d: {**d, "enrolment": {**d["enrolment"], "roles": ["operator", "operator"]}},
    "no tenant": lambda d: {**d, "enrolment": {**d["enrolment"], "tenants": []}},
    "another code": lambda d: {**d, "enrolment": {**d["enrolment"], "code_sha256": "00" * 32}},
    "a code that is short": lambda d: {**d, "enrolment": {**d["enrolment"], "code_sha256": "00"}},
    "an end that is a truth": lambda d: {**d, "enrolment": {**d["enrolment"], "expires": True}},
    "an end that is text": lambda d: {**d, "enrolment": {**d["enrolment"], "expires": "1"}},
}


@pytest.mark.parametrize("name", FORMS)
def test_an_invitation_has_one_form(name: str) -> None:
    proposal, _ = propose(ORIGIN, OPERATOR, ACME, 1_790_000_000_000)
    assert Proposal.decode(proposal.encode()) == proposal
    changed = FORMS[name](json.loads(proposal.encode()))
    raw = json.dumps(changed, sort_keys=True, separators=(",", ":")).encode()
    with pytest.raises(Malformed, match="INVITATION_FORMAT"):
        Proposal.decode(raw)
    for spaced in (b" " + proposal.encode(), proposal.encode().replace(b":", b": "), b"", b"\xff"):
        with pytest.raises(Malformed, match="INVITATION_FORMAT"):
            Proposal.decode(spaced)


def test_the_code_is_in_no_file_but_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hands = Hands(now=1_790_000_000_000)
    made = make(tmp_path, hands)
    files = {"--out": str(tmp_path / "eve.invitation"), "--code": str(tmp_path / "eve.code")}
    words = ["people", "invite", "--roles", "operator,auditor", *(w for pair in files.items() for w in pair)]
    config = ("--config", str(made.config))
    told = hands.json(*words, *config)
    code = (tmp_path / "eve.code").read_text().strip()
    assert code not in (tmp_path / "eve.invitation").read_text() + json.dumps(told)
    assert hands.run(*words, *config)[0] == 2  # nothing is written over
    (tmp_path / "eve.code").unlink()
    assert hands.run(*words, *config)[0] == 2
    assert not (tmp_path / "eve.code").exists()
    for wrong in (["--roles", "root"], ["--roles", "operator", "--tenants", "Acme"]):
        again = ["people", "invite", *wrong, "--out", str(tmp_path / "o"), "--code", str(tmp_path / "c")]
        assert hands.run(*again, *config)[0] == 2
    admitting = ("people", "admit", files["--out"], "--approval", files["--out"])
    capsys.readouterr()
    assert hands.run(*admitting, *config)[0] == 2
    assert "APPROVAL_FORMAT" in capsys.readouterr().err
    trust = ("--trust", str(made.directory / "trust.json"))
    doors = Doors(now=dt.datetime(2026, 10, 1, tzinfo=dt.UTC))
    assert main(["approve", files["--out"], *trust, "--json"], doors) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["person"], shown["roles"], shown["file"]) == (told["person"], ["auditor", "operator"], None)
    assert main(["approve", files["--out"], *trust, "--out", str(tmp_path / "x")], doors) == 2
    assert main(["approve", str(made.config), *trust], doors) == 2
