"""The platforms that the log has seen: read from its entries, followed as it grows, and made again at every start."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from attest.binding import bind
from attest.errors import AttestError
from attest.evidence import AzureEvidence, CpuEvidence, DeviceEvidence, SnpEvidence, TdxEvidence
from attest.tlog.entry import parse_leaf
from kbs.model.log import LogHead
from kbs.release.preflight import Seen

__all__ = ["EntryReader", "Fleet", "decode_evidence"]

_STEP: Final = 256
_NODE: Final = bind("sealgate/v1/evidence-node")
_GRANTS: Final = frozenset({"release.granted", "lease.renewed"})


class EntryReader(Protocol):
    """The log as it is stored."""

    def head(self) -> LogHead:
        """The log's head."""

    def entries(self, start: int, end: int) -> list[tuple[int, bytes, bytes]]:
        """(index, leaf, leaf hash)."""

    def document(self, index: int, digest: bytes) -> bytes | None:
        """What a digest in the entry at `index` stands for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Newest:
    index: int
    evidence: bytes
    product: str
    assets: tuple[str, ...]


class Fleet:
    """Each platform's newest grant, by tenant and node."""

    def __init__(self, reader: EntryReader) -> None:
        self._reader = reader
        self._read = 0
        self._newest: dict[tuple[str, str], _Newest] = {}

    async def follow(self) -> None:
        """Reads what the log has more than before, a piece at a time: the event loop goes on meanwhile."""
        size = self._reader.head().size
        while self._read < size:
            end = min(self._read + _STEP, size)
            for index, leaf, _ in self._reader.entries(self._read, end):
                self._note(index, parse_leaf(leaf).body)
            self._read = end
            await asyncio.sleep(0)

    def seen(self, tenants: Collection[str] | None = None) -> list[Seen]:
        """The platforms, of some tenants or of all. One whose evidence is gone or of another form is left out."""
        found = []
        for (tenant, node), newest in sorted(self._newest.items()):
            if tenants is not None and tenant not in tenants:
                continue
            document = self._reader.document(newest.index, newest.evidence)
            decoded = decode_evidence(document) if document is not None else None
            if decoded is not None:
                evidence, init_data, devices = decoded
                about = {"tenant": tenant, "node": node, "product": newest.product, "assets": newest.assets}
                found.append(Seen(**about, evidence=evidence, init_data=init_data, devices=devices))  # type: ignore[arg-type]
        return found

    def _note(self, index: int, body: Any) -> None:
        if body.get("type") not in _GRANTS:
            return
        self._newest[body["tenant"], body["actor"]["id"]] = _Newest(
            index=index,
            evidence=bytes.fromhex(body["evidence_digest"]),
            product=body["product"],
            assets=tuple(line["asset"] for line in body["keys"]),
        )


def decode_evidence(document: bytes) -> tuple[CpuEvidence, bytes, tuple[DeviceEvidence, ...]] | None:
    """Evidence, init-data and devices out of the preimage of `evidence_digest`; None for a form not known here."""
    try:
        return _decode(_Items(document), whole=document.startswith(_NODE))
    except (AttestError, ValueError):
        return None


def _decode(items: _Items, *, whole: bool) -> tuple[CpuEvidence, bytes, tuple[DeviceEvidence, ...]] | None:
    if not whole:
        cpu, devices = _decode_cpu(items), tuple[DeviceEvidence, ...]()
    else:
        items.take()
        cpu = _decode_cpu(_Items(items.take()))
        devices = _devices([items.take() for _ in range(items.count())])
    return None if cpu is None else (*cpu, devices)


def _devices(fields: Sequence[bytes]) -> tuple[DeviceEvidence, ...]:
    """Kind, report and chain of each."""
    each = zip(fields[::3], fields[1::3], fields[2::3], strict=True)
    return tuple(DeviceEvidence(kind=kind.decode(), report=report, chain=chain) for kind, report, chain in each)


def _decode_cpu(items: _Items) -> tuple[CpuEvidence, bytes] | None:
    domain = items.take()
    if domain == b"sealgate/v1/evidence" and items.take() == b"snp":
        report, certificates = items.take(), tuple(items.take() for _ in range(items.count()))
        return SnpEvidence(report=report, certificates=certificates), items.take()
    if domain == b"sealgate/v1/evidence-tdx":
        quote, event_log = items.take(), items.take()
        return TdxEvidence(quote=quote, event_log=event_log), items.take()
    if domain == b"sealgate/v1/evidence-azure":
        hcl_report, tpm_quote, signature = (items.take() for _ in range(3))
        pcrs, certificates = (tuple(items.take() for _ in range(items.count())) for _ in range(2))
        evidence = AzureEvidence(
            hcl_report=hcl_report, tpm_quote=tpm_quote, tpm_signature=signature, pcrs=pcrs, certificates=certificates,
            td_quote=items.take(),
        )  # fmt: skip
        return evidence, items.take()
    return None


class _Items:
    """What `attest.binding.bind` wrote, read in order; raises ValueError at its end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def count(self) -> int:
        raw = self._data[self._at : self._at + 4]
        if len(raw) != 4:
            raise ValueError("the end of the document")
        self._at += 4
        return int.from_bytes(raw, "big")

    def take(self) -> bytes:
        size = self.count()
        item = self._data[self._at : self._at + size]
        if len(item) != size:
            raise ValueError("the end of the document")
        self._at += size
        return item
