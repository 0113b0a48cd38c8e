"""What one entry alone names is found by the entry and the digest; what it shares, too."""

from __future__ import annotations

import hashlib
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from kbs.model.unit import Unit
from kbs.store.documents import pack, unpack
from kbs.store.read import Reader
from tests.kbs.store.opened import opened, rows, verdict


@given(st.lists(st.binary(max_size=300), max_size=8))
def test_what_is_packed_comes_out(documents: list[bytes]) -> None:
    assert list(unpack(pack(documents))) == documents


@given(st.binary(max_size=300))
def test_anything_is_unpacked_without_an_error(row: bytes) -> None:
    assert sum(4 + len(each) for each in unpack(row)) <= len(row) + 4


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


async def test_documents_are_found_beside_their_entry(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with opened(path) as door:
        for n in range(3):
            own = (f"own {n}".encode(), b"", b"x" * 5_000)
            await door.commit([Unit(verdict=verdict(n, own=own, blobs=(b"shared",)))])
        await door.commit([Unit(verdict=verdict("none"))])
    reader = Reader(path)
    for n in range(3):
        for data in (f"own {n}".encode(), b"", b"x" * 5_000, b"shared"):
            assert reader.document(n, _digest(data)) == data
        assert reader.document(n, _digest(b"own 9")) is None
    assert reader.document(0, _digest(b"own 1")) is None
    assert reader.document(3, _digest(b"shared")) == b"shared"
    assert reader.document(9, _digest(b"own 1")) is None
    reader.close()
    assert rows(path, "SELECT idx FROM entry_document") == [(0,), (1,), (2,)]
