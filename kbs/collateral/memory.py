"""What was verified before, by the evidence it was verified for: signatures over the same bytes are not repeated."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import replace

from attest.evidence import Collateral, HardwareEvidence, SnpEvidence, TdxCollateral
from attest.gpu.rim import VerifiedRim
from attest.gpu.status import VerifiedStatus
from attest.gpu.verify import KeptDevices
from attest.tdx.collateral import VerifiedCollateral
from attest.verify import Kept
from kbs.model.collateral import Gathered, Used, describe

__all__ = ["Memory", "key_of"]

_REMEMBERED = 8_192
_DESCRIBED = 4_096
_SHARED = 256
_FAMILIES = 256
_PEM = b"-----BEGIN CERTIFICATE-----"


class Memory:
    """Bounded memories of one process. What is forgotten is verified again, and stored again, to the same end."""

    def __init__(self) -> None:
        self._remembered: OrderedDict[bytes, Gathered] = OrderedDict()
        self._rims: OrderedDict[bytes, VerifiedRim] = OrderedDict()
        self._statuses: OrderedDict[bytes, VerifiedStatus] = OrderedDict()
        self._described: OrderedDict[tuple[object, ...], Used] = OrderedDict()
        self._stored: OrderedDict[bytes, None] = OrderedDict()
        self._families: OrderedDict[TdxCollateral, VerifiedCollateral] = OrderedDict()

    def recall(self, evidence: HardwareEvidence) -> Gathered | None:
        """What evidence that needs the same was verified with."""
        return self._remembered.get(key_of(evidence))

    def shared(self) -> Kept | None:
        """What serves every node alike: manifests, lists and responses of devices, each verified once."""
        if not self._rims and not self._statuses:
            return None
        return Kept(devices=KeptDevices(rims=dict(self._rims), statuses=dict(self._statuses)))

    def remember(self, evidence: HardwareEvidence, gathered: Gathered) -> bool:
        """Keeps what evidence was verified with, and whether any of it was verified for the first time."""
        key = key_of(evidence)
        old = self._remembered.get(key)
        if old == gathered:
            return False
        for family in gathered.kept.tdx if gathered.kept is not None else ():
            _keep(self._families, family.source, family, _FAMILIES)
        _keep(self._remembered, key, gathered, _REMEMBERED)
        if gathered.kept is not None:
            for data, rim in gathered.kept.devices.rims.items():
                _keep(self._rims, data, rim, _SHARED)
            for der, status in gathered.kept.devices.statuses.items():
                _keep(self._statuses, der, status, _SHARED)
        return old is None or old.kept != gathered.kept

    def known(self, collateral: Collateral, kept: Kept | None) -> Kept | None:
        """`kept`, with what was verified of `collateral` for any other platform of the family."""
        families = tuple(self._families[each] for each in collateral.tdx if each in self._families)
        return replace(kept or Kept(), tdx=families) if families else kept

    def used(self, evidence: HardwareEvidence, kept: Kept) -> Used:
        """The document of what a verification rested on, besides the evidence itself."""
        brought = set(evidence.certificates) if isinstance(evidence, SnpEvidence) else set()
        certificates = [link.der for chain in kept.chains for link in chain.links if link.der not in brought]
        spoken = [status for status in kept.devices.statuses.values() if status.issuer_spki]
        crls = [*(crl.der for crl in kept.crls), *(status.der for status in spoken if status.complete)]
        ocsp, rims = [status.der for status in spoken if not status.complete], list(kept.devices.rims)
        families = [verified.source for verified in kept.tdx]
        groups = (certificates, crls, ocsp, rims)
        named = (*(tuple(sorted(group)) for group in groups), tuple(families))
        found = self._described.get(named)
        if found is None:
            found = describe(certificates=certificates, crls=crls, tdx=families, ocsp=ocsp, rims=rims)
            _keep(self._described, named, found, _DESCRIBED)
        return Used(digest=found.digest, blobs=()) if found.digest in self._stored else found

    def stored(self, digest: bytes) -> None:
        """The document of this digest, and its pieces, are in the store for good."""
        _keep(self._stored, digest, None, _DESCRIBED)


def key_of(evidence: HardwareEvidence) -> bytes:
    """Evidence that needs the same collateral has the same key.

    SNP: the certificates, and REPORTED_TCB, CPUID and CHIP_ID. TDX: the PCK chain, behind what differs from quote to
    quote; a quote without one is known again by its whole alone.
    """
    if not isinstance(evidence, SnpEvidence):
        return hashlib.sha256(evidence.quote[max(evidence.quote.find(_PEM), 0) :]).digest()
    total = hashlib.sha256(evidence.report[0x180:0x1E0])
    for certificate in evidence.certificates:
        total.update(len(certificate).to_bytes(4, "big") + certificate)
    return total.digest()


def _keep(memory: OrderedDict, key: object, value: object, most: int) -> None:  # type: ignore[type-arg]
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > most:
        memory.popitem(last=False)
