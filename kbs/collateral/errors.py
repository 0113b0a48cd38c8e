"""Why a piece of collateral could not be had."""

from __future__ import annotations

__all__ = ["CollateralError"]


class CollateralError(Exception):
    """One piece could not be had. `check` is stable; `retry_after` in seconds says when it may be worth a try.

    ::

        SOURCE_UNKNOWN      the source says that there is no such thing
        SOURCE_STATUS       the source answered with an error
        SOURCE_RESTING      the source asked to be left alone, or failed too often
        COLLATERAL_REFUSED  the answer is not what was asked for, or does not verify; the cause names the check
        COLLATERAL_BUSY     too many wait already
        COLLATERAL_SLOW     the answer did not come in time; it may be there for the next request
        COLLATERAL_BUDGET   too much was fetched for chips that proved nothing
        COLLATERAL_OFFLINE  nothing may be fetched here

    or that of the `OutboundError` which is its cause.
    """

    def __init__(self, check: str, subject: str, *, expected: str, got: str, retry_after: float = 1.0) -> None:
        super().__init__(check, subject, expected, got)
        self.check = check
        self.subject = subject
        self.expected = expected
        self.got = got
        self.retry_after = retry_after

    def __str__(self) -> str:
        cause = f" ({self.__cause__})" if self.__cause__ is not None else ""
        return f"{self.check}: {self.subject}: expected {self.expected}, got {self.got}{cause}"

    def again(self) -> CollateralError:
        """The same once more, for another caller."""
        same = CollateralError(
            self.check, self.subject, expected=self.expected, got=self.got, retry_after=self.retry_after
        )
        same.__cause__ = self.__cause__
        return same
