"""`--wait`: how long a command keeps asking a broker that gives no answer yet."""

from __future__ import annotations

import argparse
import re
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clients.errors import Unavailable

__all__ = ["add_wait", "say_waiting"]

_DURATION = re.compile(r"([0-9]{1,6})(s|m|h|)")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}


def add_wait(parser: argparse.ArgumentParser) -> None:
    """Adds --wait, in seconds."""
    parser.add_argument(
        "--wait", type=_duration, default=0, metavar="TIME", help="keep trying so long, such as 90s or 10m; else once"
    )


def say_waiting(error: Unavailable, pause: float) -> None:
    """Why it is asked again, and when."""
    print(f"sealgate: {error}; again in {pause:.0f} s", file=sys.stderr, flush=True)


def _duration(text: str) -> int:
    match = _DURATION.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError("a time such as 90s, 10m or 1h")
    return int(match[1]) * _SECONDS[match[2]]
