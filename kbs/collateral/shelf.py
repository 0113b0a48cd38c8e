"""Collateral that lies ready in a directory. Nothing is fetched.

Files are DER or PEM as the vendor gives them (`*.crl` are revocation lists, all else certificates). Nothing of it is
trusted for lying here: `attest` verifies each piece against its pinned roots, once, and validity at every use.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from attest.errors import AttestError
from attest.evidence import Collateral, CpuEvidence, read_certificates
from attest.verify import Kept
from kbs.collateral.memory import Memory
from kbs.model.collateral import Gathered, Used, describe

__all__ = ["CollateralUnreadable", "Shelf"]

_MAX_BYTES = 1 << 20


class CollateralUnreadable(Exception):
    """A file of the collateral directory cannot be read; the sentence names it."""


class Shelf:
    """The collateral there is, and a bounded memory of what was verified with it."""

    def __init__(self, collateral: Collateral) -> None:
        self.collateral = collateral
        self._memory = Memory()

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

    def ready(self) -> Used:
        """What there is before anybody asked, as a document with its pieces."""
        return describe(certificates=self.collateral.certificates, crls=self.collateral.crls)

    def at_hand(self, evidence: CpuEvidence, now: int) -> Gathered:
        """What there is, with what was verified of it before."""
        del now
        return self._memory.recall(evidence) or Gathered(collateral=self.collateral, kept=None)

    async def gather(
        self, evidence: CpuEvidence, failure: AttestError, *, report_data: bytes, now: int
    ) -> Gathered | None:
        """None: there is nothing besides what is at hand."""
        del evidence, failure, report_data, now
        return None

    def keep(self, evidence: CpuEvidence, gathered: Gathered, kept: Kept) -> Used:
        """Remembers what was verified, for the next time, and says what that rested on."""
        self._memory.remember(evidence, replace(gathered, kept=kept))
        return self._memory.used(evidence, kept)

    def stored(self, used: Used) -> None:
        """What was used is in the store for good."""
        self._memory.stored(used.digest)
