"""In which line of a TOML file a key stands. tomllib has read the file by then; this only finds places to name."""

from __future__ import annotations

import re

__all__ = ["lines_of"]

_HEADER = re.compile(r"\s*\[\[?\s*([A-Za-z0-9_.\"' -]+?)\s*\]\]?\s*(?:#.*)?")
_KEY = re.compile(r"""\s*(["']?)([A-Za-z0-9_-]+)\1(?:\s*\.\s*(["']?)([A-Za-z0-9_-]+)\3)?\s*=""")


def lines_of(text: str) -> dict[tuple[str, str], int]:
    """(section, key): line, from 1. The section itself has the key "", a key above all sections the section ""."""
    found: dict[tuple[str, str], int] = {}
    section = ""
    for number, line in enumerate(text.splitlines(), 1):
        header = _HEADER.fullmatch(line)
        if header is not None:
            section = header[1].strip("\"' ")
            found.setdefault((section, ""), number)
            continue
        key = _KEY.match(line)
        if key is None:
            continue
        if key[4] and not section:
            found.setdefault((key[2], ""), number)
            found.setdefault((key[2], key[4]), number)
        else:
            found.setdefault((section, key[2]), number)
    return found
