"""Is this device's evidence authentic, and was it made for this? Raises at the first failure.

Sources: attest/gpu/prove.py, status.py and rim.py name theirs. What the evidence proves alone comes first, so that
nothing has to be at hand, or fetched, for evidence that would be refused anyway.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from attest.anchors import Anchors
from attest.errors import AttestError, NotAuthentic
from attest.evidence import Collateral, DeviceEvidence
from attest.finding import Finding, Outcome
from attest.gpu.certs import VerifiedDeviceChain
from attest.gpu.claims import DeviceClaims, Manifest
from attest.gpu.opaque import Opaque
from attest.gpu.prove import ProvenDevice, prove_device
from attest.gpu.report import Report
from attest.gpu.revocation import read_statuses
from attest.gpu.rim import VerifiedRim, verify_rim
from attest.gpu.status import Standing, VerifiedStatus, by_issuer, check_standing

__all__ = ["AuthenticDevice", "KeptDevices", "judge_device", "keep", "verify_device"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptDevices:
    """What was verified before and depends on neither time, report nor nonce, each by the bytes that it was made from.

    Only what byte-identical chains, lists, responses and manifests need no second time is spared: validity, standing
    and the match with the report are checked at every use.
    """

    opaque: Mapping[tuple[str, bytes], Opaque] = field(default_factory=dict)
    chains: Mapping[bytes, VerifiedDeviceChain] = field(default_factory=dict)
    statuses: Mapping[bytes, VerifiedStatus] = field(default_factory=dict)
    rims: Mapping[bytes, VerifiedRim] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthenticDevice:
    """Claims that are authentic and, unless a finding says otherwise, bound; what was checked; what to keep."""

    claims: DeviceClaims
    findings: tuple[Finding, ...]
    opaque: Opaque
    chain: VerifiedDeviceChain
    statuses: tuple[VerifiedStatus, ...]
    rims: tuple[VerifiedRim, ...]


def verify_device(
    evidence: DeviceEvidence,
    collateral: Collateral,
    anchors: Anchors,
    *,
    nonce: bytes | None,
    now: datetime,
    revocation_required: bool,
    kept: KeptDevices | None = None,
) -> AuthenticDevice:
    """Verifies one device's report under pinned roots; `nonce` is what it must have signed over, exactly 32 bytes.

    `prove_device`, then `judge_device`. With `nonce` None what comes back is bound to nothing, which a finding says.
    Whether measurements are those of the manifests is for appraisal. Raises AttestError.
    """
    kept = kept or KeptDevices()
    proven = prove_device(evidence, anchors, nonce=nonce, now=now, opaque=kept.opaque, chains=kept.chains)
    return judge_device(proven, collateral, anchors, now=now, revocation_required=revocation_required, kept=kept)


def judge_device(
    proven: ProvenDevice,
    collateral: Collateral,
    anchors: Anchors,
    *,
    now: datetime,
    revocation_required: bool,
    kept: KeptDevices | None = None,
) -> AuthenticDevice:
    """The rest, with what NVIDIA publishes: 7. no certificate is revoked or on hold; 8. manifests are authentic.

    Raises AttestError.
    """
    kept = kept or KeptDevices()
    report, chain = proven.report, proven.chain
    rims = _rims(collateral.rims, report.opaque, anchors, kept)  # 8, as far as it needs no status
    links = (*chain.window.links, *(link for rim in rims for link in rim.window.links))
    statuses = read_statuses(collateral.crls, collateral.ocsp, links, kept.statuses)
    spoken = by_issuer(statuses)
    standing = check_standing(chain.window.links, spoken, now, required=revocation_required, path="chain")  # 7
    if standing.on_hold:
        where = f"chain.{standing.on_hold[0]}"
        raise NotAuthentic("CERT_ON_HOLD", where, expected="not on hold", got="on hold by its issuer")
    judge = _Manifests(rims=rims, statuses=spoken, now=now, required=revocation_required)
    claims = _claims(report, chain, standing, judge)
    checked = _UNREVOKED if not standing.unchecked else _unchecked(standing)
    return AuthenticDevice(
        claims=claims,
        findings=(*proven.findings, checked),
        opaque=report.opaque,
        chain=chain,
        statuses=statuses,
        rims=rims,
    )


def keep(authentic: Sequence[AuthenticDevice]) -> KeptDevices:
    """What these devices were verified with, and nothing else: as much as one request needs."""
    return KeptDevices(
        opaque={(each.claims.kind, each.opaque.data): each.opaque for each in authentic},
        chains={each.chain.pem: each.chain for each in authentic},
        statuses={status.der: status for each in authentic for status in each.statuses},
        rims={rim.data: rim for each in authentic for rim in each.rims},
    )


def _rims(offered: Sequence[bytes], opaque: Opaque, anchors: Anchors, kept: KeptDevices) -> tuple[VerifiedRim, ...]:
    """Those that name one of the device's versions at all: of all others nothing could come but work."""
    names = {version.encode() for version in (opaque.driver_version, opaque.vbios_version) if version}
    names |= {name.lower() for name in names}
    found = []
    for data in offered:
        rim = kept.rims.get(data)
        if rim is not None and rim.root in anchors.nvidia:
            if rim.version.encode() in names:
                found.append(rim)
        elif any(name in data for name in names):
            found.append(verify_rim(data, anchors))
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Manifests:
    """Step 8: those of a product and version, as long as they may be used."""

    rims: tuple[VerifiedRim, ...]
    statuses: Mapping[bytes, Sequence[VerifiedStatus]]
    now: datetime
    required: bool

    def of(self, edition: str, product: str, version: str) -> tuple[Manifest, ...]:
        """The usable ones, newest first; raises what is wrong with the first if there are some and none is usable."""
        usable: list[Manifest] = []
        first: AttestError | None = None
        version = version.upper()
        for rim in self.rims:
            if rim.version.upper() == version and rim.product == product and rim.edition == edition:
                try:
                    rim.window.check(self.now, path="rim", of="RIM")
                    standing = check_standing(
                        rim.window.links, self.statuses, self.now, required=self.required, path="rim"
                    )
                except AttestError as error:
                    first = first or error
                    continue
                usable.append(Manifest(rim=rim, standing=standing))
        if not usable and first is not None:
            raise first
        if len(usable) > 1:
            usable.sort(key=lambda each: each.rim.window.links[0].not_before, reverse=True)
        return tuple(usable)


