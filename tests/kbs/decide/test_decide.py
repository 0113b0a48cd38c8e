"""The decision: what no policy lifts, what counts as an allow, and how much of a refusal is told."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from attest.finding import Finding, Outcome
from attest.tlog.entry import canonical, parse_canonical
from kbs.decide.canonical import MAX_DECISION, decision_bytes
from kbs.decide.decide import decide
from kbs.decide.invariants import violations
from kbs.model.decision import Decision, EngineAnswer, Question, Resource, Workload
from kbs.rpc.status import REASONS
from tests.kbs.decide.questions import ALLOW, NAME, answer, finding, question, resource, workload

FAILED, SKIPPED = Outcome.FAILED, Outcome.SKIPPED

# name: (what is changed in the resource, the reason told, the check that stands in the findings)
OF_AN_ASSET: dict[str, tuple[dict[str, Any], str, str]] = {
    "a failed check": ({"findings": (finding(), finding("POLICY_MEASUREMENT", FAILED))}, "ACCESS_DENIED", "APPRAISAL"),
    "no check at all": ({"findings": ()}, "ACCESS_DENIED", "APPRAISAL"),
    "skipped checks alone": ({"findings": (finding("X", SKIPPED),)}, "ACCESS_DENIED", "APPRAISAL"),
    "no reference value in force": ({"references": 0}, "ACCESS_DENIED", "REFERENCE_VALUE"),
    "none that matches": ({"reference": ""}, "ACCESS_DENIED", "REFERENCE_VALUE"),
    "fewer than none": ({"references": 0, "reference": ""}, "ACCESS_DENIED", "REFERENCE_VALUE"),
    "kernel not covered": ({"covers": ("cmdline", "firmware", "initrd")}, "ACCESS_DENIED", "TIER_COVERAGE"),
    "nothing covered": ({"covers": ()}, "ACCESS_DENIED", "TIER_COVERAGE"),
    "a profile below its tier": ({"unmet": ("VMPL",)}, "ACCESS_DENIED", "PROFILE_TIER"),
    "shared without a second fact": ({"shared": True}, "ACCESS_DENIED", "SECOND_FACT"),
    "another purpose": ({"purposes": ("inference",)}, "ACCESS_DENIED", "PURPOSE"),
    "no purpose": ({"purposes": ()}, "ACCESS_DENIED", "PURPOSE"),
    "no owner": ({"owner": ""}, "ACCESS_DENIED", "ASSET_OWNER"),
    "locked": ({"locked": True}, "LOCKED", "LOCKED"),
    "unknown": ({"known": False}, "ACCESS_DENIED", "ASSET_UNKNOWN"),
}
OF_THE_NODE: dict[str, tuple[dict[str, Any], str, str]] = {
    "debug": ({"debug": True}, "DEBUG_ENABLED", "POLICY_DEBUG"),
    "migration agent": ({"migration_agent": True}, "MIGRATION_AGENT", "POLICY_MIGRATE_MA"),
    "simulated": ({"simulated": True}, "SIMULATED_ROOT", "SIMULATED_ROOT"),
}


def _failed(decision: Decision) -> list[str]:
    return [f.check for f in decision.findings if f.outcome is FAILED]


def test_a_good_question_is_allowed() -> None:
    decision = decide(question(), [ALLOW])
    assert (decision.allowed, decision.reason, decision.reasons) == (True, "ALLOWED", ("ALLOWED",))
    assert _failed(decision) == []
    assert decide(question(resource(shared=True, second_fact="HOST_DATA")), [ALLOW]).allowed
    assert decide(question(resource(), resource(name=NAME + "-2")), [ALLOW, ALLOW]).allowed


@pytest.mark.parametrize("name", OF_AN_ASSET)
def test_invariants_of_an_asset(name: str) -> None:
    changed, reason, check = OF_AN_ASSET[name]
    bad = resource(**changed)
    for resources in ([bad], [resource(), bad], [bad, resource()]):
        decision = decide(question(*resources), [ALLOW])
        assert (decision.allowed, decision.reason) == (False, reason)
        assert check in _failed(decision)
        assert "ALLOWED" not in decision.reasons


@pytest.mark.parametrize("name", OF_THE_NODE)
def test_invariants_of_the_node(name: str) -> None:
    changed, reason, check = OF_THE_NODE[name]
    decision = decide(question(workload=workload(**changed)), [ALLOW])
    assert (decision.allowed, decision.reason, _failed(decision)) == (False, reason, [check])


def test_simulation_is_refused_both_ways() -> None:
    for simulated, simulation in ((True, False), (False, True)):
        decision = decide(question(workload=workload(simulated=simulated), simulation=simulation), [ALLOW])
        assert decision.reason == "SIMULATED_ROOT"
    assert decide(question(workload=workload(simulated=True), simulation=True), [ALLOW]).allowed


def test_no_asset_is_a_refusal() -> None:
    decision = decide(question(resources=()), [ALLOW])
    assert (decision.allowed, decision.reason, _failed(decision)) == (False, "ACCESS_DENIED", ["NO_ASSET"])


# name: answers that are no allow
NO_ALLOW: dict[str, list[EngineAnswer]] = {
    "no answer": [],
    "a refusal": [answer(allowed=False)],
    "an allow with an error": [answer(errors=("attribute missing",))],
    "an error": [answer(allowed=False, errors=("attribute missing",))],
    "an allow and a refusal": [ALLOW, answer(allowed=False, engine="opa")],
    "a refusal and an allow": [answer(allowed=False), ALLOW],
    "an allow and an error": [ALLOW, answer(errors=("timeout",), engine="opa")],
}


@pytest.mark.parametrize("name", NO_ALLOW)
@pytest.mark.parametrize("who", ["workload", "person"])
def test_anything_but_an_explicit_allow_is_a_refusal(name: str, who: str) -> None:
    asked = (
        question() if who == "workload" else question(workload=None, action="decisions.explain", roles=("operator",))
    )
    assert decide(asked, [ALLOW]).allowed
    decision = decide(asked, NO_ALLOW[name])
    assert (decision.allowed, decision.reason, decision.reasons) == (False, "ACCESS_DENIED", ("ACCESS_DENIED",))


LOCKED, OTHER = resource(locked=True), resource(purposes=())
# name: what is asked, what the engines answer, and what is told
TOLD: dict[str, tuple[Question, list[EngineAnswer], str]] = {
    "a lock alone": (question(LOCKED), [ALLOW], "LOCKED"),
    "two locks": (question(LOCKED, resource(name=NAME + "-2", locked=True)), [ALLOW], "LOCKED"),
    "a lock and another purpose": (question(resource(locked=True, purposes=())), [ALLOW], "ACCESS_DENIED"),
    "a lock, and another asset's purpose": (question(LOCKED, OTHER), [ALLOW], "ACCESS_DENIED"),
    "a lock and an unknown asset": (question(LOCKED, resource(known=False)), [ALLOW], "ACCESS_DENIED"),
    "a lock and the policy": (question(LOCKED), [answer(allowed=False)], "ACCESS_DENIED"),
    "a lock and no answer": (question(LOCKED), [], "ACCESS_DENIED"),
    "debug and a lock": (question(LOCKED, workload=workload(debug=True)), [ALLOW], "DEBUG_ENABLED"),
    "debug and an unknown asset": (
        question(resource(known=False), workload=workload(debug=True)), [ALLOW], "DEBUG_ENABLED",
    ),
    "debug and the policy": (question(workload=workload(debug=True)), [answer(allowed=False)], "DEBUG_ENABLED"),
    "debug and migration": (
        question(workload=workload(debug=True, migration_agent=True)), [ALLOW], "DEBUG_ENABLED",
    ),
    "simulated and debug": (
        question(workload=workload(simulated=True, debug=True)), [ALLOW], "SIMULATED_ROOT",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TOLD)
def test_what_is_told(name: str) -> None:
    asked, answers, told = TOLD[name]
    assert decide(asked, answers).reason == told


def test_an_unknown_asset_is_told_like_a_denied_one() -> None:
    """Whether a name exists does not show in what the caller learns."""
    unknown = decide(question(resource(known=False)), [ALLOW])
    for changed, reason, _ in OF_AN_ASSET.values():
        if reason == "ACCESS_DENIED":
            denied = decide(question(resource(**changed)), [ALLOW])
            assert (denied.allowed, denied.reason, denied.reasons) == (False, unknown.reason, unknown.reasons)


@pytest.mark.parametrize("count", [0, 2])
def test_a_person_asks_about_one_thing(count: int) -> None:
    asked = question(workload=None, action="decisions.explain", roles=("operator",))
    assert decide(asked, [ALLOW]).allowed
    decision = decide(dataclasses.replace(asked, resources=(resource(),) * count), [ALLOW])
    assert (decision.allowed, decision.reason, _failed(decision)) == (False, "ACCESS_DENIED", ["NO_RESOURCE"])


def _resources() -> st.SearchStrategy[Resource]:
    return st.lists(st.sampled_from(sorted(OF_AN_ASSET)), max_size=3).map(
        lambda chosen: resource(**{k: v for name in chosen for k, v in OF_AN_ASSET[name][0].items()})
    )


def _workloads() -> st.SearchStrategy[Workload]:
    return st.lists(st.sampled_from(sorted(OF_THE_NODE)), max_size=3).map(
        lambda chosen: workload(**{k: v for name in chosen for k, v in OF_THE_NODE[name][0].items()})
    )


ANSWERS = st.lists(st.builds(answer, allowed=st.booleans(), errors=st.sampled_from([(), (), ("e",)])), max_size=3)
QUESTIONS = st.builds(
    lambda rs, w: question(*rs, workload=w), st.lists(_resources(), min_size=1, max_size=3), _workloads()
)


@settings(max_examples=200, deadline=None)
@given(asked=QUESTIONS, answers=ANSWERS, more=_resources(), node=st.sampled_from(sorted(OF_THE_NODE)))
def test_more_wrong_is_never_more_allowed(
    asked: Question, answers: list[EngineAnswer], more: Resource, node: str
) -> None:
    decision = decide(asked, answers)
    clean = not list(violations(asked))
    assert decision.allowed == (clean and bool(answers) and all(a.allowed and not a.errors for a in answers))
    assert asked.workload is not None
    worse = [
        decide(dataclasses.replace(asked, resources=(*asked.resources, more)), answers),
        decide(dataclasses.replace(asked, resources=(more, *asked.resources)), answers),
        decide(
            dataclasses.replace(asked, workload=dataclasses.replace(asked.workload, **OF_THE_NODE[node][0])), answers
        ),
        decide(asked, [*answers, answer(allowed=False)]) if answers else decide(asked, []),
    ]
    assert decision.allowed or not any(w.allowed for w in worse)
    assert not any(w.allowed for w in worse[2:])
    assert decision.reason in REASONS or decision.reason == "ALLOWED"
    assert set(decision.reasons) <= {*REASONS, "ALLOWED"}
    assert bool(_failed(decision)) == (not decision.allowed and bool(answers)) or not answers


@settings(max_examples=100, deadline=None)
@given(asked=QUESTIONS, answers=ANSWERS)
def test_a_decision_is_made_again_from_what_is_stored(asked: Question, answers: list[EngineAnswer]) -> None:
    decision = decide(asked, answers)
    stored = decision_bytes(asked, answers, decision)
    again_asked, again_answers = _read(stored)
    assert (again_asked, again_answers) == (asked, answers)
    again = decide(again_asked, again_answers)
    assert again == decision
    assert decision_bytes(again_asked, again_answers, again) == stored


def _read(stored: bytes) -> tuple[Question, list[EngineAnswer]]:
    """What an auditor reads: nothing but the document."""
    document: Any = parse_canonical(stored, limit=MAX_DECISION)
    findings = [Finding(**{**f, "outcome": Outcome(f["outcome"])}) for f in document["findings"]]
    asked = dict(document["question"])
    resources, at = [], 0
    for line in asked["resources"]:
        count = line["findings"]
        texts = {k: tuple(line[k]) for k in ("purposes", "covers", "must_cover", "unmet")}
        differences = tuple((d["field"], d["expected"], d["got"]) for d in line["differences"])
        kept = {**line, **texts, "differences": differences, "findings": tuple(findings[at : at + count])}
        resources.append(Resource(**kept))
        at += count
    node = Workload(**asked["workload"]) if asked["workload"] is not None else None
    read = {"roles": tuple(asked["roles"]), "workload": node, "resources": tuple(resources)}
    made = Question(**{**asked, **read, "lease": tuple(findings[at : at + asked.get("lease", 0)])})
    answers = [
        EngineAnswer(**{**a, "policies": tuple(a["policies"]), "errors": tuple(a["errors"])})
        for a in document["answers"]
    ]
    return made, answers


def _others(value: Any) -> Any:
    """Another value of the same type."""
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case str():
            return value + "x"
        case tuple():
            return (*value, value[0] if value else "x")
        case _:
            raise AssertionError(value)


def _variants(value: Any, skip: Sequence[str] = ()) -> list[Any]:
    names = [field.name for field in dataclasses.fields(value) if field.name not in skip]
    return [dataclasses.replace(value, **{name: _others(getattr(value, name))}) for name in names]


def test_every_field_is_in_the_document() -> None:
    """Whatever is other in question, answer or outcome, the digest is other."""
    node, held = workload(), resource(differences=(("f", "e", "g"),), purposes=("training",))
    asked, said = question(held, workload=node), answer(errors=("e",))
    decision = decide(asked, [said])
    made = {decision_bytes(asked, [said], decision)}
    variants = [
        *((dataclasses.replace(asked, workload=w), said, decision) for w in _variants(node)),
        *((dataclasses.replace(asked, resources=(r,)), said, decision) for r in _variants(held, ("differences",))),
        (
            dataclasses.replace(asked, resources=(dataclasses.replace(held, differences=(("f", "e", "h"),)),)),
            said,
            decision,
        ),
        *((q, said, decision) for q in _variants(asked, ("workload", "roles"))),
        (dataclasses.replace(asked, roles=("operator",)), said, decision),
        (dataclasses.replace(asked, workload=None), said, decision),
        *((asked, a, decision) for a in _variants(said)),
        *((asked, said, d) for d in _variants(decision, ("findings",))),
        *((asked, said, dataclasses.replace(decision, findings=(f,))) for f in _variants(finding(), ("outcome",))),
        (asked, said, dataclasses.replace(decision, findings=(finding(outcome=SKIPPED),))),
        (asked, said, dataclasses.replace(decision, findings=())),
    ]
    for q, a, d in variants:
        made.add(decision_bytes(q, [a], d))
    made.add(decision_bytes(asked, [], decision))
    made.add(decision_bytes(asked, [said, said], decision))
    assert len(made) == len(variants) + 3


def test_the_document_is_these_bytes() -> None:
    """`sealgate.decision/1`: what is stored today is read in ten years."""
    held = resource(findings=(finding(),), differences=(("measurement", "aa", "bb"),), nearest="set#near")
    asked = question(held)
    stored = decision_bytes(asked, [ALLOW], decide(asked, [ALLOW]))
    boot = ["cmdline", "firmware", "initrd", "kernel"]
    passed = {"check": "POLICY_VMPL", "path": "report.policy_vmpl", "outcome": "passed", "expected": "0", "got": "0"}
    engine = {
        "check": "POLICY",
        "path": "engine.cedar",
        "outcome": "passed",
        "expected": "an explicit allow",
        "got": "allow by p",
    }
    node = {
        "node": "node-a", "platform": "snp", "product": "milan", "simulated": False, "debug": False,
        "migration_agent": False, "devices": 0,
    }  # fmt: skip
    line = {
        "name": NAME, "known": True, "tier": 2, "kind": "weights", "owner": "groups/ml", "locked": False,
        "purposes": ["training"], "reference": "set#value", "references": 1, "covers": boot, "must_cover": boot,
        "unmet": [],
        "shared": False, "second_fact": "", "nearest": "set#near", "findings": 1,
        "differences": [{"field": "measurement", "expected": "aa", "got": "bb"}],
    }  # fmt: skip
    assert stored == canonical(
        {
            "v": "sealgate.decision/1",
            "question": {
                "action": "release", "tenant": "acme", "principal": "node-a", "roles": [], "purpose": "training",
                "workload": node, "resources": [line], "simulation": False,
            },
            "answers": [{"engine": "cedar", "allowed": True, "policies": ["p"], "errors": []}],
            "allowed": True,
            "reason": "ALLOWED",
            "reasons": ["ALLOWED"],
            "findings": [passed, engine],
        }
    )  # fmt: skip


def test_the_largest_request_can_be_written_down() -> None:
    """Sixteen assets with every name and finding as long as they come."""
    long = tuple(dataclasses.replace(finding(f"C{n}"), expected="e" * 160, got="g" * 160) for n in range(40))
    resources = [
        resource(name=f"tenants/{'t' * 63}/assets/{'a' * 61}{n:02}", findings=long, owner="o" * 200) for n in range(16)
    ]
    asked = question(*resources)
    assert len(decision_bytes(asked, [ALLOW], decide(asked, [ALLOW]))) < MAX_DECISION
