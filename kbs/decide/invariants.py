"""What no policy can lift. Each invariant is a function of the question that says why not, or nothing.

They run before any engine's answer is looked at. A new one is added to the tuple at the end, with its reason in the
table of docs/errors.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from attest.finding import Finding, Outcome, acceptable
from kbs.decide.authority import roles_for
from kbs.decide.renewal import CONTINUITY
from kbs.model.decision import Question, Resource, Workload

__all__ = ["violations"]

Violation = tuple[str, Finding]


def violations(question: Question) -> Iterator[Violation]:
    """Every violated invariant as (reason, finding), the ones that depend on no asset first."""
    if question.workload is None:
        yield from _entitled(question)
        return
    for workload_rule in _WORKLOAD:
        yield from workload_rule(question, question.workload)
    yield from _continues(question)
    if not question.resources:
        yield _violated("ACCESS_DENIED", "NO_ASSET", "request.names", "at least one", "none")
    for resource in question.resources:
        for rule in _RESOURCE if resource.known else (_known,):
            yield from rule(question, resource)


def _entitled(question: Question) -> Iterator[Violation]:
    """A person has one of the roles that the action can be allowed to, in that tenant, and asks about one thing."""
    roles = roles_for(question.action)
    if not roles & set(question.roles):
        expected = f"one of: {', '.join(sorted(roles)) or 'nobody'}"
        got = ", ".join(question.roles) or f"no role in {question.tenant or 'any tenant'}"
        yield _violated("ACCESS_DENIED", "ROLE", question.action, expected, got)
    if len(question.resources) != 1:
        yield _violated("ACCESS_DENIED", "NO_RESOURCE", "request.name", "one thing", len(question.resources))


def _violated(reason: str, check: str, path: str, expected: object, got: object) -> Violation:
    return reason, Finding(check=check, path=path, outcome=Outcome.FAILED, expected=str(expected), got=str(got))


def _simulated(question: Question, workload: Workload) -> Iterator[Violation]:
    if workload.simulated != question.simulation:
        yield _violated(
            "SIMULATED_ROOT", "SIMULATED_ROOT", "evidence", f"simulated {question.simulation}", workload.simulated
        )


def _debug(_question: Question, workload: Workload) -> Iterator[Violation]:
    if workload.debug:
        yield _violated("DEBUG_ENABLED", "POLICY_DEBUG", "report.policy.debug", 0, 1)


def _migration(_question: Question, workload: Workload) -> Iterator[Violation]:
    if workload.migration_agent:
        yield _violated("MIGRATION_AGENT", "POLICY_MIGRATE_MA", "report.policy.migrate_ma", 0, 1)


def _continues(question: Question) -> Iterator[Violation]:
    """A renewal goes on with a lease, which is the holder's; and no device is under another machine's lease."""
    if question.action == "renew" and not question.lease:
        yield _violated("ACCESS_DENIED", "LEASE_UNKNOWN", "lease", "a lease to go on with", "nothing known of one")
    for finding in question.lease:
        if finding.outcome is not Outcome.PASSED:
            yield (
                CONTINUITY.get(finding.check, "ACCESS_DENIED") if question.action == "renew" else "ACCESS_DENIED",
                finding,
            )


def _known(_question: Question, resource: Resource) -> Iterator[Violation]:
    yield _violated("ACCESS_DENIED", "ASSET_UNKNOWN", resource.name, "an asset of the catalogue", "no such asset")


def _owned(_question: Question, resource: Resource) -> Iterator[Violation]:
    if not resource.owner:
        yield _violated("ACCESS_DENIED", "ASSET_OWNER", resource.name, "an owner group", "none")


def _not_locked(_question: Question, resource: Resource) -> Iterator[Violation]:
    if resource.locked:
        yield _violated("LOCKED", "LOCKED", resource.name, "no lock", "a lock")


def _purpose(question: Question, resource: Resource) -> Iterator[Violation]:
    if question.purpose not in resource.purposes:
        listed = ", ".join(resource.purposes) or "none"
        yield _violated("ACCESS_DENIED", "PURPOSE", resource.name, f"one of: {listed}", question.purpose)


def _appraised(_question: Question, resource: Resource) -> Iterator[Violation]:
    if not acceptable(resource.findings):
        failed = [f.check for f in resource.findings if f.outcome is Outcome.FAILED]
        yield _violated("ACCESS_DENIED", "APPRAISAL", resource.name, "no failed check", ", ".join(failed) or "no check")


def _referenced(_question: Question, resource: Resource) -> Iterator[Violation]:
    if not resource.references or not resource.reference:
        yield _violated(
            "ACCESS_DENIED", "REFERENCE_VALUE", resource.name, "a matching active reference value",
            f"none of {resource.references}",
        )  # fmt: skip


def _covered(_question: Question, resource: Resource) -> Iterator[Violation]:
    missing = set(resource.must_cover) - set(resource.covers)
    if resource.reference and missing:
        yield _violated(
            "ACCESS_DENIED", "TIER_COVERAGE", resource.name, ", ".join(resource.must_cover),
            ", ".join(resource.covers) or "nothing",
        )  # fmt: skip


def _demanding(_question: Question, resource: Resource) -> Iterator[Violation]:
    if resource.unmet:
        expected = f"a profile that meets what tier {resource.tier} demands"
        yield _violated("ACCESS_DENIED", "PROFILE_TIER", resource.name, expected, ", ".join(resource.unmet))


def _told_apart(_question: Question, resource: Resource) -> Iterator[Violation]:
    if resource.shared and not resource.second_fact:
        yield _violated(
            "ACCESS_DENIED", "SECOND_FACT", resource.name, "HOST_DATA, since others can boot this image too", "none"
        )


_WORKLOAD: tuple[Callable[[Question, Workload], Iterator[Violation]], ...] = (_simulated, _debug, _migration)
_RESOURCE: tuple[Callable[[Question, Resource], Iterator[Violation]], ...] = (
    _appraised,
    _referenced,
    _covered,
    _demanding,
    _told_apart,
    _purpose,
    _owned,
    _not_locked,
)