def _claims(report: Report, chain: VerifiedDeviceChain, standing: Standing, judge: _Manifests) -> DeviceClaims:
    opaque, family = report.opaque, chain.family
    product = opaque.chip_info or family.product
    driver = opaque.driver_version
    return DeviceClaims(
        kind=report.kind,
        architecture=family.architecture,
        product=product,
        model=chain.model,
        simulated=chain.root.simulated,
        ueid=chain.ueid,
        pdi=chain.pdi,
        nonce=report.nonce,
        driver_version=driver,
        vbios_version=opaque.vbios_version,
        board="_".join(part for part in (opaque.project, opaque.project_sku, opaque.chip_sku) if part),
        mode=opaque.mode,
        fwid=opaque.fwid,
        nvdec0=opaque.nvdec0,
        locked=opaque.locked,
        switch_pdis=opaque.switch_pdis,
        gpu_pdis=opaque.gpu_pdis,
        measurements=report.measurements,
        standing=standing,
        driver_manifests=judge.of(family.edition, product, driver) if driver else (),
        vbios_manifests=judge.of(family.edition, product, opaque.vbios_version),
        offered=judge.rims,
        trailing=report.trailing,
    )


def _finding(check: str, path: str, outcome: Outcome, expected: str, got: str) -> Finding:
    return Finding(check=check, path=path, outcome=outcome, expected=expected, got=got)


def _passed(check: str, path: str, expected: str, got: str) -> Finding:
    return _finding(check, path, Outcome.PASSED, expected, got)


def _unchecked(standing: Standing) -> Finding:
    got = f"nothing for {', '.join(standing.unchecked)}: revocation was not checked"
    return _finding("CERT_REVOKED", "chain", Outcome.SKIPPED, "a CRL or OCSP response for each", got)


_UNREVOKED = _passed("CERT_REVOKED", "chain", "not revoked", "none is")
