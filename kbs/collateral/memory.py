"""What was verified before, by the evidence it was verified for: signatures over the same bytes are not repeated."""

from __future__ import annotations

import hashlib
from collections import OrderedDict

from attest.evidence import CpuEvidence, SnpEvidence
from attest.gpu.rim import VerifiedRim
from attest.gpu.status import VerifiedStatus
from attest.gpu.verify import KeptDevices
from attest.verify import Kept
from kbs.model.collateral import Gathered, Used, describe

__all__ = ["Memory", "key_of"]

_REMEMBERED = 8_192
_DESCRIBED = 4_096
_SHARED = 256


class Memory:
    """Bounded memories of one process. What is forgotten is verified again, and stored again, to the same end."""

    def __init__(self) -> None:
        self._remembered: OrderedDict[bytes, Gathered] = OrderedDict()
        self._rims: OrderedDict[bytes, VerifiedRim] = OrderedDict()
        self._statuses: OrderedDict[bytes, VerifiedStatus] = OrderedDict()
        self._described: OrderedDict[tuple[bytes, ...], Used] = OrderedDict()
        self._stored: OrderedDict[bytes, None] = OrderedDict()

    def recall(self, evidence: CpuEvidence) -> Gathered | None:
        """What evidence that needs the same was verified with."""
        return self._remembered.get(key_of(evidence))

    def shared(self) -> Kept | None:
        """What serves every node alike: manifests, lists and responses of devices, each verified once."""
        if not self._rims and not self._statuses:
            return None
        return Kept(devices=KeptDevices(rims=dict(self._rims), statuses=dict(self._statuses)))

    def remember(self, evidence: CpuEvidence, gathered: Gathered) -> bool:
        """Keeps what evidence was verified with, and whether any of it was verified for the first time."""
        key = key_of(evidence)
        old = self._remembered.get(key)
        if old == gathered:
            return False
        _keep(self._remembered, key, gathered, _REMEMBERED)
        if gathered.kept is not None:
            for data, rim in gathered.kept.devices.rims.items():
                _keep(self._rims, data, rim, _SHARED)
            for der, status in gathered.kept.devices.statuses.items():
                _keep(self._statuses, der, status, _SHARED)
        return old is None or old.kept != gathered.kept

    def used(self, evidence: CpuEvidence, kept: Kept) -> Used:
        """The document of what a verification rested on, besides the evidence itself."""
        brought = set(evidence.certificates) if isinstance(evidence, SnpEvidence) else set()
        certificates = [link.der for chain in kept.chains for link in chain.links if link.der not in brought]
        spoken = [status for status in kept.devices.statuses.values() if status.issuer_spki]
        crls = [*(crl.der for crl in kept.crls), *(status.der for status in spoken if status.complete)]
        ocsp, rims = [status.der for status in spoken if not status.complete], list(kept.devices.rims)
        named = (*sorted(certificates), b"", *sorted(crls), b"", *sorted(ocsp), b"", *sorted(rims))
        found = self._described.get(named)
        if found is None:
            found = describe(certificates=certificates, crls=crls, ocsp=ocsp, rims=rims)
            _keep(self._described, named, found, _DESCRIBED)
        return Used(digest=found.digest, blobs=()) if found.digest in self._stored else found

    def stored(self, digest: bytes) -> None:
        """The document of this digest, and its pieces, are in the store for good."""
        _keep(self._stored, digest, None, _DESCRIBED)


def key_of(evidence: CpuEvidence) -> bytes:
    """Evidence that needs the same collateral has the same key.

    SNP: the certificates, and REPORTED_TCB, CPUID and CHIP_ID. A quote holds its certificates itself, behind what
    differs from quote to quote, so that it is known again by its whole alone.
    """
    if not isinstance(evidence, SnpEvidence):
        return hashlib.sha256(evidence.quote).digest()
    total = hashlib.sha256(evidence.report[0x180:0x1E0])
    for certificate in evidence.certificates:
        total.update(len(certificate).to_bytes(4, "big") + certificate)
    return total.digest()


def _keep(memory: OrderedDict, key: object, value: object, most: int) -> None:  # type: ignore[type-arg]
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > most:
        memory.popitem(last=False)
