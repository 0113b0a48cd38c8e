"""What a frozen log leaves as evidence: the published checkpoint, and one JSON bundle with every head that is known.

The stored head is quoted and never signed here: a signature over it would make the fork that the freeze prevents.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from attest.tlog.checkpoint import Checkpoint, open_checkpoint
from attest.tlog.keys import VerifierKey
from kbs.model.log import LogHead

__all__ = ["evidence", "open_published", "read_published"]

_MAX_CHECKPOINT = 1_000_000


def read_published(directory: Path) -> bytes | None:
    """The bytes of the published checkpoint, None where nothing was published. Raises OSError."""
    try:
        with (directory / "checkpoint").open("rb") as file:
            return file.read(_MAX_CHECKPOINT)
    except FileNotFoundError:
        return None


def open_published(raw: bytes, origin: str, log_key: str) -> Checkpoint:
    """The checkpoint as this log signed it; raises AttestError if it did not."""
    return open_checkpoint(raw, origin, [VerifierKey.parse(log_key)]).checkpoint


def evidence(
    *,
    origin: str,
    log_key: str,
    at: int,
    stored: LogHead | None,
    published: bytes | None,
    mark: Mapping[str, object] | None,
    checks: list[dict[str, str]],
) -> dict[str, object]:
    """The bundle `sealgate.incident/1`. `mark` is the freeze's own record, with what the broker had seen last."""
    head = None
    if stored is not None:
        tree = {"size": stored.size, "root": stored.root.hex(), "frontier": stored.frontier.hex()}
        head = {**tree, "last_time": stored.last_time}
    return {
        "v": "sealgate.incident/1",
        "origin": origin,
        "log_key": log_key,
        "at": at,
        "stored": head,
        "published": None if published is None else published.decode("utf-8", "backslashreplace"),
        "seen": mark.get("seen") if mark else None,
        "frozen": mark,
        "checks": checks,
    }
