"""What a renewal is told: who is not the holder nothing, the holder whether attesting again can help."""

from __future__ import annotations

from typing import Any

import pytest

from attest.finding import Finding, Outcome
from kbs.decide.decide import decide
from kbs.decide.renewal import CONTINUITY
from kbs.model.decision import EngineAnswer, Question
from kbs.model.lease import BLOCKED, REATTEST
from tests.kbs.decide.questions import ALLOW, answer, finding, question, resource, workload

DENIED = "ACCESS_DENIED"
HELD = (finding("LEASE_GUEST"), finding("LEASE_OVER"))
DENY = answer(allowed=False)


def _renewal(*resources: Any, lease: tuple[Finding, ...] = HELD, **changed: Any) -> Question:
    return question(*resources, action="renew", lease=lease, **changed)


def _but(check: str, outcome: Outcome = Outcome.FAILED) -> tuple[Finding, ...]:
    return (*HELD, finding(check, outcome))


FAILED_CHECK = resource(findings=(finding("TCB_BELOW_MIN", Outcome.FAILED),))
NO_REFERENCE = resource(reference="")
# name: (what is asked, what the engines answer, the reason)
TOLD: dict[str, tuple[Question, list[EngineAnswer], str]] = {
    "nothing known of a lease": (_renewal(lease=()), [ALLOW], DENIED),
    "nothing known of a lease, and the image is another": (_renewal(NO_REFERENCE, lease=()), [ALLOW], DENIED),
    "no such lease": (_renewal(lease=_but("LEASE_UNKNOWN")), [ALLOW], DENIED),
    "another guest": (_renewal(lease=_but("LEASE_GUEST")), [ALLOW], DENIED),
    "another holder key": (_renewal(lease=_but("LEASE_HOLDER")), [ALLOW], DENIED),
    "another request": (_renewal(lease=_but("LEASE_REQUEST")), [ALLOW], DENIED),
    "a check about leases that has no line": (_renewal(lease=_but("LEASE_NEW_CHECK")), [ALLOW], DENIED),
    "another guest, of a lease that is blocked": (
        _renewal(lease=(finding("LEASE_GUEST", Outcome.FAILED), finding("LEASE_BLOCKED", Outcome.FAILED))),
        [ALLOW], DENIED,
    ),
    "the lease is over": (_renewal(lease=_but("LEASE_OVER")), [ALLOW], REATTEST),
    "the lease is blocked": (_renewal(lease=_but("LEASE_BLOCKED")), [ALLOW], BLOCKED),
    "other devices": (_renewal(lease=_but("LEASE_DEVICES")), [ALLOW], REATTEST),
    "a device of another machine's": (_renewal(lease=_but("DEVICE_LEASED_ELSEWHERE")), [ALLOW], REATTEST),
    "a check about the lease that was skipped": (_renewal(lease=_but("LEASE_OVER", Outcome.SKIPPED)), [ALLOW], BLOCKED),
    "a failed check": (_renewal(FAILED_CHECK), [ALLOW], REATTEST),
    "no reference value any more": (_renewal(NO_REFERENCE), [ALLOW], REATTEST),
    "less covered": (_renewal(resource(covers=("firmware",))), [ALLOW], REATTEST),
    "no second fact": (_renewal(resource(shared=True)), [ALLOW], REATTEST),
    "a lock": (_renewal(resource(locked=True)), [ALLOW], BLOCKED),
    "a lock and a failed check": (_renewal(FAILED_CHECK, resource(locked=True)), [ALLOW], BLOCKED),
    "a purpose no more": (_renewal(resource(purposes=())), [ALLOW], BLOCKED),
    "no owner": (_renewal(resource(owner="")), [ALLOW], BLOCKED),
    "a profile below its tier": (_renewal(resource(unmet=("VMPL",))), [ALLOW], BLOCKED),
    "no such asset any more": (_renewal(resource(known=False)), [ALLOW], BLOCKED),
    "debug": (_renewal(workload=workload(debug=True)), [ALLOW], BLOCKED),
    "the policy": (_renewal(), [DENY], BLOCKED),
    "no answer": (_renewal(), [], BLOCKED),
    "an error": (_renewal(), [answer(errors=("e",))], BLOCKED),
    "a failed check and the policy": (_renewal(FAILED_CHECK), [DENY], BLOCKED),
    "a failed check and no answer": (_renewal(FAILED_CHECK), [], BLOCKED),
    "a failed check and an error": (_renewal(FAILED_CHECK), [ALLOW, answer(errors=("e",))], BLOCKED),
}  # fmt: skip


@pytest.mark.parametrize("name", TOLD)
def test_what_a_renewal_is_told(name: str) -> None:
    asked, answers, reason = TOLD[name]
    decision = decide(asked, answers)
    assert (decision.allowed, decision.reason) == (False, reason)
    assert reason in decision.reasons
    assert any(f.outcome is not Outcome.PASSED for f in decision.findings) or not answers


def test_the_holder_of_a_good_lease_renews_it() -> None:
    assert decide(_renewal(), [ALLOW]).allowed
    assert set(CONTINUITY.values()) == {DENIED, REATTEST, BLOCKED}


def test_a_release_is_told_nothing_of_anothers_lease() -> None:
    lease = (finding("DEVICE_LEASED_ELSEWHERE", Outcome.FAILED),)
    decision = decide(question(lease=lease), [ALLOW])
    assert (decision.allowed, decision.reason, decision.reasons) == (False, DENIED, (DENIED,))
    assert decide(question(lease=(finding("DEVICE_LEASED_ELSEWHERE"),)), [ALLOW]).allowed
