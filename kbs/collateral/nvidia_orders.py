"""How each piece of what NVIDIA publishes is had, and what it must be to be kept.

Sources: NVIDIA's RIM service, RFC 5280, RFC 6960. The RIM service answers `/v1/rim/{id}` with JSON, around the manifest
in base64. Where to ask is configuration: never the certificates, though they name places.

A manifest is kept as it is; of lists and responses a piece is the chain of whom they are about or by, and their bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from attest.anchors import Anchors
from attest.errors import NotAuthentic
from attest.gpu.links import Link
from attest.gpu.published import RimId, ask_about, check_crl, check_ocsp, check_rim, read_rim_id
from attest.gpu.status import VerifiedStatus
from kbs.collateral.library import Library, Order
from kbs.collateral.nvidia_pieces import crl_name, ocsp_name, rim_name
from kbs.collateral.rim_answer import read_answer
from kbs.collateral.source import Vendor
from kbs.collateral.times import DAY_MS, moment, ms
from kbs.model.pieces import pack_chain, unpack_chain
from kbs.outbound.client import Response

__all__ = ["NvidiaOrders", "NvidiaSources"]

_RIM_LIMIT: Final = 1 << 18
_CRL_LIMIT: Final = 1 << 20
_OCSP_LIMIT: Final = 16_384


@dataclass(frozen=True, slots=True, kw_only=True)
class NvidiaSources:
    """The three services; each may be a mirror that answers as NVIDIA's does."""

    rim: Vendor
    crl: Vendor
    ocsp: Vendor


class NvidiaOrders:
    """Manifests, revocation lists and OCSP responses, one by one."""

    renewed: Final = ("nvidia/",)
    announced: Final = ""

    def __init__(self, sources: NvidiaSources, library: Library, anchors: Anchors) -> None:
        self._sources = sources
        self._library = library
        self._anchors = anchors

    def check(self, name: str, data: bytes, now: int) -> int | None:
        """The end of a piece's validity (ms), if it is what its name says; None if the name is another vendor's.

        Raises AttestError, also COLLATERAL_OLDER for a manifest that another has replaced.
        """
        match name.split("/"):
            case ["nvidia", "rim", text] if (wanted := read_rim_id(text)) is not None:
                return self._check_rim(data, wanted, now)
            case ["nvidia", "crl", title]:
                above, der = unpack_chain(data)
                return _end(check_crl(der, above, title, self._anchors, now=moment(now)))
            case ["nvidia", "ocsp", "device" | "rim" as role, _, _]:
                chain, der = unpack_chain(data)
                status, link = check_ocsp(der, chain, role, self._anchors, now=moment(now))
                if name != ocsp_name(link, role):
                    raise NotAuthentic("OCSP_MISMATCH", name, expected=ocsp_name(link, role), got=name)
                return _end(status)
        return None

    def beside(self, name: str) -> tuple[str, ...]:
        """Nothing: what is published counts at once."""
        del name
        return ()

    def order_of(self, name: str, now: int) -> Order | None:
        """How the piece of that name is renewed; None if it is another's or gone."""
        old = self._library.look(name, now)
        match name.split("/"):
            case ["nvidia", "rim", text] if (wanted := read_rim_id(text)) is not None:
                return self.rim(wanted)
            case ["nvidia", "crl", title] if old is not None:
                return self.crl(title, unpack_chain(old.data)[0])
            case ["nvidia", "ocsp", role, _, _] if old is not None:
                chain, der = unpack_chain(old.data)
                return self.ocsp(check_ocsp(der, chain, role, self._anchors, now=moment(now))[1], chain, role)
        return None

    def rim(self, wanted: RimId) -> Order:
        """A manifest, by its identifier."""

        def admit(answer: Response, now: int) -> tuple[bytes, int]:
            data = read_answer(answer.body, wanted.text)
            return data, self._check_rim(data, wanted, now)

        return Order(
            name=rim_name(wanted),
            source=self._sources.rim,
            path=f"/v1/rim/{wanted.text}",
            limit=_RIM_LIMIT,
            admit=admit,
            renew_ms=DAY_MS,
        )

    def _check_rim(self, data: bytes, wanted: RimId, now: int) -> int:
        """Manifests are issued again under one identifier: the newer counts, whatever the ends of their validity."""
        rim = check_rim(data, wanted, self._anchors, now=moment(now))
        old = self._library.look(rim_name(wanted), now)
        if old is not None and old.data != data:
            known = check_rim(old.data, wanted, self._anchors, now=moment(now))
            if rim.window.links[0].not_before < known.window.links[0].not_before:
                expected = f"issued by {known.issued} or later"
                raise NotAuthentic("COLLATERAL_OLDER", rim_name(wanted), expected=expected, got=rim.issued)
        return ms(rim.window.not_after)

    def crl(self, title: str, above: Sequence[bytes]) -> Order:
        """A revocation list, by its title; `above` are its issuer and who stands above that."""

        def admit(answer: Response, now: int) -> tuple[bytes, int]:
            status = check_crl(answer.body, above, title, self._anchors, now=moment(now))
            return pack_chain(above, answer.body), _end(status)

        return Order(
            name=crl_name(title),
            source=self._sources.crl,
            path="/crl-corim/l1-corim" if title == "l1-corim" else f"/crl/{title}.crl",
            limit=_CRL_LIMIT,
            admit=admit,
            renew_ms=DAY_MS,
            rising=True,
        )

    def ocsp(self, link: Link, chain: Sequence[bytes], role: str) -> Order:
        """A response about one certificate, which `chain` begins with."""

        def admit(answer: Response, now: int) -> tuple[bytes, int]:
            status, _ = check_ocsp(answer.body, chain, role, self._anchors, now=moment(now))
            return pack_chain(chain, answer.body), _end(status)

        return Order(
            name=ocsp_name(link, role),
            source=self._sources.ocsp,
            path="/",
            limit=_OCSP_LIMIT,
            admit=admit,
            renew_ms=DAY_MS,
            rising=True,
            question=ask_about(link),
        )


def _end(status: VerifiedStatus) -> int:
    return ms(status.until) if status.until is not None else 0
