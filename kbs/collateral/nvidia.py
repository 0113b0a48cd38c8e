"""What NVIDIA publishes about devices: manifests by identifier, revocation lists, OCSP responses.

Sources: NVIDIA's RIM service, RFC 5280, RFC 6960. The RIM service answers `/v1/rim/{id}` with JSON, around the manifest
in base64. Where to ask is configuration: never the certificates, though they name places.

A manifest is kept as it is; of lists and responses a piece is the chain of whom they are about or by, and their bytes.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from attest.anchors import Anchors
from attest.errors import AttestError, NotAuthentic
from attest.evidence import Collateral
from attest.gpu.links import Link
from attest.gpu.prove import ProvenDevice
from attest.gpu.published import (
    RimId,
    Subject,
    ask_about,
    check_crl,
    check_ocsp,
    check_rim,
    list_of,
    read_rim_id,
    subjects,
)
from attest.gpu.status import VerifiedStatus
from kbs.collateral.errors import CollateralError
from kbs.collateral.library import Library, Order
from kbs.collateral.nvidia_pieces import (
    Asked,
    crl_name,
    key_of,
    ocsp_name,
    pack,
    rim_name,
    rims_of,
    status_names,
    subjects_of,
    unpack,
)
from kbs.collateral.rim_answer import read_answer
from kbs.collateral.source import Vendor
from kbs.model.collateral import Piece
from kbs.outbound.client import Response

__all__ = ["Nvidia", "NvidiaSources"]

_RIM_LIMIT: Final = 1 << 18
_CRL_LIMIT: Final = 1 << 20
_OCSP_LIMIT: Final = 16_384
_DAY_MS: Final = 86_400_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SIGNERS: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class NvidiaSources:
    """The three services; each may be a mirror that answers as NVIDIA's does."""

    rim: Vendor
    crl: Vendor
    ocsp: Vendor


