"""PCK certificates for quotes that name theirs and do not carry it.

Source: Intel "PCS API" version 4, "Get PCK Certificate". Intel's own service knows a platform by its PPID, encrypted
with RSA-3072 (type 3), and wants a subscription key, which is sent with these requests alone; a PCCS knows it by the
quoting enclave's id. A certificate is kept if the key in it signed the quoting enclave's report of the very quote that
asked.

    intel/pck/<digest of what the quote names>
"""

from __future__ import annotations

from typing import Final

from attest.anchors import Anchors
from attest.tdx.uncertified import Named, check_certifies
from kbs.collateral.budget import Budget
from kbs.collateral.library import Order
from kbs.collateral.pcs_orders import issuer_chain
from kbs.collateral.source import Vendor
from kbs.collateral.times import moment, ms
from kbs.model.pieces import pack_below
from kbs.outbound.client import Response

__all__ = ["PckSource", "pck_name"]

_LIMIT: Final = 16_384
_HEADER: Final = "sgx-pck-certificate-issuer-chain"
_RSA_3072: Final = 3


class PckSource:
    """`pccs` says that the source is a site's own PCCS; `strangers` is the budget for platforms never seen."""

    def __init__(self, source: Vendor, anchors: Anchors, strangers: Budget, *, pccs: bool) -> None:
        self._source = source
        self._anchors = anchors
        self._strangers = strangers
        self._pccs = pccs

    def order(self, named: Named, quote: bytes) -> Order | None:
        """How it is had; None where the source has no way to be asked for it."""
        if named.kind != _RSA_3072 and not self._pccs:
            return None
        name = pck_name(named)

        def admit(answer: Response, now: int) -> tuple[bytes, int]:
            chain = issuer_chain(answer, _HEADER)
            until = check_certifies(quote, answer.body.rstrip() + b"\n" + chain, self._anchors, now=moment(now))
            self._strangers.give_back(name)
            return pack_below(chain, answer.body), ms(until)

        return Order(
            name=name,
            source=self._source,
            path=f"/sgx/certification/v4/pckcert?{self._query(named)}",
            limit=_LIMIT,
            admit=admit,
            renew_ms=0,
            before=lambda: self._strangers.take(name),
        )

    def _query(self, named: Named) -> str:
        asked = {
            "qeid": named.qe_id if self._pccs else b"",
            "encrypted_ppid": named.encrypted_ppid,
            "cpusvn": named.cpusvn,
            "pcesvn": named.pcesvn,
            "pceid": named.pceid,
        }
        return "&".join(f"{key}={value.hex().upper()}" for key, value in asked.items() if value)


def pck_name(named: Named) -> str:
    """A certificate's."""
    return f"intel/pck/{named.digest.hex()}"
