"""How these tests say that something must be refused, and by which check."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from attest.errors import AttestError


@contextmanager
def refused(*checks: str) -> Iterator[None]:
    """The block raises an AttestError whose check is one of `checks`, and nothing else."""
    with pytest.raises(AttestError) as caught:
        yield
    assert caught.value.check in checks, str(caught.value)
