"""The look through every log finds what it looks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kbs_ops.test_selfcheck import fill
from tests.makers.entries import _ADDRESS, found_in_entries


def test_nothing_in_an_ordinary_log_and_nothing_of_none(tmp_path: Path) -> None:
    fill(tmp_path / "store.db", 3)
    assert found_in_entries(tmp_path / "store.db", {"a key": bytes(range(32))}) == []
    assert found_in_entries(tmp_path / "none.db", {"a key": bytes(range(32))}) == []


def test_what_stands_there_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = bytes(range(32))
    leaves = [
        b'{"a":"%s"}' % key.hex().encode(),
        b"{}",
        b'{"a":"127.0.0.1:8443"}',
        b'{"a":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"}',
    ]
    monkeypatch.setattr("tests.makers.entries._entries", lambda _: list(enumerate(leaves)))
    found = found_in_entries(tmp_path, {"a key": key})
    assert [text.partition(" in ")[2] for text in found] == ["entry 0", "entry 2", "entry 3", "entry 3"]


@pytest.mark.parametrize("text", [b'"127.0.0.1"', b'"127.0.0.1:8443"', b'"localhost:1"', b'"[::1]:2"'])
def test_addresses(text: bytes) -> None:
    assert _ADDRESS.search(text)


def test_what_is_short_is_not_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="too short"):
        found_in_entries(tmp_path, {"a name": b"bob"})
