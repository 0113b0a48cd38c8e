"""Writes docs/errors.md from the tables of status.py: python -m kbs.rpc.errors_doc > docs/errors.md"""

from __future__ import annotations

import sys

from kbs.rpc.status import CHECKS, REASONS

__all__ = ["render"]

_HEAD = """# Errors

Made from the tables of `kbs/rpc/status.py` (`python -m kbs.rpc.errors_doc`); do not edit.

A refusal is a `google.rpc.Status` whose `ErrorInfo` has the domain `sealgate`, one of these reasons, and in its
metadata what the caller may know: `check`, `path`, `expected` and `got` of a failed check on the caller's own evidence,
or of a decision the `ticket` alone. An operator asks `sealgate explain TICKET` for the rest. `UNAVAILABLE` carries
`RetryInfo`.

| reason | code | meaning |
|---|---|---|
"""
_CHECKS = """
## Checks

Of a failed check the reason follows from its kind: evidence that is not what its specification describes is
`EVIDENCE_MALFORMED`, evidence made for something else `BINDING_MISMATCH`, any other failure of verification
`EVIDENCE_SIGNATURE_INVALID`. These are told apart:

| check | reason |
|---|---|
"""
_EXITS = """
## Exit codes of `sealgate`

| code | meaning |
|---|---|
| 0 | ok |
| 2 | usage |
| 3 | denied |
| 4 | evidence, receipt or sealed file not trusted |
| 5 | unavailable |
| 6 | locked |
| 10 | `audit verify`: `tampered`, proven; or `foreign`, not signed by any key that the trust file names (docs/log.md) |
| 11, 12 | `audit verify`: data incomplete, stale or unanchored |
"""


def render() -> str:
    """The whole page."""
    reasons = "".join(f"| `{name}` | {code.name} | {text} |\n" for name, (code, text) in REASONS.items())
    checks = "".join(f"| `{check}` | `{reason}` |\n" for check, reason in sorted(CHECKS.items()))
    return _HEAD + reasons + _CHECKS + checks + _EXITS


if __name__ == "__main__":
    sys.stdout.write(render())
