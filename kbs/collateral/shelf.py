"""Collateral that lies ready in a directory. Nothing is fetched.

Files are as the vendor gives them: `*.crl` are revocation lists, `*.ocsp` OCSP responses, `*.xml` and `*.swidtag`
manifests of NVIDIA's, `*.json` answers of its RIM service with one inside, all else certificates in DER or PEM. Nothing
of it is trusted for lying here: `attest` verifies each piece against its pinned roots, once, and validity at every use.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from attest.errors import AttestError
from attest.evidence import Collateral, HardwareEvidence, read_certificates
from attest.gpu.prove import ProvenDevice
from attest.verify import Kept
from kbs.collateral.memory import Memory
from kbs.model.collateral import Gathered, Used, describe
from kbs.model.refusal import Unavailable

__all__ = ["CollateralUnreadable", "Shelf"]

_MAX_BYTES = 1 << 20
_KINDS = {".crl": "crls", ".ocsp": "ocsp", ".xml": "rims", ".swidtag": "rims", ".json": "rims"}


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
        lists: dict[str, list[bytes]] = {"crls": [], "ocsp": [], "rims": []}
        for path in sorted(p for p in directory.iterdir() if p.is_file()):
            data = path.read_bytes()
            if len(data) > _MAX_BYTES:
                raise CollateralUnreadable(f"{path} is larger than {_MAX_BYTES} bytes")
            kind = _KINDS.get(path.suffix)
            if kind is None:
                certificates += read_certificates(data)
            else:
                lists[kind].append(_manifest(path, data) if path.suffix == ".json" else data)
        crls, ocsp, rims = (tuple(lists[kind]) for kind in ("crls", "ocsp", "rims"))
        return cls(Collateral(certificates=tuple(certificates), crls=crls, ocsp=ocsp, rims=rims))

    def ready(self) -> Used:
        """What there is before anybody asked, as a document with its pieces."""
        lying = self.collateral
        return describe(certificates=lying.certificates, crls=lying.crls, ocsp=lying.ocsp, rims=lying.rims)

    def at_hand(self, evidence: HardwareEvidence, now: int) -> Gathered:
        """What there is, with what was verified of it before."""
        del now
        return self._memory.recall(evidence) or Gathered(collateral=self.collateral, kept=self._memory.shared())

    def foretell(self, evidence: HardwareEvidence, now: int) -> None:
        """Nothing is known of what is to come."""

    async def gather(
        self, evidence: HardwareEvidence, failure: AttestError, *, report_data: bytes, now: int
    ) -> Gathered | None:
        """None: there is nothing besides what is at hand."""
        del evidence, failure, report_data, now
        return None

    def curable(self, evidence: HardwareEvidence, failure: AttestError) -> bool:
        """Never: there is nothing besides what is at hand."""
        del evidence, failure
        return False

    def at_hand_for_devices(self, gathered: Gathered, devices: Sequence[ProvenDevice], now: int) -> Gathered:
        """What there is, already with all of it."""
        del devices, now
        return gathered

    def curable_for_devices(self, failure: AttestError | None) -> bool:
        """Never, as above."""
        del failure
        return False

    async def gather_for_devices(
        self, gathered: Gathered, devices: Sequence[ProvenDevice], now: int
    ) -> tuple[Gathered, Unavailable | None]:
        """What there is."""
        del devices, now
        return gathered, None

    def keep(self, evidence: HardwareEvidence, gathered: Gathered, kept: Kept) -> Used:
        """Remembers what was verified, for the next time, and says what that rested on."""
        self._memory.remember(evidence, replace(gathered, kept=kept))
        return self._memory.used(evidence, kept)

    def stored(self, used: Used) -> None:
        """What was used is in the store for good."""
        self._memory.stored(used.digest)


def _manifest(path: Path, data: bytes) -> bytes:
    """What `GET /v1/rim/ID` wraps: the manifest, base64 in the member `rim`. Its other members are nobody's word."""
    try:
        return base64.b64decode(json.loads(data)["rim"], validate=True)
    except (ValueError, KeyError, TypeError) as error:
        raise CollateralUnreadable(
            f"{path} is no answer of NVIDIA's RIM service, which has a manifest as rim"
        ) from error
