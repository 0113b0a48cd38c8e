"""The certificate table of an extended report: candidates from the host, none of them trusted.

Source: AMD publication 56421, "SEV-ES Guest-Hypervisor Communication Block Standardization" (GHCB), section "SNP
Extended Guest Request". Entries are {GUID[16], offset u32, length u32}, GUIDs in the byte order of RFC 4122, offsets
from the start of the table, ended by an entry of zeros. A table may hold certificates of a kind or product that does
not fit: that decides nothing, for what is required is said by the report.
"""

from __future__ import annotations

from attest.errors import Malformed
from attest.evidence import read_certificates
from attest.reader import Reader

__all__ = ["ENTRY_SIZE", "read_table", "table_blobs"]

ENTRY_SIZE = 24
_MAX_ENTRIES = 16
_CERTIFICATES = {
    bytes.fromhex("63da758de6644564adc5f4b93be8accd"): "VCEK",
    bytes.fromhex("a8074bc2a25a483eaae639c045a0b8a1"): "VLEK",
    bytes.fromhex("4ab7b379bbac4fe4a02f05aef327c782"): "ASK",
    bytes.fromhex("c0b406a4a803495297433fb6014cd0ae"): "ARK",
}
Entry = tuple[bytes, int, int]


def read_table(data: bytes) -> tuple[bytes, ...]:
    """The certificates of a table, DER, in its order; raises Malformed CERT_TABLE or CERT_MALFORMED.

    Entries of other kinds must be well placed too, and are left out. What no entry covers must be zero.
    """
    found: list[bytes] = []
    for name, blob in table_blobs(data):
        found += read_certificates(blob, path=f"table.{name}")
    return tuple(found)


def table_blobs(data: bytes) -> tuple[tuple[str, bytes], ...]:
    """What a table holds as certificates, by kind, unread: DER or PEM. Raises Malformed CERT_TABLE."""
    entries = _entries(data)
    _check_places(data, entries)
    named = [(_CERTIFICATES.get(guid), data[offset : offset + length]) for guid, offset, length in entries]
    return tuple((name, blob) for name, blob in named if name is not None)


def _entries(data: bytes) -> list[Entry]:
    reader = Reader(data, path="table", length="CERT_TABLE", reserved="CERT_TABLE")
    entries: list[Entry] = []
    while True:
        guid, offset, length = reader.take(16), reader.u32(), reader.u32()
        if not any(guid):
            break
        entries.append((guid, offset, length))
        if len(entries) > _MAX_ENTRIES:
            raise _bad("table", f"at most {_MAX_ENTRIES} entries and a terminator", "more")
    if offset or length:
        raise _bad("table.terminator", "an entry of zeros", f"offset {offset:#x}, length {length:#x}")
    names = [_CERTIFICATES.get(guid, guid.hex()) for guid, _, _ in entries]
    if len(set(names)) != len(names):
        raise _bad("table", "each GUID once", "one of them twice")
    if {"VCEK", "VLEK"} <= set(names):
        raise _bad("table", "one endorsement key", "a VCEK and a VLEK")
    return entries


def _check_places(data: bytes, entries: list[Entry]) -> None:
    """Each entry lies behind the header and inside the table, none overlaps another, and padding is zero."""
    for guid, offset, length in entries:
        if not length or offset + length > len(data):
            path = f"table.{_CERTIFICATES.get(guid, guid.hex())}"
            raise _bad(path, f"a length above zero and an end up to {len(data):#x}", f"{length:#x} at {offset:#x}")
    end = ENTRY_SIZE * (len(entries) + 1)
    for guid, offset, length in sorted(entries, key=lambda entry: entry[1]):
        path = f"table.{_CERTIFICATES.get(guid, guid.hex())}"
        if offset < end:
            raise _bad(path, f"an offset from {end:#x}", f"{offset:#x}")
        if any(data[end:offset]):
            raise _bad(path, f"zeros from {end:#x} to {offset:#x}", "other bytes")
        end = offset + length
    if any(data[end:]):
        raise _bad("table", f"zeros from {end:#x}", "other bytes")


def _bad(path: str, expected: str, got: object) -> Malformed:
    return Malformed("CERT_TABLE", path, expected=expected, got=got)
