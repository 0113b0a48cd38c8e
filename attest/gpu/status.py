"""Whether NVIDIA still stands by its certificates: CRLs and OCSP responses, judged at a time that the caller gives.

Sources: RFC 5280 sections 5 and 6.3, RFC 6960 sections 3.2 and 4.2.2. A CRL speaks for every certificate of its issuer,
an OCSP response for the one it names. `certificateHold` is a state of its own: NVIDIA holds the signers of manifests
with known defects and may release them, so the newest current word on a hold counts, while a revocation is for ever.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn

from attest.errors import NotAuthentic
from attest.gpu.links import Link

__all__ = ["Standing", "State", "VerifiedStatus", "by_issuer", "check_current", "check_standing"]


class State(enum.Enum):
    """What an issuer says of a certificate."""

    GOOD = "good"
    ON_HOLD = "on hold"
    REVOKED = "revoked"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedStatus:
    """A CRL or an OCSP response whose signature was checked for the issuer with this name and key. Worth keeping.

    `states` are by serial; `complete` lists speak for all others too (good). `issuer_spki` is empty for one that no
    issuer of the chain at hand can have made: it says nothing, and need not be read again. `until` is None for a
    source that never says when it is stale, which is then always.
    """

    der: bytes
    source: str
    issuer: bytes
    issuer_spki: bytes
    since: datetime
    until: datetime | None
    states: Mapping[int, State]
    complete: bool

    def state_of(self, link: Link) -> State | None:
        """What it says of a certificate; None if nothing."""
        if self.issuer_spki != link.issuer_spki or self.issuer != link.issuer:
            return None
        return self.states.get(link.serial, State.GOOD if self.complete else None)

    def is_current(self, now: datetime) -> bool:
        """RFC 6960 section 4.2.2.1: from thisUpdate until before nextUpdate."""
        return self.since <= now and self.until is not None and now < self.until


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What came of asking for every link: the names of those on hold, and of those nobody spoke for.

    `since` is when the oldest of the words that count was made; None if there was none.
    """

    on_hold: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()
    since: datetime | None = None


def by_issuer(statuses: Sequence[VerifiedStatus]) -> Mapping[bytes, Sequence[VerifiedStatus]]:
    """The statuses by the key of the issuer that they speak for."""
    found: dict[bytes, list[VerifiedStatus]] = {}
    for status in statuses:
        found.setdefault(status.issuer_spki, []).append(status)
    return found


def check_standing(
    links: Sequence[Link],
    statuses: Mapping[bytes, Sequence[VerifiedStatus]],
    now: datetime,
    *,
    required: bool,
    path: str,
) -> Standing:
    """Asks every source about every link that says where its revocation is published, and about others if it can.

    `statuses` are `by_issuer`. Raises NotAuthentic CERT_REVOKED, CERT_STATUS_UNKNOWN, STATUS_NOT_YET_VALID,
    STATUS_EXPIRED or, if `required`, REVOCATION_MISSING. One current source is enough, but what any authentic one
    revokes stays revoked.
    """
    on_hold, unchecked = [], []
    oldest: datetime | None = None
    for link in links:
        offered = statuses.get(link.issuer_spki, ())
        word = _word(link, offered, now, path) if offered else None
        state = None if word is None else word[1]
        if word is not None and (oldest is None or word[0] < oldest):
            oldest = word[0]
        if state is State.ON_HOLD:
            on_hold.append(link.name)
        elif state is None and link.names_source:
            if required:
                got = f"{len(statuses)} issuers' own" if statuses else "none"
                expected = "a CRL or OCSP response that speaks for it"
                raise NotAuthentic("REVOCATION_MISSING", f"{path}.{link.name}", expected=expected, got=got)
            unchecked.append(link.name)
    return Standing(on_hold=tuple(on_hold), unchecked=tuple(unchecked), since=oldest)


def check_current(status: VerifiedStatus, now: datetime, path: str) -> None:
    """Raises NotAuthentic STATUS_NOT_YET_VALID or STATUS_EXPIRED for what says nothing at `now`."""
    if not status.is_current(now):
        _raise_stale([status], now, path)


def _word(link: Link, statuses: Sequence[VerifiedStatus], now: datetime, path: str) -> tuple[datetime, State] | None:
    """The newest current word about a link and its thisUpdate; None if nobody speaks for it."""
    newest: VerifiedStatus | None = None
    found, stale = State.GOOD, []
    for status in statuses:
        state = status.state_of(link)
        if state is State.REVOKED:
            got = f"serial {link.serial:#x} is revoked by {status.source}"
            raise NotAuthentic("CERT_REVOKED", f"{path}.{link.name}", expected="not revoked", got=got)
        if state is None:
            continue
        if not status.is_current(now):
            stale.append(status)
        elif newest is None or status.since > newest.since:
            newest, found = status, state
        elif status.since == newest.since and state is not State.GOOD:
            found = state
    if newest is None:
        return _raise_stale(stale, now, f"{path}.{link.name}") if stale else None
    if found is State.UNKNOWN:
        path = f"{path}.{link.name}"
        raise NotAuthentic("CERT_STATUS_UNKNOWN", path, expected="a state", got="its issuer does not know it")
    return newest.since, found


def _raise_stale(statuses: Sequence[VerifiedStatus], now: datetime, path: str) -> NoReturn:
    newest = max(statuses, key=lambda status: status.since)
    if now < newest.since:
        got = f"{newest.source} from {newest.since.isoformat()}"
        raise NotAuthentic("STATUS_NOT_YET_VALID", path, expected=f"by {now.isoformat()}", got=got)
    until = newest.until.isoformat() if newest.until else "no nextUpdate"
    got = f"{newest.source} until {until}"
    raise NotAuthentic("STATUS_EXPIRED", path, expected=f"valid at {now.isoformat()}", got=got)
