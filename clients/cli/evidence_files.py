"""What the commands for evidence of every kind share: files, times and bytes from the command line; a refusal shown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clients.errors import Usage

if TYPE_CHECKING:
    from attest.errors import AttestError
    from attest.finding import Finding

__all__ = ["NOT_TRUSTED", "certificate_files", "finding_document", "read_file", "read_hex", "read_time", "refused"]

NOT_TRUSTED = 4
_MAX_FILE = 1 << 20
_CERTIFICATES = (".pem", ".der", ".cer", ".crt", ".cert")


def read_file(path: Path, *, most: int = _MAX_FILE) -> bytes:
    """The bytes of a file, with a limit; raises Usage with a sentence."""
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise Usage(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > most:
        raise Usage(f"{path} is larger than {most} bytes")
    return data


def certificate_files(paths: Sequence[Path]) -> list[tuple[Path, bytes]]:
    """The files of --certs, those of a folder in the order of their names; raises Usage."""
    files: list[Path] = []
    for path in paths:
        try:
            inside = (
                sorted(each for each in path.iterdir() if each.suffix in _CERTIFICATES) if path.is_dir() else [path]
            )
        except OSError as error:
            raise Usage(f"{path} cannot be read: {error.strerror}") from error
        if not inside:
            raise Usage(f"{path} holds no certificates: no {', '.join(_CERTIFICATES)}")
        files += inside
    return [(path, read_file(path)) for path in files]


def read_time(text: str) -> datetime:
    """The time of --at; raises Usage unless it has a zone."""
    try:
        found = datetime.fromisoformat(text)
        if found.utcoffset() is not None:
            return found.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise Usage(f"--at is not a time as in RFC 3339, such as 2026-05-01T12:00:00Z: {text}") from error
    raise Usage(f"--at needs a zone, such as {text}Z")


def read_hex(text: str, option: str) -> bytes:
    """Bytes in hexadecimal; raises Usage."""
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise Usage(f"{option} is not hexadecimal: {text[:80]}") from error


def refused(error: AttestError, as_json: bool, *, path: str = "") -> int:
    """Prints which check refused, where, and returns the exit code. `path` goes before the place."""
    told = {"check": error.check, "path": path + error.path, "expected": error.expected, "got": error.got}
    if as_json:
        print(json.dumps({"verdict": "refused", **told}))
    else:
        print(
            f"refused  {error.check}\n" + "\n".join(f"  {name:<9}{told[name]}" for name in ("path", "expected", "got"))
        )
    return NOT_TRUSTED


def finding_document(finding: Finding) -> dict[str, Any]:
    """A finding as it is printed in JSON."""
    return {**asdict(finding), "outcome": finding.outcome.value}
