"""Two texts side by side, for a terminal."""

from __future__ import annotations

import shutil
import textwrap
from itertools import zip_longest

__all__ = ["beside"]

_NARROWEST, _WIDEST = 80, 160


def beside(left_title: str, left: str, right_title: str, right: str) -> str:
    """Both under their titles, wrapped to half of the terminal each."""
    width = (max(_NARROWEST, min(_WIDEST, shutil.get_terminal_size((140, 24)).columns)) - 7) // 2
    rows = zip_longest(_wrap(left, width), _wrap(right, width), fillvalue="")
    rule = f"  {'-' * width} | {'-' * width}"
    head = f"  {left_title:<{width}} | {right_title}"
    return "\n".join([head, rule, *(f"  {a:<{width}} | {b}".rstrip() for a, b in rows)])


def _wrap(text: str, width: int) -> list[str]:
    lines: list[str] = []
    for line in text.splitlines():
        indent = " " * (len(line) - len(line.lstrip()))
        lines += textwrap.wrap(line, width, subsequent_indent=f"{indent}  ") or [""]
    return lines
