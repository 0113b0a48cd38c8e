"""The question behind a request: which reference values count, and what they say of the image that runs."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from attest.appraise import appraise
from attest.profile import Claims, Profile
from attest.reference import ReferenceSet
from kbs.decide.authority import RIGHTS
from kbs.decide.people import ask_person
from kbs.decide.question import ask_release
from kbs.model.asset import Asset, Lock, NamedProfile, NamedReferences, Principal, Snapshot
from kbs.model.decision import Question, Resource
from kbs.model.names import AssetName
from tests.attest.snp.made import NOW, chip, claims
from tests.kbs.decide.questions import NAME

MS = int(NOW.timestamp() * 1_000)
IMAGE, OTHER, MINE, THEIRS = bytes(range(48)), bytes(48), b"\1" * 32, b"\2" * 32
PROFILE: dict[str, Any] = {"snp": {"products": ["milan"]}}
BOOT = ["cmdline", "firmware", "initrd", "kernel"]


def _value(name: str = "v", measurement: bytes = IMAGE, host_data: bytes | None = None) -> dict[str, object]:
    given = {} if host_data is None else {"host_data": host_data.hex()}
    return {"name": name, "measurement": measurement.hex(), "covers": BOOT, **given}


def _set(name: str, *values: dict[str, object], shared: bool = False, **changed: Any) -> NamedReferences:
    parsed = ReferenceSet.parse({"name": name, "values": list(values)})
    given: dict[str, Any] = {"state": "active", "digest": bytes(32), "references": parsed, **changed}
    return NamedReferences(name=name, shared=shared, **given)


def _snapshot(*sets: NamedReferences, profile: dict[str, Any] = PROFILE, locks: tuple[Lock, ...] = ()) -> Snapshot:
    asset = Asset(
        name=AssetName.parse(NAME), kind="weights", tier=2, owner="groups/ml", size_bytes=1,
        purposes=frozenset({"training"}), profile="p", references=tuple(each.name for each in sets),
        content_digest=b"", new_nodes_per_hour=1, bytes_per_day=1, lease_seconds=60, digest=bytes(32),
    )  # fmt: skip
    return Snapshot(
        revision=0, governance=0, assets={NAME: asset}, key_versions={}, principals={}, locks=locks,
        profiles={"p": NamedProfile(name="p", profile=Profile.parse(profile), digest=bytes(32))},
        references={each.name: each for each in sets},
    )  # fmt: skip


def _asked(snapshot: Snapshot, found: Claims, *, now: int = MS) -> Question:
    asset = snapshot.assets[NAME]
    counted = [r.references for r in map(snapshot.references.get, asset.references) if r is not None and r.counts(now)]
    appraisal = appraise(found, snapshot.profiles["p"].profile, counted, now=NOW)
    return ask_release(
        action="release", tenant="acme", node="node-a", purpose="training", claims=found, devices=0, names=(NAME,),
        appraisals={NAME: appraisal}, snapshot=snapshot, simulation=True, now=now,
    )  # fmt: skip


def _resource(*sets: NamedReferences, host_data: bytes = MINE, **changed: Any) -> Resource:
    [found] = _asked(_snapshot(*sets, **changed), claims(chip(), measurement=IMAGE, host_data=host_data)).resources
    return found


OWN = _set("own", _value())
# name: (the sets, what the host gave at launch, the value that is met, is the image shared, the second fact)
SHARED: dict[str, tuple[tuple[NamedReferences, ...], bytes, str, bool, str]] = {
    "one's own": ((OWN,), MINE, "own#v", False, ""),
    "everybody's": ((_set("all", _value(), shared=True),), MINE, "all#v", True, ""),
    "everybody's, told apart": ((_set("all", _value(host_data=MINE), shared=True),), MINE, "all#v", True, "HOST_DATA"),
    "one's own, and everybody's under another name": (
        (OWN, _set("all", _value("w"), shared=True)), MINE, "own#v", True, "",
    ),
    "everybody's, and one's own": ((_set("all", _value("w"), shared=True), OWN), MINE, "all#w", True, ""),
    "one's own, and everybody's with what tells another party apart": (
        (OWN, _set("all", _value("w", host_data=THEIRS), shared=True)), MINE, "own#v", True, "",
    ),
    "one's own, and everybody's with what tells this party apart": (
        (_set("all", _value("w", host_data=MINE), shared=True), OWN), MINE, "all#w", True, "HOST_DATA",
    ),
    "one's own, and another image that is everybody's": (
        (OWN, _set("all", _value("w", OTHER), shared=True)), MINE, "own#v", False, "",
    ),
    "one's own, and everybody's that counts no more": (
        (OWN, _set("all", _value("w"), shared=True, state="revoked")), MINE, "own#v", False, "",
    ),
    "everybody's, told apart as another party": (
        (_set("all", _value(host_data=THEIRS), shared=True),), MINE, "", False, "",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SHARED)
def test_an_image_is_shared_if_one_set_says_so(name: str) -> None:
    """Whichever set is met first: other parties' guests of that image meet the one that does not ask who they are."""
    sets, host_data, reference, shared, second_fact = SHARED[name]
    found = _resource(*sets, host_data=host_data)
    assert (found.reference, found.shared, found.second_fact) == (reference, shared, second_fact)


