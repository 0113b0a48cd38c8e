"""How tests say which check must refuse: by its stable name, never by its sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from attest.errors import AttestError

__all__ = ["refused"]


@contextmanager
def refused(*checks: str) -> Iterator[None]:
    """What runs inside must raise an AttestError whose check is one of `checks`."""
    with pytest.raises(AttestError) as caught:
        yield
    error = caught.value
    assert error.check in checks, f"{error} instead of {' or '.join(checks)}"
    assert error.path, error
    assert error.expected != error.got, error
