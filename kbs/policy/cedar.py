"""Cedar, in process. Policies and schema are parsed once; a question costs one evaluation."""

from __future__ import annotations

from collections.abc import Mapping

import cedarpy

from kbs.model.decision import EngineAnswer, Question, Workload
from kbs.policy.bundle import Bundle

__all__ = ["CedarEngine", "PolicyInvalid"]

_NAME = "cedar"


class PolicyInvalid(ValueError):
    """The bundle does not parse, or does not validate against its schema."""


class CedarEngine:
    """Answers questions from one bundle. Fails closed: an error in any policy makes the answer a refusal."""

    def __init__(self, bundle: Bundle) -> None:
        try:
            self._schema = cedarpy.Schema.from_str(bundle.schema)
            self._policies = cedarpy.PolicySet.from_str(bundle.policies)
            self._entities = cedarpy.Entities.from_json_str("[]", self._schema)
            result = cedarpy.validate_policies(bundle.policies, bundle.schema)
        except ValueError as error:
            raise PolicyInvalid(f"the policy bundle does not parse: {error}") from error
        if not result.validation_passed:
            raise PolicyInvalid("the policy bundle does not validate: " + "; ".join(map(str, result.errors)))

    async def answer(self, question: Question) -> EngineAnswer:
        """One explicit answer. Holds the GIL for about 0.1 ms, hence runs where it is called (design: section 6)."""
        request = {
            "principal": {
                "type": "Sealgate::Workload" if question.workload else "Sealgate::Person",
                "id": question.principal,
            },
            "action": {"type": "Sealgate::Action", "id": question.action},
            "resource": {"type": "Sealgate::Tenant", "id": question.tenant},
            "context": _release_context(question, question.workload)
            if question.workload
            else _person_context(question),
        }
        result = cedarpy.is_authorized(request, self._policies, self._entities, self._schema)
        diagnostics = result.diagnostics
        names = diagnostics.id_annotations_by_reason
        return EngineAnswer(
            engine=_NAME,
            allowed=result.allowed,
            policies=tuple(sorted(names.get(reason, reason) for reason in diagnostics.reasons)),
            errors=tuple(map(str, diagnostics.errors)),
        )


def _release_context(question: Question, workload: Workload) -> Mapping[str, object]:
    tiers = [r.tier for r in question.resources if r.known] or [0]
    return {
        "assets": [r.name for r in question.resources],
        "debug": workload.debug,
        "devices": workload.devices,
        "highest_tier": max(tiers),
        "kinds": sorted({r.kind for r in question.resources if r.known}),
        "lowest_tier": min(tiers),
        "platform": workload.platform,
        "product": workload.product,
        "purpose": question.purpose,
        "simulated": workload.simulated,
    }


def _person_context(question: Question) -> Mapping[str, object]:
    resource = question.resources[0] if question.resources else None
    return {
        "kind": resource.kind if resource else "",
        "name": resource.name if resource else "",
        "owner": resource.owner if resource else "",
        "roles": list(question.roles),
        "tier": resource.tier if resource else 0,
    }