class Nvidia:
    """What there is about devices, piece by piece. Nothing of it is asked for before a device's evidence is proven."""

    renewed: Final = ("nvidia/",)
    curable: Final = frozenset({"REVOCATION_MISSING", "STATUS_EXPIRED", "RIM_EXPIRED"})

    def __init__(self, sources: NvidiaSources, library: Library, anchors: Anchors) -> None:
        self._sources = sources
        self._library = library
        self._anchors = anchors
        self._signers: OrderedDict[bytes, tuple[Subject, ...]] = OrderedDict()

    def at_hand(self, devices: Sequence[ProvenDevice], now: int) -> list[Piece]:
        """Whatever there is for these devices, valid at `now`."""
        rims = [piece for wanted in rims_of(devices) if (piece := self._library.look(rim_name(wanted), now))]
        asked = {**subjects_of(devices), **self._signers_of(rims, now)}
        names = dict.fromkeys(name for subject in asked.values() for name in status_names(subject))
        return [*rims, *(piece for name in names if (piece := self._library.look(name, now)) is not None)]

    async def gather(self, devices: Sequence[ProvenDevice], now: int) -> tuple[list[Piece], CollateralError | None]:
        """All that can be had for these devices, at once; and why the first that could not be had was not.

        Whether it matters is for the verifier to say, since a list and a response may speak for one certificate both.
        A manifest that the service does not know is no failure: it is missing.
        """
        wanted, asked = rims_of(devices), subjects_of(devices)
        orders = [*map(self._rim, wanted), *self._statuses(asked.values(), ())]
        found, errors = await self._all(orders, now)
        signers = self._signers_of([piece for piece in found if piece.name.startswith("nvidia/rim/")], now)
        more, again = await self._all(self._statuses(signers.values(), asked.values()), now)
        every = (*errors, *again)
        missed = [e for name, e in every if e.check != "SOURCE_UNKNOWN" or not name.startswith("nvidia/rim/")]
        return [*found, *more], (missed[0] if missed else None)

    def collateral(self, pieces: Sequence[Piece]) -> Collateral:
        """The pieces as the verifier takes them."""
        kinds: dict[str, list[bytes]] = {"rim": [], "crl": [], "ocsp": []}
        for piece in pieces:
            kind = piece.name.split("/")[1]
            kinds[kind].append(piece.data if kind == "rim" else unpack(piece.data)[1])
        return Collateral(rims=tuple(kinds["rim"]), crls=tuple(kinds["crl"]), ocsp=tuple(kinds["ocsp"]))

    def check(self, name: str, data: bytes, now: int) -> int | None:
        """The end of a piece's validity (ms), if it is what its name says; None if the name is another vendor's.

        Raises AttestError, also COLLATERAL_OLDER for a manifest that another has replaced.
        """
        match name.split("/"):
            case ["nvidia", "rim", text] if (wanted := read_rim_id(text)) is not None:
                return self._check_rim(data, wanted, now)
            case ["nvidia", "crl", title]:
                above, der = unpack(data)
                return _end(check_crl(der, above, title, self._anchors, now=_time(now)))
            case ["nvidia", "ocsp", "device" | "rim" as role, _, _]:
                chain, der = unpack(data)
                status, link = check_ocsp(der, chain, role, self._anchors, now=_time(now))
                if name != ocsp_name(link, role):
                    raise NotAuthentic("OCSP_MISMATCH", name, expected=ocsp_name(link, role), got=name)
                return _end(status)
        return None

    def order_of(self, name: str, now: int) -> Order | None:
        """How the piece of that name is renewed; None if it is another's or gone."""
        old = self._library.look(name, now)
        match name.split("/"):
            case ["nvidia", "rim", text] if (wanted := read_rim_id(text)) is not None:
                return self._rim(wanted)
            case ["nvidia", "crl", title] if old is not None:
                return self._crl(title, unpack(old.data)[0])
            case ["nvidia", "ocsp", role, _, _] if old is not None:
                chain, der = unpack(old.data)
                return self._ocsp(check_ocsp(der, chain, role, self._anchors, now=_time(now))[1], chain, role)
        return None

    async def _all(self, orders: Iterable[Order], now: int) -> tuple[list[Piece], list[tuple[str, CollateralError]]]:
        pieces, errors = [], []

        async def one(order: Order) -> None:
            try:
                pieces.append(await self._library.get(order, now))
            except CollateralError as error:
                errors.append((order.name, error))

        await asyncio.gather(*(one(order) for order in {order.name: order for order in orders}.values()))
        return sorted(pieces, key=lambda piece: piece.name), errors

    def _statuses(self, asked: Iterable[Subject], known: Iterable[Subject]) -> list[Order]:
        done = {key_of(subject) for subject in known}
        orders = []
        for subject in asked:
            if key_of(subject) in done:
                continue
            ders = tuple(link.der for link in subject.links)
            if title := list_of(subject):
                orders.append(self._crl(title, ders[1:]))
            orders.append(self._ocsp(subject.links[0], ders, subject.role))
        return orders

    def _signers_of(self, rims: Sequence[Piece], now: int) -> Asked:
        """The certificates of manifests that have to be asked about; each manifest is read once."""
        found: list[Subject] = []
        for piece in rims:
            known = self._signers.get(piece.data)
            if known is None:
                known = self._read_signers(piece, now)
                self._signers[piece.data] = known
                if len(self._signers) > _SIGNERS:
                    self._signers.popitem(last=False)
            found += known
        return {key_of(subject): subject for subject in found}

    def _read_signers(self, piece: Piece, now: int) -> tuple[Subject, ...]:
        wanted = read_rim_id(piece.name.rpartition("/")[2])
        if wanted is None:
            return ()
        try:
            rim = check_rim(piece.data, wanted, self._anchors, now=_time(now))
        except AttestError:  # a cache that was written to by somebody else: told by verification
            return ()
        return subjects(rim.window.links, "rim")

    def _rim(self, wanted: RimId) -> Order:
        def admit(answer: Response, now: int) -> tuple[bytes, int]:
            data = read_answer(answer.body, wanted.text)
            return data, self._check_rim(data, wanted, now)

        return Order(
            name=rim_name(wanted),
            source=self._sources.rim,
            path=f"/v1/rim/{wanted.text}",
            limit=_RIM_LIMIT,
            admit=admit,
            renew_ms=_DAY_MS,
        )

    def _check_rim(self, data: bytes, wanted: RimId, now: int) -> int:
        """Manifests are issued again under one identifier: the newer counts, whatever the ends of their validity."""
        rim = check_rim(data, wanted, self._anchors, now=_time(now))
        old = self._library.look(rim_name(wanted), now)
        if old is not None and old.data != data:
            known = check_rim(old.data, wanted, self._anchors, now=_time(now))
            if rim.window.links[0].not_before < known.window.links[0].not_before:
                expected = f"issued by {known.issued} or later"
                raise NotAuthentic("COLLATERAL_OLDER", rim_name(wanted), expected=expected, got=rim.issued)
        return _ms(rim.window.not_after)

    def _crl(self, title: str, above: Sequence[bytes]) -> Order:
        def admit(answer: Response, now: int) -> tuple[bytes, int]:
            status = check_crl(answer.body, above, title, self._anchors, now=_time(now))
            return pack(above, answer.body), _end(status)

        return Order(
            name=crl_name(title),
            source=self._sources.crl,
            path="/crl-corim/l1-corim" if title == "l1-corim" else f"/crl/{title}.crl",
            limit=_CRL_LIMIT,
            admit=admit,
            renew_ms=_DAY_MS,
            rising=True,
        )

    def _ocsp(self, link: Link, chain: Sequence[bytes], role: str) -> Order:
        def admit(answer: Response, now: int) -> tuple[bytes, int]:
            status, _ = check_ocsp(answer.body, chain, role, self._anchors, now=_time(now))
            return pack(chain, answer.body), _end(status)

        return Order(
            name=ocsp_name(link, role),
            source=self._sources.ocsp,
            path="/",
            limit=_OCSP_LIMIT,
            admit=admit,
            renew_ms=_DAY_MS,
            rising=True,
            question=ask_about(link),
        )


def _end(status: VerifiedStatus) -> int:
    return _ms(status.until) if status.until is not None else 0


def _time(ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=ms)


def _ms(at: datetime) -> int:
    return int((at - _EPOCH).total_seconds() * 1_000)
