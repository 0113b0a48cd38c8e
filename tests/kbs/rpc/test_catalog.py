"""The catalogue's methods over a real broker: conventions, etags, pages, what is refused when it is written."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from google.protobuf.timestamp_pb2 import Timestamp
from sealgate.v1 import catalog_pb2 as pb
from sealgate.v1.change_pb2 import CHANGE_STATE_APPLIED, CHANGE_STATE_VALIDATED, Change

from attest.tlog.entry import parse_leaf
from kbs.model.refusal import Refused
from kbs.model.tier import TIERS
from kbs.serve.wiring import Running
from tests.kbs.rpc.called import People, enrol
from tests.makers.site import ASSET, SimulatedSite

COVERS = ["cmdline", "firmware", "initrd", "kernel"]
VALUE = {"name": "one", "measurement": "ab" * 48, "covers": COVERS}
GOOD_SNP = {"products": ["milan"], "minimum_tcb": {"milan": {"snp": 24}}}
PROFILE, SET = "tenants/acme/profiles/p", "tenants/acme/referenceSets/r"
NEW, DEVICE = "tenants/acme/assets/new", "tenants/acme/devices/a"


@pytest_asyncio.fixture
async def running(site: SimulatedSite) -> AsyncIterator[Running]:
    with site.open() as opened:
        yield opened


@pytest_asyncio.fixture
async def operator(running: Running, site: SimulatedSite) -> People:
    return People(running, site.operator.key_digest)


def profile(name: str = PROFILE, **tees: Any) -> pb.Profile:
    return pb.Profile(name=name, definition=json.dumps(tees or {"snp": GOOD_SNP}))


def references(state: int = pb.REFERENCE_STATE_ACTIVE, name: str = SET, **changed: Any) -> pb.ReferenceSet:
    value = VALUE | changed.pop("value", {})
    return pb.ReferenceSet(name=name, state=pb.ReferenceState.ValueType(state), values=json.dumps([value]), **changed)


def asset(name: str = NEW, **changed: Any) -> pb.Asset:
    good = {"kind": "weights", "tier": 2, "owner": "groups/ml", "size_bytes": 10, "purposes": ["training"]}
    return pb.Asset(**{"name": name, "profile": PROFILE, "references": [SET], **good, **changed})


async def register(operator: People, **changed: Any) -> Change:
    await operator("CreateProfile", pb.CreateProfileRequest(profile=profile()), Change)
    await operator("CreateReferenceSet", pb.CreateReferenceSetRequest(reference_set=references()), Change)
    return await operator("CreateAsset", pb.CreateAssetRequest(asset=asset(**changed)), Change)


async def refused(reason: str, check: str, awaited: Any) -> Refused:
    with pytest.raises(Refused) as error:
        await awaited
    assert (error.value.reason, error.value.check) == (reason, check), str(error.value)
    return error.value


async def test_the_life_of_an_asset(running: Running, operator: People) -> None:
    created = await register(operator, labels=["pii", "customer-x"])
    assert (created.name, created.state, created.etag) == (NEW, CHANGE_STATE_APPLIED, created.digest.hex())
    got = await operator("GetAsset", pb.GetAssetRequest(name=NEW), pb.Asset)
    assert (got.etag, got.tier, list(got.labels)) == (created.etag, 2, ["customer-x", "pii"])
    assert got.bytes_per_day == TIERS[2].bytes_per_day  # what was not given is what the tier allows

    got.content_digest = "ab" * 32
    changed = await operator("UpdateAsset", pb.UpdateAssetRequest(asset=got), Change)
    assert changed.etag != created.etag
    await refused("ETAG_MISMATCH", "etag", operator("UpdateAsset", pb.UpdateAssetRequest(asset=got), Change))
    head = running.reader.head().size
    again = await operator("UpdateAsset", pb.UpdateAssetRequest(asset=asset(labels=["pii"])), Change)
    assert running.reader.head().size == head + 1
    same = await operator("UpdateAsset", pb.UpdateAssetRequest(asset=asset(labels=["pii"])), Change)
    assert (same.etag, running.reader.head().size) == (again.etag, head + 1)  # no change is no entry

    gone = await operator("DeleteAsset", pb.DeleteAssetRequest(name=NEW, etag=again.etag), Change)
    assert (gone.state, gone.digest, gone.etag) == (CHANGE_STATE_APPLIED, b"", "")
    await refused("NOT_FOUND", "name", operator("GetAsset", pb.GetAssetRequest(name=NEW), pb.Asset))
    bodies = [dict(parse_leaf(leaf).body) for leaf in running.reader.leaves(0, running.reader.head().size)]
    mine = [b for b in bodies if b.get("object") == NEW]
    assert [b["type"] for b in mine] == ["asset.created", "asset.changed", "asset.changed", "asset.deleted"]
    assert all(b["decision_digest"] for b in mine)
    assert (mine[-1]["old_digest"], mine[-1]["new_digest"]) == (again.etag, None)
    index = next(n for n, b in enumerate(bodies) if b.get("object") == NEW)
    decision = running.reader.document(index, bytes.fromhex(str(mine[0]["decision_digest"])))
    assert decision is not None
    assert json.loads(decision)["question"]["action"] == "assets.create"


async def test_what_is_only_validated_is_not_written(running: Running, operator: People) -> None:
    head = running.reader.head().size
    request = pb.CreateProfileRequest(profile=profile(), validate_only=True)
    judged = await operator("CreateProfile", request, Change)
    assert (judged.state, running.reader.head().size) == (CHANGE_STATE_VALIDATED, head)
    request.validate_only = False
    assert (await operator("CreateProfile", request, Change)).etag == judged.etag
    await refused("ALREADY_EXISTS", "name", operator("CreateProfile", request, Change))


# name: (rule, what the asset says otherwise, what the profile asks of SNP otherwise, what the value says otherwise)
RULES: dict[str, tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "a profile that is not there": ("PROFILE", {"profile": "tenants/acme/profiles/none"}, {}, {}),
    "a set that is not there": ("REFERENCES", {"references": ["tenants/acme/referenceSets/none"]}, {}, {}),
    "another tenant's profile": ("TENANT", {"profile": "tenants/umbrella/profiles/p"}, {}, {}),
    "a value that covers firmware alone": ("TIER_COVERAGE", {}, {}, {"covers": ["firmware"]}),
    "a TCB below the floor": ("PROFILE_TIER", {"tier": 1}, {"minimum_tcb": {"milan": {"snp": 1}}}, {}),
    "VMPL 1": ("PROFILE_TIER", {"tier": 1}, {"vmpl": 1}, {}),
    "no TCB for Turin": ("PROFILE_TIER", {}, {"products": ["turin"], "minimum_tcb": {"turin": {}}}, {}),
    "CXL": ("PROFILE_TIER", {}, {"allow_cxl": True}, {}),
    "unknown platform bits": ("PROFILE_TIER", {}, {"allow_unknown_platform_bits": True}, {}),
    "provisional firmware in tier 3": ("PROFILE_TIER", {"tier": 3}, {"host_data": ["ab" * 32]}, {}),
    "no job in tier 3": ("PROFILE_TIER", {"tier": 3}, {"allow_provisional_firmware": False}, {}),
    "no devices in tier 3": (
        "PROFILE_TIER", {"tier": 3}, {"allow_provisional_firmware": False, "host_data": ["ab" * 32]}, {},
    ),
    "any machine in tier 4": (
        "PROFILE_TIER", {"tier": 4}, {"allow_provisional_firmware": False, "host_data": ["ab" * 32]}, {},
    ),
}  # fmt: skip


async def test_what_no_release_could_rest_on_is_not_written(operator: People) -> None:
    for name, (rule, of_asset, of_profile, of_value) in RULES.items():
        changes = [
            pb.PlannedChange(profile=profile(snp=GOOD_SNP | of_profile)),
            pb.PlannedChange(reference_set=references(value=of_value)),
            pb.PlannedChange(asset=asset(**of_asset)),
        ]
        request = pb.PlanChangesRequest(parent="tenants/acme", changes=changes)
        outcomes = (await operator("PlanChanges", request, pb.PlanChangesResponse)).outcomes
        told = [(o.reason, o.check) for o in outcomes]
        assert told == [("", ""), ("", ""), ("CATALOGUE_RULE", rule)], name
        assert NEW in outcomes[2].message, name


async def test_what_assets_rest_on_cannot_be_taken_from_under_them(operator: People) -> None:
    await register(operator)
    weak = profile(snp=GOOD_SNP | {"allow_cxl": True})
    await refused(
        "CATALOGUE_RULE", "PROFILE_TIER", operator("UpdateProfile", pb.UpdateProfileRequest(profile=weak), Change)
    )
    thin = references(value={"covers": ["firmware"]})
    request = pb.UpdateReferenceSetRequest(reference_set=thin)
    await refused("CATALOGUE_RULE", "TIER_COVERAGE", operator("UpdateReferenceSet", request, Change))
    request = pb.UpdateReferenceSetRequest(reference_set=references(shared=True))
    await refused("CATALOGUE_RULE", "SECOND_FACT", operator("UpdateReferenceSet", request, Change))
    told = references(shared=True, value={"host_data": "cd" * 32})
    await operator("UpdateReferenceSet", pb.UpdateReferenceSetRequest(reference_set=told), Change)
    await refused("CATALOGUE_RULE", "IN_USE", operator("DeleteProfile", pb.DeleteProfileRequest(name=PROFILE), Change))
    await refused(
        "CATALOGUE_RULE", "IN_USE", operator("DeleteReferenceSet", pb.DeleteReferenceSetRequest(name=SET), Change)
    )
    await operator("DeleteAsset", pb.DeleteAssetRequest(name=NEW), Change)
    await operator("DeleteProfile", pb.DeleteProfileRequest(name=PROFILE), Change)


SUNSET = Timestamp(seconds=2_000_000_000)
# name: (states one after the other, which of them is refused)
LIVES: dict[str, tuple[list[int], int | None]] = {
    "draft, active, deprecated, revoked": ([1, 2, 3, 4], None),
    "back from deprecated": ([2, 3, 2], None),
    "straight to revoked": ([1, 4], None),
    "born deprecated": ([3], None),
    "born revoked, and stays so": ([4, 2], 1),
    "back to draft": ([2, 1], 1),
    "a draft that ends": ([1, 3], 1),
    "revoked and active again": ([2, 4, 2], 2),
    "no state": ([0], 0),
}


async def test_the_life_of_a_reference_set(operator: People) -> None:
    for case, (states, wrong) in enumerate(LIVES.values()):
        name = f"{SET}-{case}"
        for number, state in enumerate(states):
            made = references(state, name, sunset_time=SUNSET) if state == 3 else references(state, name)
            one = pb.CreateReferenceSetRequest if number == 0 else pb.UpdateReferenceSetRequest
            call = operator(one.DESCRIPTOR.name.removesuffix("Request"), one(reference_set=made), Change)
            if number == wrong:
                await refused(*(("CATALOGUE_RULE", "STATE") if state else ("DOCUMENT_INVALID", name)), call)
            else:
                await call


# name: what is no document
WRONG: dict[str, tuple[str, str, Any]] = {
    "no tier": ("DOCUMENT_INVALID", "tier", pb.Asset(name=NEW, kind="weights", owner="g")),
    "a tier above": ("DOCUMENT_INVALID", NEW, asset(tier=5)),
    "a tier below": ("DOCUMENT_INVALID", NEW, asset(tier=-1)),
    "no owner": ("DOCUMENT_INVALID", NEW, asset(owner="")),
    "a kind nobody knows": ("DOCUMENT_INVALID", NEW, asset(kind="key")),
    "a ceiling above the tier's": ("DOCUMENT_INVALID", NEW, asset(lease_seconds=TIERS[2].lease_seconds + 1)),
    "a name in another collection": ("DOCUMENT_INVALID", "name", asset(name="tenants/acme/profiles/new")),
    "a name below another": ("DOCUMENT_INVALID", "name", asset(name=f"{NEW}/keyVersions/1")),
    "labels with spaces": ("DOCUMENT_INVALID", NEW, asset(labels=["a b"])),
    "JSON cut short": ("DOCUMENT_INVALID", "definition", pb.Profile(name=PROFILE, definition='{"snp": {')),
    "a key twice": ("DOCUMENT_INVALID", "definition", pb.Profile(name=PROFILE, definition='{"snp": {}, "snp": {}}')),
    "a number that is not whole": ("DOCUMENT_INVALID", "definition", pb.Profile(name=PROFILE, definition="1.5")),
    "JSON as deep as it goes": ("DOCUMENT_INVALID", "definition", pb.Profile(name=PROFILE, definition="[" * 90_000)),
    "a profile of nothing": ("DOCUMENT_INVALID", PROFILE, pb.Profile(name=PROFILE, definition="{}")),
    "a device without its PDI": ("DOCUMENT_INVALID", "pdi", pb.Device(name=DEVICE, kind="nvidia-gpu")),
    "a PDI that is none": (
        "DOCUMENT_INVALID", "pdi", pb.Device(name=DEVICE, kind="nvidia-gpu", pdi="1654023002345"),
    ),
    "a kind of device nobody knows": (
        "DOCUMENT_INVALID", DEVICE, pb.Device(name=DEVICE, kind="x", pdi="ab" * 8),
    ),
    "no values": ("DOCUMENT_INVALID", SET, pb.ReferenceSet(name=SET, state=pb.REFERENCE_STATE_DRAFT, values="[]")),
}  # fmt: skip


async def test_documents_that_are_none(operator: People) -> None:
    for reason, check, message in WRONG.values():
        one = type(message).__name__
        field = "reference_set" if one == "ReferenceSet" else one.lower()
        request = getattr(pb, f"Create{one}Request")(**{field: message})
        await refused(reason, check, operator(f"Create{one}", request, Change))


async def test_pages_and_filters(operator: People) -> None:
    await register(operator)
    for n in range(5):
        extra = {"tier": n % 3, "labels": ["even"] if n % 2 == 0 else ["odd"]}
        await operator("CreateAsset", pb.CreateAssetRequest(asset=asset(f"{NEW}-{n}", **extra)), Change)

    async def names(**asked: Any) -> tuple[list[str], str]:
        request = pb.ListAssetsRequest(**{"parent": "tenants/acme", **asked})
        answer = await operator("ListAssets", request, pb.ListAssetsResponse)
        return [a.name.rpartition("/")[2] for a in answer.assets], answer.next_page_token

    everything, token = await names()
    assert (everything, token) == (["llm-weights", "new", *[f"new-{n}" for n in range(5)]], "")
    pages, token = await names(page_size=3)
    while token:
        more, token = await names(page_size=3, page_token=token)
        pages += more
    assert pages == everything
    assert (await names(filter="tier >= 2 AND labels:even"))[0] == ["new-2"]
    assert (await names(filter='kind = "weights" AND tier != 2'))[0] == ["new-0", "new-1", "new-3", "new-4"]
    assert (await names(filter="labels:none"))[0] == []
    for wrong in ({"filter": "danger = 1"}, {"filter": "tier >"}, {"page_token": "!"}, {"page_size": -1}):
        with pytest.raises(Refused, match="REQUEST_MALFORMED"):
            await names(**wrong)


async def test_nobody_learns_what_exists_where_they_may_not_list(running: Running) -> None:
    stranger = await enrol(running, "stranger", "operator", tenants=("umbrella",))
    for name in (ASSET, f"{ASSET}-none"):
        error = await refused("ACCESS_DENIED", "", stranger("GetAsset", pb.GetAssetRequest(name=name), pb.Asset))
        assert error.ticket
        request = pb.CreateAssetRequest(asset=asset(name))
        await refused("ACCESS_DENIED", "", stranger("CreateAsset", request, Change))
    auditor = await enrol(running, "auditor", "auditor")
    assert (await auditor("GetAsset", pb.GetAssetRequest(name=ASSET), pb.Asset)).tier == 2
    await refused("ACCESS_DENIED", "", auditor("DeleteAsset", pb.DeleteAssetRequest(name=ASSET), Change))


async def test_two_at_once_and_one_is_told(operator: People) -> None:
    await register(operator)
    there = await operator("GetAsset", pb.GetAssetRequest(name=NEW), pb.Asset)
    changed = [pb.Asset(), pb.Asset()]
    for n, each in enumerate(changed):
        each.CopyFrom(there)
        each.size_bytes = 100 + n
    calls = [operator("UpdateAsset", pb.UpdateAssetRequest(asset=each), Change) for each in changed]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert sorted(type(o).__name__ for o in outcomes) == ["Change", "Refused"]
    assert [o.reason for o in outcomes if isinstance(o, Refused)] == ["ETAG_MISMATCH"]


async def test_a_plan_is_judged_in_its_own_order(running: Running, operator: People) -> None:
    head = running.reader.head().size
    changes = [
        pb.PlannedChange(profile=profile()),
        pb.PlannedChange(asset=asset()),
        pb.PlannedChange(reference_set=references()),
        pb.PlannedChange(asset=asset()),
        pb.PlannedChange(delete=NEW),
        pb.PlannedChange(delete="principals/operator"),
        pb.PlannedChange(delete="tenants/umbrella/assets/x"),
        pb.PlannedChange(),
    ]
    request = pb.PlanChangesRequest(parent="tenants/acme", changes=changes)
    answer = await operator("PlanChanges", request, pb.PlanChangesResponse)
    told = [(o.reason, o.check) for o in answer.outcomes]
    assert told[:5] == [("", ""), ("CATALOGUE_RULE", "REFERENCES"), ("", ""), ("", ""), ("", "")]
    assert [reason for reason, _ in told[5:]] == ["REQUEST_MALFORMED"] * 3
    assert answer.outcomes[3].change.etag
    assert answer.outcomes[4].present_etag == answer.outcomes[3].change.etag
    assert running.reader.head().size == head


async def test_tenants_and_devices(running: Running, operator: People) -> None:
    tenant = pb.Tenant(name="tenants/acme", owner="groups/acme-admins")
    await operator("CreateTenant", pb.CreateTenantRequest(tenant=tenant), Change)
    listed = await operator("ListTenants", pb.ListTenantsRequest(), pb.ListTenantsResponse)
    assert [t.name for t in listed.tenants] == ["tenants/acme"]
    await refused(
        "CATALOGUE_RULE", "IN_USE", operator("DeleteTenant", pb.DeleteTenantRequest(name=tenant.name), Change)
    )
    pdi = "0123456789abcdef"
    device = pb.Device(name="tenants/acme/devices/rack-1-gpu-0", kind="nvidia-gpu", pdi=pdi)
    await operator("CreateDevice", pb.CreateDeviceRequest(device=device), Change)
    shown = await operator("GetDevice", pb.GetDeviceRequest(name=device.name), pb.Device)
    assert (shown.pdi, shown.kind) == ("", "nvidia-gpu")
    assert shown.pseudonym == running.broker.pseudonyms.device("acme", "nvidia-gpu", bytes.fromhex(pdi))
    assert pdi.encode() not in running.broker.catalogue.current().objects[device.name].document
    shown.labels.append("spare")
    # The pseudonym is as good as what it hides.
    await operator("UpdateDevice", pb.UpdateDeviceRequest(device=shown), Change)
