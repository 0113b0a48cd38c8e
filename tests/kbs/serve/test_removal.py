"""Somebody is taken out: their key may do nothing from the next call on, and no code brings it back."""

from __future__ import annotations

from pathlib import Path

import pytest
from sealgate.v1.catalog_pb2 import Asset, GetAssetRequest

from attest.tlog.entry import parse_leaf
from kbs.catalog.snapshot import load
from kbs.model.refusal import Refused
from kbs.serve.removal import LastOperator, NoSuchPerson, people, remove
from tests.kbs.rpc.called import People, enrol
from tests.kbs.serve.deployment import Hands, make
from tests.makers.site import ASSET, SimulatedSite

NOW = 1_790_000_000_000


async def test_a_removed_person_may_do_nothing_from_the_next_call_on(site: SimulatedSite) -> None:
    with site.open() as running:
        eve, bob = await enrol(running, "eve", "operator"), await enrol(running, "bob", "auditor")
        asked = GetAssetRequest(name=ASSET)
        for person in (eve, bob):
            assert (await person("GetAsset", asked, Asset)).name == ASSET
        assert [p.id for p in people(site.site)] == ["person-bob", "person-eve", "person-operator"]
        gone = await remove(site.site, "person-eve", running.broker.clock, last=False)  # while it serves
        assert gone.id == "person-eve"
        with pytest.raises(Refused, match="CERTIFICATE_UNKNOWN"):
            await eve("GetAsset", asked, Asset)
        assert (await bob("GetAsset", asked, Asset)).name == ASSET
        size = running.reader.head().size
        entry = parse_leaf(running.reader.entries(size - 1, size)[0][1]).body
        assert (entry["type"], entry["object"], entry["new_digest"]) == ("principal.deleted", "principals/eve", None)
        assert entry["simulated"] is True
        with pytest.raises(NoSuchPerson):
            await remove(site.site, "person-eve", running.broker.clock, last=False)


async def test_the_last_operator_is_not_removed_by_accident(site: SimulatedSite) -> None:
    with site.open() as running:
        with pytest.raises(LastOperator):
            await remove(site.site, "person-operator", running.broker.clock, last=False)
        assert (await remove(site.site, "person-operator", running.broker.clock, last=True)).id == "person-operator"
        operator = People(running, site.operator.key_digest)
        with pytest.raises(Refused, match="CERTIFICATE_UNKNOWN"):
            await operator("GetAsset", GetAssetRequest(name=ASSET), Asset)


async def test_the_code_that_let_somebody_in_does_not_open_again(site: SimulatedSite) -> None:
    """Their invitation counts as used as long as its person exists; so it goes with the person."""
    from kbs.catalog.register import put  # noqa: PLC0415
    from kbs.model.enrolment import enrolment_name  # noqa: PLC0415
    from tests.makers import site as maker  # noqa: PLC0415

    digest = bytes(32)
    with site.open() as running:
        await enrol(running, "eve", "auditor")
        name = enrolment_name(digest)
        document = {
            "name": name, "code_sha256": digest.hex(), "principal": "person-eve", "roles": ["auditor"],
            "tenants": ["acme"], "expires": running.broker.clock() + 3_600_000,
        }  # fmt: skip
        await maker.register(running, [put("enrolment", name, document, entry=maker.draft_of(running))])
        assert name in load(running.reader).enrolments
        await remove(site.site, "person-eve", running.broker.clock, last=False)
        assert load(running.reader).enrolments == {}


def test_by_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hands = Hands(now=NOW)
    made = make(tmp_path, hands)
    config = ("--config", str(made.config))
    assert hands.json("people", "list", *config) == {"people": []}
    assert "Nobody is enrolled" in hands.run("people", "list", *config)[1]
    assert hands.run("people", "remove", "person-x", *config)[0] == 2
    assert "nobody who is enrolled has the pseudonym person-x" in capsys.readouterr().err
