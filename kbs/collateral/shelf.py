"""Collateral that lies ready in a directory, and what `attest` has already verified of it.

Files are DER or PEM as the vendor gives them (`*.crl` are revocation lists, all else certificates). Nothing of it is
trusted for lying here: `attest` verifies each piece against its pinned roots, once, and validity at every use.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from pathlib import Path

from attest.binding import bind
from attest.evidence import Collateral, CpuEvidence, SnpEvidence, read_certificates
from attest.verify import Kept

__all__ = ["CollateralUnreadable", "Shelf"]

_KEPT = 4_096
_MAX_BYTES = 1 << 20


class CollateralUnreadable(Exception):
    """A file of the collateral directory cannot be read; the sentence names it."""


class Shelf:
    """The collateral there is, and a bounded memory of verified chains by the certificates that made them."""

    def __init__(self, collateral: Collateral) -> None:
        self._collateral = collateral
        self._kept: OrderedDict[bytes, Kept] = OrderedDict()

    @classmethod
    def from_directory(cls, directory: Path) -> Shelf:
        """Reads every file of `directory`; raises CollateralUnreadable."""
        certificates: list[bytes] = []
        crls: list[bytes] = []
        for path in sorted(p for p in directory.iterdir() if p.is_file()):
            data = path.read_bytes()
            if len(data) > _MAX_BYTES:
                raise CollateralUnreadable(f"{path} is larger than {_MAX_BYTES} bytes")
            if path.suffix == ".crl":
                crls.append(data)
            else:
                certificates += read_certificates(data)
        return cls(Collateral(certificates=tuple(certificates), crls=tuple(crls)))

    def collateral(self) -> Collateral:
        """What there is."""
        return self._collateral

    def document(self) -> bytes:
        """All of it as one content-addressed document: the preimage of `collateral_digest`."""
        return bind("sealgate/v1/collateral", list(self._collateral.certificates), list(self._collateral.crls))

    def kept(self, evidence: CpuEvidence) -> Kept | None:
        """What was verified before for evidence with the same certificates."""
        return self._kept.get(_key(evidence))

    def keep(self, evidence: CpuEvidence, kept: Kept) -> None:
        """Remembers what was verified."""
        key = _key(evidence)
        self._kept[key] = kept
        self._kept.move_to_end(key)
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)


def _key(evidence: CpuEvidence) -> bytes:
    """Evidence with the same certificates; a quote's are inside it, so that it is known again by its whole alone."""
    parts = evidence.certificates if isinstance(evidence, SnpEvidence) else (evidence.quote,)
    return hashlib.sha256(b"".join(len(part).to_bytes(4, "big") + part for part in parts)).digest()
