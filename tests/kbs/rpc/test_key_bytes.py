"""Nothing printed, logged or stored holds key bytes; and the look for them would find them."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest

from tests.measure.product_api import key_bytes, spellings


@pytest.mark.parametrize("size", [32, 33, 39, 64])
def test_a_secret_is_found_however_it_stands_there(size: int) -> None:
    secret = os.urandom(size)
    for before in range(4):
        text = b"x" * before + secret + b"tail"
        for data in (text, text.hex().encode(), text.hex().upper().encode(), base64.b64encode(text)):
            assert any(spelling in data for spelling in spellings(secret)), (before, data)
    for other in (os.urandom(200), base64.b64encode(os.urandom(200))):
        assert not any(spelling in other for spelling in spellings(secret))


async def test_a_busy_day_leaves_no_key_behind(tmp_path: Path) -> None:
    secrets, looked, found = await key_bytes(tmp_path / "site")
    assert found == []
    assert secrets >= 7
    assert looked > 100_000
