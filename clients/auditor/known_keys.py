"""Which log keys an auditor believes who has seen a note of them before: no older one takes it back.

A workload keeps nothing between boots, so to it an older note is as good as a newer. An auditor's state remembers: the
key that a newer note took out may be the stolen one.
"""

from __future__ import annotations

from attest.errors import AttestError
from attest.tlog.log_keys import LogKeys, open_log_keys
from clients.errors import NotTrusted, Usage
from clients.trust import Trust

__all__ = ["informed"]


def informed(trust: Trust, note: bytes, kept: bytes) -> Trust:
    """The trust with the log keys of `note`; `kept` is the newest note that was believed before, or empty.

    Raises as `Trust.informed`; Usage for a kept note that the trust file's offline key did not sign; NotTrusted
    LOG_KEYS_VERSION for one that is older than it, and LOG_KEYS_FORK for another of the same version.
    """
    found = trust.informed(note)
    if trust.log_root is None or not kept:
        return found
    try:
        before = _open(kept, trust)
    except AttestError as error:
        raise Usage(f"the state file's note of log keys is not signed by {trust.log_root.key.name}: {error}") from error
    now = _open(note, trust)
    if now.version < before.version:
        message = (
            f"the note of log keys is version {now.version}, and this state has seen version {before.version}: an "
            "older note brings back keys that a newer one took out"
        )
        raise NotTrusted("LOG_KEYS_VERSION", message)
    if now.version == before.version and now != before:
        message = (
            f"the note of log keys is another version {now.version} than the one that this state has seen: whoever "
            "holds the offline key signed two. Keep both, they are the evidence"
        )
        raise NotTrusted("LOG_KEYS_FORK", message)
    return found


def _open(note: bytes, trust: Trust) -> LogKeys:
    if trust.log_root is None:
        raise TypeError("a trust file that lists keys heeds no note")
    return open_log_keys(note, trust.log_root.key, trust.origin, at_least=1)
