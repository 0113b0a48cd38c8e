"""What can be wrong with a request that left the machine, or was not allowed to."""

from __future__ import annotations

__all__ = ["OutboundError"]


class OutboundError(Exception):
    """One request failed. `check` is stable, `url` is without its query, the sentence is built here.

    ::

        OUTBOUND_HOST         the host is not on the list
        OUTBOUND_SCHEME       not https
        OUTBOUND_REDIRECT     the answer points elsewhere
        OUTBOUND_TOO_LARGE    more bytes than allowed
        OUTBOUND_ENCODED      compressed, which was not asked for
        OUTBOUND_TIMEOUT      it took longer than allowed
        OUTBOUND_UNREACHABLE  no connection
        OUTBOUND_TLS          the server is not who it should be
        OUTBOUND_INCOMPLETE   the answer broke off
        OUTBOUND_CLOSED       this broker is shutting down
    """

    def __init__(self, check: str, url: str, *, expected: str, got: str) -> None:
        super().__init__(check, url, expected, got)
        self.check = check
        self.url = url
        self.expected = expected
        self.got = got

    def __str__(self) -> str:
        return f"{self.check}: {self.url}: expected {self.expected}, got {self.got}"