def test_only_sets_that_count_are_counted() -> None:
    deprecated = _set("old", _value("w"), _value("x", OTHER), state="deprecated", sunset=MS + 1)
    snapshot, found = _snapshot(OWN, _set("draft", _value("d"), state="draft"), deprecated), claims(chip())
    assert [_asked(snapshot, found, now=now).resources[0].references for now in (MS, MS + 1)] == [3, 1]


def test_a_profile_may_be_what_tells_parties_apart() -> None:
    shared = _set("all", _value(), shared=True)
    found = _resource(shared, profile={"snp": {**PROFILE["snp"], "host_data": [MINE.hex()]}})
    assert (found.shared, found.second_fact) == (True, "HOST_DATA")


def test_what_the_catalogue_says_of_an_asset() -> None:
    found = _resource(OWN)
    assert (found.tier, found.kind, found.owner, found.purposes) == (2, "weights", "groups/ml", ("training",))
    assert found.covers == found.must_cover == tuple(BOOT)
    assert found.unmet == ()
    assert _resource(OWN, profile={"snp": {**PROFILE["snp"], "allow_cxl": True}}).unmet == ("PLATFORM_KNOWN",)
    assert (found.locked, found.known, found.nearest, found.differences) == (False, True, "", ())
    for target, locked in ((NAME, True), ("tenants/acme", True), ("tenants/acme/assets/other", False), ("", False)):
        assert _resource(OWN, locks=(Lock(name="locks/1", target=target),)).locked is locked
    near = _resource(_set("near", _value("far", OTHER, THEIRS), _value("v", host_data=THEIRS)))
    assert (near.reference, near.nearest) == ("", "near#v")
    assert near.differences == (("host_data", THEIRS.hex(), MINE.hex()),)


def test_what_the_evidence_says_of_the_workload() -> None:
    for policy, debug, migration in ((0x30000, False, False), (0xB0000, True, False), (0x70000, False, True)):
        for simulated in (True, False):
            found = dataclasses.replace(claims(chip(), measurement=IMAGE, policy=policy), simulated=simulated)
            node = _asked(_snapshot(OWN), found).workload
            assert node is not None
            assert (node.debug, node.migration_agent, node.simulated) == (debug, migration, simulated)
            assert (node.node, node.platform, node.product) == ("node-a", "snp", "Milan")


def test_a_person_asks_about_what_is_there() -> None:
    person = Principal(id="person-a", key=bytes(32), roles=frozenset({"operator"}), tenants=frozenset({"acme"}))
    right = RIGHTS["sealgate.v1.Catalog/UpdateAsset"]
    for name, known in ((NAME, True), ("tenants/acme/assets/none", False)):
        asked = ask_person(person, right, tenant="acme", name=name, snapshot=_snapshot(OWN), simulation=False)
        [found] = asked.resources
        assert (asked.action, asked.principal, asked.roles, asked.workload) == (
            "assets.update", "person-a", ("operator",), None,
        )  # fmt: skip
        assert (found.name, found.known, found.kind) == (name, known, "asset")
        assert (found.tier, found.owner) == ((2, "groups/ml") if known else (0, ""))
