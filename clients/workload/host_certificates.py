"""The certificates that a host gave beside an SNP report, as they go to the broker: candidates, judged there alone."""

from __future__ import annotations

from attest.errors import AttestError
from attest.snp.table import table_blobs
from clients.errors import Unavailable

__all__ = ["host_certificates"]

_DER = b"\x30"  # a SEQUENCE, which every certificate is


def host_certificates(table: bytes) -> tuple[bytes, ...]:
    """Each in DER; none of an empty table. Raises Unavailable for a table that is not as specified.

    Only PEM is taken apart: reading a certificate costs a boot more memory and time than everything else here.
    """
    if not table.strip(b"\0"):
        return ()
    found: list[bytes] = []
    try:
        for name, blob in table_blobs(table):
            found += [blob] if blob.startswith(_DER) else _certificates(blob, name)
    except AttestError as error:
        raise Unavailable(f"the host's certificate table cannot be read: {error}") from error
    return tuple(found)


def _certificates(blob: bytes, name: str) -> tuple[bytes, ...]:
    from attest.evidence import read_certificates  # noqa: PLC0415

    return read_certificates(blob, path=f"table.{name}")
