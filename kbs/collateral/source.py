"""One vendor's service: where it is, how it is asked, and when it is left alone.

429, and 503 with `Retry-After`, are orders: nothing is sent before that time has passed. After several failures in a
row the source rests, each time longer; then one request tries whether it is back.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, Protocol

from kbs.collateral.errors import CollateralError
from kbs.collateral.port import Clock, Fetch, Secrets
from kbs.outbound.client import Response
from kbs.outbound.errors import OutboundError

__all__ = ["Keyed", "Offline", "Source", "Vendor"]

_OCSP: Final = "application/ocsp-request"  # RFC 6960 appendix A.1
_AT_ONCE: Final = 4
_FAILURES: Final = 5
_REST_MS: Final = 10_000
_LONGEST_REST_MS: Final = 600_000
_MOST_RETRY_AFTER_MS: Final = 3_600_000
_ABSENT: Final = frozenset({400, 404, 410})
_UNKEYED: Final = 401


class Vendor(Protocol):
    """Where pieces come from."""

    name: str

    async def ask(self, path: str, *, limit: int, question: bytes | None = None) -> Response:
        """The answer to GET `path`, or to POST of an OCSP request; status 200. Raises CollateralError."""


class Offline:
    """A vendor that this broker must not ask: all there is lies ready, was imported, or came with the evidence."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def ask(self, path: str, *, limit: int, question: bytes | None = None) -> Response:
        """Raises CollateralError COLLATERAL_OFFLINE."""
        del limit, question
        raise CollateralError(
            "COLLATERAL_OFFLINE",
            f"{self.name}{path}",
            expected="collateral that was imported or lies ready",
            got="none, and nothing may be fetched",
            retry_after=60.0,
        )


class Keyed:
    """A source that is told who asks, for what it gives to subscribers alone. When it rests is the source's to say."""

    def __init__(self, source: Source, secrets: Secrets) -> None:
        self.name = source.name
        self._source = source
        self._secrets = secrets

    async def ask(self, path: str, *, limit: int, question: bytes | None = None) -> Response:
        """As `Source.ask`, with the headers."""
        return await self._source.ask(path, limit=limit, question=question, secrets=self._secrets)


class Source:
    """`base` is the URL up to the paths of the vendor's specification, without a slash at its end."""

    def __init__(
        self, name: str, base: str, fetch: Fetch, *, clock: Clock, monotonic: Clock, seconds: float = 10.0
    ) -> None:
        self.name = name
        self.base = base.rstrip("/")
        self._fetch = fetch
        self._clock = clock
        self._monotonic = monotonic
        self._seconds = seconds
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._failures = 0
        self._rests = 0
        self._resting_until = 0
        self._trying = False

    @property
    def resting_ms(self) -> int:
        """How long it is still left alone; 0 if it may be asked."""
        return max(0, self._resting_until - self._monotonic())

    async def ask(
        self, path: str, *, limit: int, question: bytes | None = None, secrets: Secrets | None = None
    ) -> Response:
        """The answer to GET `path`, or to POST of an OCSP request; status 200. Raises CollateralError."""
        self._check_awake(path)
        async with self._slots:
            self._check_awake(path)  # what was learnt while waiting for a slot
            probe = self._rests > 0
            self._trying = self._trying or probe
            try:
                answer = await self._send(f"{self.base}{path}", question, limit, secrets)
            except OutboundError as error:
                self._count_failure()
                raise CollateralError(
                    error.check, f"{self.name}{path}", expected="an answer", got="none", retry_after=2.0
                ) from error
            finally:
                self._trying = self._trying and not probe
            return self._judge(answer, path)

    async def _send(self, url: str, question: bytes | None, limit: int, secrets: Secrets | None) -> Response:
        if question is None:
            secret = None if secrets is None else secrets()
            return await self._fetch.get(url, limit=limit, seconds=self._seconds, secret=secret)
        return await self._fetch.post(url, question, content_type=_OCSP, limit=limit, seconds=self._seconds)

    def _check_awake(self, path: str) -> None:
        """After a rest one request goes first; the others wait for what it learns."""
        rest = self.resting_ms
        if rest or self._trying:
            raise CollateralError(
                "SOURCE_RESTING",
                f"{self.name}{path}",
                expected="a source that may be asked",
                got=f"resting for {rest} ms" if rest else "one request tries whether it is back",
                retry_after=max(rest / 1_000, 1.0),
            )

    def _judge(self, answer: Response, path: str) -> Response:
        subject = f"{self.name}{path}"
        if answer.status == 200:
            self._failures, self._rests = 0, 0
            return answer
        if answer.status in _ABSENT:
            self._failures, self._rests = 0, 0
            raise CollateralError(
                "SOURCE_UNKNOWN", subject, expected="status 200", got=f"status {answer.status}", retry_after=60.0
            )
        if answer.status == _UNKEYED:  # it is well, and does not know us: that stops nothing which needs no key
            self._failures, self._rests = 0, 0
            raise CollateralError(
                "SOURCE_KEY",
                subject,
                expected="a subscription key that the source takes",
                got=f"status {answer.status}",
                retry_after=60.0,
            )
        after = _retry_after(answer.headers.get("retry-after"), self._clock())
        if answer.status == 429 or (answer.status == 503 and after is not None):
            self._rest(after if after is not None else min(_REST_MS << self._rests, _LONGEST_REST_MS))
        else:
            self._count_failure()
        raise CollateralError(
            "SOURCE_STATUS",
            subject,
            expected="status 200",
            got=f"status {answer.status}",
            retry_after=max(self.resting_ms / 1_000, 1.0),
        )

    def _count_failure(self) -> None:
        self._failures += 1
        if self._failures >= _FAILURES or self._rests:
            self._rest(min(_REST_MS << self._rests, _LONGEST_REST_MS))

    def _rest(self, ms: int) -> None:
        if not self.resting_ms:  # what fails together counts once
            self._rests = min(self._rests + 1, 10)
        self._resting_until = max(self._resting_until, self._monotonic() + ms)


def _retry_after(value: str | None, now: int) -> int | None:
    """RFC 9110 section 10.2.3: seconds or a date, in ms from `now`; None for nothing that can be read."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        ms = int(text[:9]) * 1_000
    else:
        try:
            at = parsedate_to_datetime(text)
        except ValueError:
            return None
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        ms = int((at - datetime.fromtimestamp(now / 1_000, UTC)).total_seconds() * 1_000)
    return min(max(ms, 1_000), _MOST_RETRY_AFTER_MS)
