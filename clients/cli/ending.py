"""How a command ends: with an exit code, and with a sentence where it did not work.

What was printed has to have arrived: a verdict that nobody could read must not end in 0, and how it went must not
depend on whether a buffer was flushed early or late.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from clients.errors import ClientError

__all__ = ["ended", "let_go", "stoppable"]

_UNAVAILABLE = 5


class _Terminated(KeyboardInterrupt):
    """SIGTERM, where what was begun has to be put away."""


def ended(command: Callable[[], int]) -> int:
    """Runs the command; returns its exit code, or that of what went wrong, which is said on standard error."""
    try:
        code = command()
        if sys.stdout is not None:
            sys.stdout.flush()
    except ClientError as error:
        return _fail(str(error), error.code)
    except BrokenPipeError:
        return _UNAVAILABLE  # whoever stopped reading has not seen how it went
    except OSError as error:
        return _fail(f"{error.filename or 'what it prints cannot be written'}: {error.strerror}", _UNAVAILABLE)
    except KeyboardInterrupt as error:
        number = signal.SIGTERM if isinstance(error, _Terminated) else signal.SIGINT
        return _fail("interrupted", 128 + number)
    return code


@contextmanager
def stoppable() -> Iterator[None]:
    """SIGTERM within the block is as Ctrl-C: half of a file is removed before the command ends.

    Signals are the main thread's; in another the block is as ever.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def let_go() -> None:
    """Before the process ends: the interpreter says nothing of its own about output that could not be written."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _terminate(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise _Terminated


def _fail(sentence: str, code: int) -> int:
    print(f"sealgate: {sentence}", file=sys.stderr)
    return code
