"""Cedar behind our interface: what a bundle must be, and that everything unexpected is a refusal."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest

from attest.tlog.entry import canonical
from kbs.decide.authority import RIGHTS
from kbs.decide.decide import decide
from kbs.decide.people import ask_person
from kbs.model.asset import Principal, Snapshot
from kbs.model.decision import Question
from kbs.policy.bundle import Bundle, default_bundle
from kbs.policy.cedar import CedarEngine, PolicyInvalid
from tests.kbs.decide.questions import question, resource, workload

DEFAULT = default_bundle()
SCHEMA = DEFAULT.schema
PERMIT_ALL = "permit (principal, action, resource);"


def _engine(policies: str, schema: str = SCHEMA) -> CedarEngine:
    return CedarEngine(Bundle(schema=schema, policies=policies))


# name: policies with their schema
BROKEN: dict[str, tuple[str, str]] = {
    "syntax": ("permit (principal, action, resource)", SCHEMA),
    "no policy language": ("allow everything", SCHEMA),
    "an attribute that is none": ("permit (principal, action, resource) when { context.danger };", SCHEMA),
    "an attribute of another action": (
        'permit (principal, action == Sealgate::Action::"decisions.explain", resource) when { context.devices < 2 };',
        SCHEMA,
    ),
    "another type": (
        'permit (principal, action == Sealgate::Action::"release", resource) when { context.devices < "2" };', SCHEMA,
    ),
    "an action that is none": ('permit (principal, action == Sealgate::Action::"destroy", resource);', SCHEMA),
    "an entity type that is none": ("permit (principal is Sealgate::Robot, action, resource);", SCHEMA),
    "a schema that does not parse": (PERMIT_ALL, "entity;"),
    "a policy that can never hold": (
        'permit (principal is Sealgate::Person, action == Sealgate::Action::"release", resource);', SCHEMA,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_bundle_is_refused_when_it_is_loaded(name: str) -> None:
    policies, schema = BROKEN[name]
    with pytest.raises(PolicyInvalid):
        CedarEngine(Bundle(schema=schema, policies=policies))


async def test_the_default_bundle() -> None:
    engine = CedarEngine(DEFAULT)
    said = await engine.answer(question())
    assert (said.engine, said.allowed, said.policies, said.errors) == ("cedar", True, ("release-attested",), ())
    assert DEFAULT.document() == canonical({"v": "sealgate.policy/1", "schema": SCHEMA, "policies": DEFAULT.policies})
    assert default_bundle() == DEFAULT
    other = dataclasses.replace(DEFAULT, policies=DEFAULT.policies + " ")
    assert other.digest() != DEFAULT.digest()


# name: (what is asked, if the default policy allows it, the policies that say so)
ASKED: dict[str, tuple[dict[str, Any], bool, tuple[str, ...]]] = {
    "a release": ({}, True, ("release-attested",)),
    "a rehearsal": ({"action": "rehearse"}, True, ("release-attested",)),
    "tier 0": ({"resources": (resource(tier=0),)}, True, ("release-attested",)),
    "tier 3": ({"resources": (resource(tier=3),)}, False, ("tier-needs-approval",)),
    "tier 4": ({"resources": (resource(tier=4),)}, False, ("tier-needs-approval",)),
    "tiers 1 and 3": ({"resources": (resource(tier=1), resource(tier=3))}, False, ("tier-needs-approval",)),
    "tiers 3 and an unknown": (
        {"resources": (resource(known=False, tier=0), resource(tier=3))}, False, ("tier-needs-approval",),
    ),
    "a rehearsal of tier 4": (
        {"action": "rehearse", "resources": (resource(tier=4),)}, False, ("tier-needs-approval",),
    ),
    "another platform": ({"workload": workload(platform="sev")}, False, ("platforms",)),
    "no platform": ({"workload": workload(platform="")}, False, ("platforms",)),
    "a workload that explains": ({"action": "decisions.explain"}, False, ()),
    "an action nobody knows": ({"action": "destroy"}, False, ()),
    "an action with another's characters": ({"action": 'release"'}, False, ()),
    "a person that releases": ({"workload": None}, False, ()),
    "a person that renews": ({"workload": None, "action": "renew"}, False, ()),
    "an action that is to come": ({"action": "identity"}, False, ()),
}  # fmt: skip


@pytest.mark.parametrize("name", ASKED)
async def test_the_default_policy(name: str) -> None:
    changed, allowed, policies = ASKED[name]
    asked = dataclasses.replace(question(), **changed)
    said = await CedarEngine(DEFAULT).answer(asked)
    assert said.allowed is allowed
    assert said.policies == policies
    assert decide(asked, [said]).allowed is (allowed and asked.workload is not None)


@pytest.mark.parametrize(
    "changed",
    [
        {"action": "destroy"},
        {"workload": None},
        {"action": "decisions.explain"},
        {"workload": workload(devices=2**63)},
        {"workload": workload(product="\ud800")},
        {"resources": (resource(tier=2**70),)},
    ],
    ids=str,
)
async def test_what_does_not_fit_the_schema_is_no_allow_under_any_policy(changed: dict[str, Any]) -> None:
    asked = dataclasses.replace(question(), **changed)
    said = await _engine(PERMIT_ALL).answer(asked)
    assert not said.allowed or said.errors
    assert not decide(asked, [said]).allowed


async def test_an_attribute_that_is_missing_is_no_allow() -> None:
    """An optional attribute that the broker does not send: the policy that reads it errs, and that is a refusal."""
    schema = SCHEMA.replace("debug: Bool,", "debug: Bool, ticket?: String,")
    assert schema != SCHEMA
    with pytest.raises(PolicyInvalid):
        _engine('permit (principal, action, resource) when { context.ticket == "x" };', schema)
    required = SCHEMA.replace("debug: Bool,", "debug: Bool, ticket: String,")
    engine = _engine(PERMIT_ALL, required)
    said = await engine.answer(question())
    assert not decide(question(), [said]).allowed


async def test_an_error_in_any_policy_is_a_refusal() -> None:
    """Arithmetic overflows at run time only: Cedar would skip the policy, which here is a refusal."""
    overflow = (
        "forbid (principal is Sealgate::Workload, action, resource)"
        " when { context has devices && context.devices * 9223372036854775807 > 5 };"
    )
    try:
        engine = _engine(PERMIT_ALL + overflow)
    except PolicyInvalid:
        pytest.fail("the test's own policy does not validate")
    fine = await engine.answer(question(workload=workload(devices=0)))
    assert fine.allowed
    asked = question(workload=workload(devices=3))
    said = await engine.answer(asked)
    assert said.errors
    assert not decide(asked, [said]).allowed


A, B = resource(), resource(name="tenants/acme/assets/b", tier=1, kind="dataset")
GHOST = resource(name="tenants/acme/assets/ghost", known=False, tier=0, kind="")
# attribute: (a condition on it, what is asked for which it holds and for which it does not)
SEEN: dict[str, tuple[str, Question, Question]] = {
    "assets": ('context.assets == ["tenants/acme/assets/llm", "tenants/acme/assets/b"]', question(A, B), question(A)),
    "assets that are none": ('context.assets.contains("tenants/acme/assets/ghost")', question(A, GHOST), question(A)),
    "debug": ("context.debug", question(workload=workload(debug=True)), question(workload=workload(simulated=True))),
    "devices": ("context.devices == 8", question(workload=workload(devices=8)), question()),
    "highest_tier": ("context.highest_tier == 2", question(B, A), question(B)),
    "lowest_tier": ("context.lowest_tier == 1", question(A, B), question(A)),
    "lowest_tier of those that are there": ("context.lowest_tier == 2", question(A, GHOST), question(GHOST)),
    "kinds": ('context.kinds == ["dataset", "weights"]', question(A, B), question(A)),
    "kinds of those that are there": ('context.kinds == ["weights"]', question(A, GHOST), question(GHOST)),
    "platform": ('context.platform == "tdx"', question(workload=workload(platform="tdx")), question()),
    "product": ('context.product == "turin"', question(workload=workload(product="turin")), question()),
    "purpose": ('context.purpose == "inference"', question(purpose="inference"), question()),
    "simulated": (
        "context.simulated", question(workload=workload(simulated=True)), question(workload=workload(debug=True)),
    ),
    "who": ('principal == Sealgate::Workload::"node-b"', question(principal="node-b"), question()),
    "whose": ('resource == Sealgate::Tenant::"umbrella"', question(tenant="umbrella"), question()),
}  # fmt: skip


@pytest.mark.parametrize("name", SEEN)
async def test_what_a_policy_sees_of_a_request(name: str) -> None:
    condition, holds, other = SEEN[name]
    policy = f'permit (principal, action == Sealgate::Action::"release", resource) when {{ {condition} }};'
    engine = _engine(policy)
    assert ((await engine.answer(holds)).allowed, (await engine.answer(other)).allowed) == (True, False)


def test_a_policy_sees_no_less_than_the_schema_says() -> None:
    block = SCHEMA.partition("type ReleaseContext = {")[2].partition("}")[0]
    declared = set(re.findall(r"(\w+): ", block))
    assert {name.split(",")[0].split()[0] for name in SEEN} - {"who", "whose"} == declared


# attribute: (a condition on it, another value of the thing asked about)
OF_A_PERSON: dict[str, tuple[str, dict[str, Any]]] = {
    "kind": ('context.kind == "weights"', {"kind": "lease"}),
    "name": ('context.name == "tenants/acme/assets/llm"', {"name": "tenants/acme/assets/b"}),
    "owner": ('context.owner == "groups/ml"', {"owner": ""}),
    "tier": ("context.tier == 2", {"tier": 0}),
}


@pytest.mark.parametrize("name", OF_A_PERSON)
async def test_what_a_policy_sees_of_a_call(name: str) -> None:
    condition, changed = OF_A_PERSON[name]
    engine = _engine(f'permit (principal, action == Sealgate::Action::"assets.get", resource) when {{ {condition} }};')
    asked = question(A, workload=None, action="assets.get", roles=("operator",))
    assert (await engine.answer(asked)).allowed
    other = dataclasses.replace(asked, resources=(dataclasses.replace(A, **changed),))
    assert not (await engine.answer(other)).allowed


async def test_no_policy_lifts_an_invariant() -> None:
    said = await _engine(PERMIT_ALL).answer(question(resource(locked=True)))
    assert said.allowed
    for asked in (
        question(resource(locked=True)),
        question(workload=workload(debug=True)),
        question(resource(known=False)),
    ):
        assert not decide(asked, [said]).allowed


def _person(*roles: str, tenants: tuple[str, ...] = ("acme",)) -> Principal:
    return Principal(id="person-a", key=bytes(32), roles=frozenset(roles), tenants=frozenset(tenants))


EMPTY = Snapshot(
    revision=0, governance=0, assets={}, key_versions={}, profiles={}, references={}, principals={}, locks=()
)
# name: (who, in which tenant, allowed)
PEOPLE: dict[str, tuple[Principal, str, bool]] = {
    "an operator at home": (_person("operator"), "acme", True),
    "an operator who is auditor, too": (_person("operator", "auditor"), "acme", True),
    "an operator of two tenants": (_person("operator", tenants=("acme", "umbrella")), "umbrella", True),
    "an auditor": (_person("auditor"), "acme", False),
    "an operator elsewhere": (_person("operator"), "umbrella", False),
    "an operator of nowhere": (_person("operator", tenants=()), "acme", False),
    "nobody": (_person(), "acme", False),
    "a role in other letters": (_person("Operator"), "acme", False),
}


@pytest.mark.parametrize("name", PEOPLE)
async def test_who_may_explain(name: str) -> None:
    person, tenant, allowed = PEOPLE[name]
    right = RIGHTS["sealgate.v1.Decisions/ExplainDecision"]
    asked = ask_person(person, right, tenant=tenant, name="00", snapshot=EMPTY, simulation=False)
    assert decide(asked, [await CedarEngine(DEFAULT).answer(asked)]).allowed is allowed
