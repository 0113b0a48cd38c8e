"""How a person first comes in: a code that is used once, within a day, and what whoever has it becomes."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

from attest.binding import bind

__all__ = [
    "CODE_SIZE",
    "ENROLMENT_LIFE_MS",
    "ROLES",
    "Enrolment",
    "RetiredKey",
    "code_digest",
    "enrolment_name",
    "format_code",
    "parse_code",
    "retired_name",
]

CODE_SIZE = 20
_MAX_CODE_TEXT = 64
ENROLMENT_LIFE_MS = 24 * 3_600_000
ROLES = frozenset({"operator", "auditor"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """One invitation. `principal` is the pseudonym that the person gets, `digest` that of the document.

    `expires` in ms since 1970. It is used as soon as its principal exists.
    """

    name: str
    code_sha256: bytes
    principal: str
    roles: frozenset[str]
    tenants: frozenset[str]
    expires: int

    def document(self) -> dict[str, object]:
        """What is stored, without its version."""
        return {
            "name": self.name,
            "code_sha256": self.code_sha256.hex(),
            "principal": self.principal,
            "roles": sorted(self.roles),
            "tenants": sorted(self.tenants),
            "expires": self.expires,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RetiredKey:
    """The key of somebody who was removed: it lets nobody in again. `key` is SHA-256 of its SubjectPublicKeyInfo."""

    name: str
    key: bytes

    def document(self) -> dict[str, object]:
        """What is stored, without its version."""
        return {"name": self.name, "key_sha256": self.key.hex()}


def retired_name(key: bytes) -> str:
    """The object's name, found again from the key's digest alone."""
    return f"retiredKeys/{key.hex()}"


def code_digest(deployment: str, code: bytes) -> bytes:
    """What is stored of a code of 20 random bytes; the code itself never is."""
    return hashlib.sha256(bind("sealgate/v1/enrolment-code", deployment, code)).digest()


def parse_code(text: str) -> bytes:
    """The bytes of a code as people type it; raises ValueError, which never repeats it."""
    letters = text.strip().replace("-", "").replace(" ", "").upper() if len(text) <= _MAX_CODE_TEXT else ""
    try:
        code = base64.b32decode(letters)
    except ValueError:
        code = b""
    if len(code) != CODE_SIZE:
        raise ValueError("a code is 32 letters and digits, in groups of four")
    return code


def format_code(code: bytes) -> str:
    """Groups of four letters and digits."""
    letters = base64.b32encode(code).decode().lower()
    return "-".join(letters[i : i + 4] for i in range(0, len(letters), 4))


def enrolment_name(digest: bytes) -> str:
    """The object's name, found again from the code alone."""
    return f"enrolments/{digest.hex()[:32]}"
