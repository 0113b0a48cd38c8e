"""Challenges: any replica can tell that one is ours, and nothing is stored until a decision.

challenge = 0x01 || issued_at in ms (u64, big-endian) || 16 random bytes || HMAC-SHA-256 over bind() of these 25 bytes
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Sequence

from attest.binding import bind
from kbs.custody.secret import Secret
from kbs.model.refusal import Refused

__all__ = ["CHALLENGE_SIZE", "Challenges"]

CHALLENGE_SIZE = 57
_SIGNED = 25
_VERSION = 1
_AHEAD_MS = 5_000
_FRESH_MS = 60_000
_REPEAT_MS = 120_000
_REPLACED_MS = 125_000


class Challenges:
    """Issues with the newest secret that is in force: (not_before in ms, 32 bytes), oldest first.

    One that is not in force yet is accepted, since another process may see the time otherwise; one that was replaced is
    accepted for 125 s more, as long as a challenge may be answered.
    """

    def __init__(self, secrets: Sequence[tuple[int, Secret]]) -> None:
        self._secrets: tuple[tuple[int, Secret], ...] = ()
        self.renew(secrets)

    def renew(self, secrets: Sequence[tuple[int, Secret]]) -> None:
        """Goes on with these; raises ValueError for none."""
        if not secrets:
            raise ValueError("there is no challenge secret")
        self._secrets = tuple(secrets)

    def issue(self, now: int, random: bytes) -> bytes:
        """A challenge of 57 bytes; `random` is 16 bytes nobody could guess."""
        if len(random) != 16:
            raise ValueError("a challenge takes 16 random bytes")
        signed = bytes([_VERSION]) + now.to_bytes(8, "big") + random
        current = [secret for not_before, secret in self._secrets if not_before <= now] or [self._secrets[0][1]]
        return signed + _tag(current[-1], signed)

    def check(self, challenge: bytes, now: int, *, used: bool) -> int:
        """When it was issued, in ms. Raises Refused CHALLENGE_INVALID or CHALLENGE_EXPIRED.

        A challenge already used is answered for longer, so that a lost reply can be asked for again.
        """
        signed, tag = challenge[:_SIGNED], challenge[_SIGNED:]
        ours = len(challenge) == CHALLENGE_SIZE and challenge[0] == _VERSION
        if not ours or not any(hmac.compare_digest(_tag(secret, signed), tag) for secret in self._accepted(now)):
            raise Refused(
                "CHALLENGE_INVALID", check="CHALLENGE_INVALID", expected="a challenge of this broker", got="another"
            )
        issued_at = int.from_bytes(challenge[1:9], "big")
        age, limit = now - issued_at, _REPEAT_MS if used else _FRESH_MS
        if not -_AHEAD_MS <= age <= limit:
            raise Refused(
                "CHALLENGE_EXPIRED", check="CHALLENGE_EXPIRED", expected=f"at most {limit} ms old", got=f"{age} ms"
            )
        return issued_at

    def _accepted(self, now: int) -> Iterator[Secret]:
        until = [start + _REPLACED_MS for start, _ in self._secrets[1:]]
        for end, (_, secret) in zip([*until, None], self._secrets, strict=True):
            if end is None or now <= end:
                yield secret


def _tag(secret: Secret, signed: bytes) -> bytes:
    return hmac.digest(secret.reveal(), bind("sealgate/v1/challenge", signed), "sha256")
