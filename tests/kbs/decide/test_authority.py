"""Every RPC against every set of roles, and no RPC without a line in the authorisation map."""

from __future__ import annotations

import importlib
import itertools
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import sealgate.v1

from kbs.decide.authority import RIGHTS, WORKLOAD_SERVICES
from kbs.decide.decide import decide
from kbs.decide.people import ask_person
from kbs.model.asset import Principal, Snapshot
from kbs.model.enrolment import ROLES
from kbs.policy.bundle import Bundle, default_bundle
from kbs.policy.cedar import CedarEngine
from tests.kbs.decide.questions import ALLOW

EMPTY = Snapshot(
    revision=0, governance=0, assets={}, key_versions={}, profiles={}, references={}, principals={}, locks=()
)
GOLDEN = Path(__file__).with_name("authority.golden")
ROLE_SETS = [frozenset(c) for n in range(len(ROLES) + 1) for c in itertools.combinations(sorted(ROLES), n)]


def _methods() -> Iterator[tuple[str, str]]:
    for module in pkgutil.iter_modules(sealgate.v1.__path__):
        if module.name.endswith("_pb2"):
            file = importlib.import_module(f"sealgate.v1.{module.name}").DESCRIPTOR
            for service in file.services_by_name.values():
                yield from ((service.full_name, method.name) for method in service.methods)


def test_every_method_for_people_has_a_right_and_no_right_is_idle() -> None:
    found = {f"{service}/{method}" for service, method in _methods() if service not in WORKLOAD_SERVICES}
    assert set(RIGHTS) == found
    assert {service for service, _ in _methods()} >= WORKLOAD_SERVICES


def test_rights_are_roles_that_exist() -> None:
    for name, right in RIGHTS.items():
        assert right.roles, name
        assert right.roles <= ROLES, name
        assert right.kind, name


def test_one_action_means_one_set_of_roles() -> None:
    by_action: dict[str, set[frozenset[str]]] = {}
    for right in RIGHTS.values():
        by_action.setdefault(right.action, set()).add(right.roles)
    assert {action for action, roles in by_action.items() if len(roles) != 1} == set()


def test_the_policy_schema_knows_exactly_these_actions() -> None:
    declared = set(re.findall(r'"([a-zA-Z]+\.[a-z]+)"', default_bundle().schema))
    assert declared == {right.action for right in RIGHTS.values()}


async def _allowed(name: str, roles: frozenset[str], tenant: str = "acme") -> bool:
    person = Principal(id="person-a", key=bytes(32), roles=roles, tenants=frozenset({"acme"}))
    asked = ask_person(person, RIGHTS[name], tenant=tenant, name="tenants/acme/x/y", snapshot=EMPTY, simulation=False)
    return decide(asked, [await ENGINE.answer(asked)]).allowed


ENGINE = CedarEngine(default_bundle())


async def test_the_matrix_of_roles_and_methods_is_the_golden_one() -> None:
    """Under the policy that a deployment starts with. A change of it shows in a review, line by line."""
    lines = []
    for name in sorted(RIGHTS):
        may = [",".join(sorted(roles)) or "nobody" for roles in ROLE_SETS if await _allowed(name, roles)]
        lines.append(f"{name.removeprefix('sealgate.v1.')}: {' '.join(may) or 'none'}")
    assert "\n".join(lines) + "\n" == GOLDEN.read_text()


async def test_nobody_may_do_anything_in_another_tenant() -> None:
    for name in RIGHTS:
        assert not await _allowed(name, ROLES, tenant="umbrella"), name


@pytest.mark.parametrize("name", RIGHTS)
def test_no_policy_gives_more_than_the_map(name: str) -> None:
    """An engine that allows everything, and every set of roles of which none is in the map."""
    for roles in ROLE_SETS:
        person = Principal(id="person-a", key=bytes(32), roles=roles, tenants=frozenset({"acme"}))
        asked = ask_person(person, RIGHTS[name], tenant="acme", name="x", snapshot=EMPTY, simulation=False)
        decision = decide(asked, [ALLOW])
        assert decision.allowed is bool(roles & RIGHTS[name].roles)
        assert decision.allowed or decision.reason == "ACCESS_DENIED"


async def test_a_policy_that_knows_no_role_gives_nothing() -> None:
    engine = CedarEngine(
        Bundle(schema=default_bundle().schema, policies="permit (principal is Sealgate::Workload, action, resource);")
    )
    person = Principal(id="person-a", key=bytes(32), roles=ROLES, tenants=frozenset({"acme"}))
    for right in RIGHTS.values():
        asked = ask_person(person, right, tenant="acme", name="x", snapshot=EMPTY, simulation=False)
        assert not decide(asked, [await engine.answer(asked)]).allowed
