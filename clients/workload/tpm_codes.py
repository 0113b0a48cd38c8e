"""What a TPM 2.0 says when it does not do what it was asked: response codes, by the names of the specification.

Source: TCG "Trusted Platform Module Library", Part 2: TPM_RC (6.6). A code of format one carries beside its number
which handle, parameter or session it is about; the upper half says which layer of the software answered.
"""

from __future__ import annotations

__all__ = ["AGAIN", "AUTH", "HANDLE", "LOCKOUT", "base_of", "name_of"]

HANDLE = 0x08B
LOCKOUT = 0x921
AUTH = frozenset({0x08E, 0x0A2, 0x12F, 0x149})  # the authorisation is not the empty one, or not for this
AGAIN = frozenset({0x908, 0x90A, 0x920, 0x922})  # the same command once more, a little later

_FORMAT_ONE, _NUMBER, _PARAMETER = 0x080, 0x0BF, 0x040
_NAMES = {
    0x082: "ATTRIBUTES", 0x083: "HASH", 0x084: "VALUE", 0x085: "HIERARCHY", 0x08A: "TYPE", 0x08B: "HANDLE",
    0x08D: "RANGE", 0x08E: "AUTH_FAIL", 0x090: "PP", 0x092: "SCHEME", 0x095: "SIZE", 0x097: "TAG",
    0x098: "SELECTOR", 0x09A: "INSUFFICIENT", 0x09C: "KEY", 0x09D: "POLICY_FAIL", 0x0A1: "RESERVED_BITS",
    0x0A2: "BAD_AUTH", 0x100: "INITIALIZE", 0x101: "FAILURE", 0x120: "DISABLED", 0x125: "AUTH_MISSING",
    0x12F: "AUTH_UNAVAILABLE", 0x130: "REBOOT", 0x142: "COMMAND_SIZE", 0x143: "COMMAND_CODE", 0x144: "AUTHSIZE",
    0x145: "AUTH_CONTEXT", 0x146: "NV_RANGE", 0x148: "NV_LOCKED", 0x149: "NV_AUTHORIZATION",
    0x14A: "NV_UNINITIALIZED", 0x902: "OBJECT_MEMORY", 0x903: "SESSION_MEMORY", 0x904: "MEMORY", 0x907: "LOCALITY",
    0x908: "YIELDED", 0x909: "CANCELED", 0x90A: "TESTING", 0x920: "NV_RATE", 0x921: "LOCKOUT", 0x922: "RETRY",
    0x923: "NV_UNAVAILABLE",
}  # fmt: skip


def base_of(code: int) -> int:
    """The code without the layer that answered, nor what it is about."""
    code &= 0xFFF
    return code & _NUMBER if code & _FORMAT_ONE else code


def name_of(code: int) -> str:
    """`TPM_RC_HANDLE for handle 1 (0x18b)`; a code without a name here is said as its number."""
    name = _NAMES.get(base_of(code))
    return f"TPM_RC_{name}{_about(code)} ({code:#x})" if name else f"response code {code:#x}"


def _about(code: int) -> str:
    if not code & _FORMAT_ONE or not code >> 8 & 0xF:
        return ""
    number = code >> 8 & 0xF
    if code & _PARAMETER:
        return f" for parameter {number}"
    return f" for session {number - 8}" if number > 8 else f" for handle {number}"
