"""What a verifier says when it says no.

The one exception tree of `attest`; nothing else leaves the package::

    AttestError            a named check failed: check, path, expected, got
    ├── Malformed          the bytes are not what the specification describes
    ├── NotAuthentic       a signature, chain, root, validity or revocation check failed
    ├── NotBound           authentic, but not made for this challenge, key, request or device
    └── NotLogged          a note, checkpoint or proof does not show what it should

`check` is stable and names the check, not the sentence: it is the name in the tables of docs/errors.md.
"""

from __future__ import annotations

__all__ = ["AttestError", "Malformed", "NotAuthentic", "NotBound", "NotLogged"]

_SHOWN = 160


def _show(value: object) -> str:
    if isinstance(value, (bytes, bytearray, memoryview)):
        value = bytes(value).hex() or "nothing"
    text = str(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... ({len(text)} characters)"


class AttestError(Exception):
    """One failed check. The sentence is built here and nowhere else.

    `check` is the stable name (`SNP_LENGTH`), `path` the place (`report.reserved[0x4c]`), `expected` and `got` are
    shown as text; byte strings become hex and long values are cut.
    """

    def __init__(self, check: str, path: str, *, expected: object, got: object) -> None:
        super().__init__(check, path, expected, got)
        self.check = check
        self.path = path
        self.expected = _show(expected)
        self.got = _show(got)

    def __str__(self) -> str:
        return f"{self.check}: {self.path}: expected {self.expected}, got {self.got}"


class Malformed(AttestError):
    """The bytes are not what the specification describes: length, version, reserved bits, encoding."""


class NotAuthentic(AttestError):
    """A signature, certificate chain, pinned root, validity window or revocation check failed."""


class NotBound(AttestError):
    """The evidence is authentic, but was not made for this challenge, key, request or device."""


class NotLogged(AttestError):
    """A note, checkpoint or proof does not show what it should about the log."""
