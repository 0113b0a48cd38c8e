"""Challenges: which secret issues, which are accepted, and for how long."""

from __future__ import annotations

import pytest

from kbs.custody.secret import Secret
from kbs.model.refusal import Refused
from kbs.release.challenge import CHALLENGE_SIZE, Challenges

NOW = 1_790_000_000_000
OLD, NEW, OTHER = (Secret(bytes([n]) * 32) for n in (1, 2, 3))
RANDOM = bytes(range(16))
BOTH = Challenges([(0, OLD), (NOW, NEW)])


def _reason(challenges: Challenges, challenge: bytes, now: int, *, used: bool = False) -> str:
    try:
        challenges.check(challenge, now, used=used)
    except Refused as refused:
        return refused.reason if refused.check == refused.reason else f"{refused.check} for {refused.reason}"
    return "fine"


# name: (who issued it, who checks it, the outcome)
SECRETS = {
    "one's own": (BOTH, BOTH, "fine"),
    "the old secret's, while both are accepted": (Challenges([(0, OLD)]), BOTH, "fine"),
    "the new secret's, at a replica that has both": (Challenges([(0, NEW)]), BOTH, "fine"),
    "the new secret's, at a replica that has the old alone": (BOTH, Challenges([(0, OLD)]), "CHALLENGE_INVALID"),
    "the old secret's, once it is gone": (Challenges([(0, OLD)]), Challenges([(0, NEW)]), "CHALLENGE_INVALID"),
    "another deployment's": (Challenges([(0, OTHER)]), BOTH, "CHALLENGE_INVALID"),
}


@pytest.mark.parametrize("name", SECRETS)
def test_secrets_overlap(name: str) -> None:
    issuer, checker, outcome = SECRETS[name]
    assert _reason(checker, issuer.issue(NOW, RANDOM), NOW) == outcome


def test_a_new_secret_is_accepted_before_it_issues() -> None:
    """All replicas have it before any issues with it: `not_before` is when issuing begins."""
    old, new = Challenges([(0, OLD)]), Challenges([(0, NEW)])
    assert BOTH.issue(NOW - 1, RANDOM) == old.issue(NOW - 1, RANDOM)
    assert BOTH.issue(NOW, RANDOM) == new.issue(NOW, RANDOM)
    assert _reason(BOTH, new.issue(NOW - 1, RANDOM), NOW) == "fine"
    # A clock before every secret still issues, with the oldest.
    assert Challenges([(NOW, OLD), (NOW + 1, NEW)]).issue(0, RANDOM) == old.issue(0, RANDOM)


@pytest.mark.parametrize(
    ("age", "fresh", "used"),
    [
        (-5_001, "CHALLENGE_EXPIRED", "CHALLENGE_EXPIRED"),
        (-5_000, "fine", "fine"),
        (0, "fine", "fine"),
        (60_000, "fine", "fine"),
        (60_001, "CHALLENGE_EXPIRED", "fine"),
        (120_000, "CHALLENGE_EXPIRED", "fine"),
        (120_001, "CHALLENGE_EXPIRED", "CHALLENGE_EXPIRED"),
    ],
)
def test_how_long_it_lives(age: int, fresh: str, used: str) -> None:
    challenge = BOTH.issue(NOW, RANDOM)
    assert _reason(BOTH, challenge, NOW + age) == fresh
    assert _reason(BOTH, challenge, NOW + age, used=True) == used


def test_every_bit_counts() -> None:
    challenge = BOTH.issue(NOW, RANDOM)
    assert len(challenge) == CHALLENGE_SIZE == 57
    assert challenge[:25] == b"\x01" + NOW.to_bytes(8, "big") + RANDOM
    assert BOTH.check(challenge, NOW, used=False) == NOW
    for bit in range(len(challenge) * 8):
        changed = bytearray(challenge)
        changed[bit // 8] ^= 1 << bit % 8
        assert _reason(BOTH, bytes(changed), NOW) == "CHALLENGE_INVALID"
    for length in (*range(57), 58, 114):
        assert _reason(BOTH, (challenge * 2)[:length], NOW) == "CHALLENGE_INVALID"


def test_what_is_needed_to_issue() -> None:
    with pytest.raises(ValueError, match="secret"):
        Challenges([])
    for size in (0, 15, 17):
        with pytest.raises(ValueError, match="16"):
            BOTH.issue(NOW, bytes(size))
    assert OLD.reveal().hex() not in repr(BOTH)
