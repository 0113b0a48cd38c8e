"""How a client says that it did not work. Each error is a sentence and an exit code, which is part of the API.

::

    ClientError
    ├── Usage          2   what was asked cannot be meant
    ├── Denied         3   the broker refused; carries reason and ticket
    │   └── Locked     6   ... because of a lock
    ├── NotTrusted     4   evidence, receipt or sealed file is not what it must be
    └── Unavailable    5   no answer now; trying again may help
"""

from __future__ import annotations

import errno
from collections.abc import Mapping

__all__ = ["ClientError", "Denied", "Locked", "NotTrusted", "Unavailable", "Usage", "unwritten"]

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


class ClientError(Exception):
    """Its text is for people; `code` is the exit code."""

    code = 1


class Usage(ClientError):
    """What was asked cannot be meant."""

    code = 2


class Denied(ClientError):
    """The broker refused. `details` is what it told: reason, and perhaps check, expected, got, ticket."""

    code = 3

    def __init__(self, message: str, details: Mapping[str, str]) -> None:
        super().__init__(message)
        self.details = dict(details)


class Locked(Denied):
    """Releases are locked."""

    code = 6


class NotTrusted(ClientError):
    """`check` names what did not hold."""

    code = 4

    def __init__(self, check: str, message: str) -> None:
        super().__init__(f"{check}: {message}")
        self.check = check


class Unavailable(ClientError):
    """The broker gave no answer, or asks to be asked again.

    `retry_after` is after how many seconds trying again may help, None where it would not. `lost` is whether a call
    ended without any answer: it may have been carried out.
    """

    code = 5

    def __init__(self, message: str, *, retry_after: float | None = None, lost: bool = False) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.lost = lost


def unwritten(what: str, error: OSError) -> ClientError:
    """A file that cannot be written: Unavailable if the disk is full or fails, else Usage, for another may be named."""
    sentence = f"{what}: {error.strerror}"
    return Unavailable(sentence) if error.errno in _FULL else Usage(sentence)
