"""Intel's Provisioning Certification Service, or a PCCS that answers as it does: TCB info, identities, lists.

Source: Intel "PCS API" version 4. Issuer chains come URL-encoded in headers. Where to ask is configuration: never the
evidence, which a host could have written.

    intel/tcb/TDX/<FMSPC>     intel/qe/TDX     intel/pckcrl/platform     intel/rootcrl

A piece is its issuer chain and its body, exactly as they were received.
"""

from __future__ import annotations

import asyncio
import binascii
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import unquote_to_bytes

from attest.anchors import Anchors
from attest.errors import Malformed, NotAuthentic, NotBound
from attest.evidence import Collateral, TdxCollateral, TdxEvidence
from attest.tdx.published import Checked, check_pck_crl, check_qe_identity, check_root_crl, check_tcb_info
from attest.tdx.quote import parse
from attest.tdx.verify import Needed, needed
from kbs.collateral.library import Library, Order
from kbs.collateral.source import Vendor
from kbs.model.collateral import Piece
from kbs.outbound.client import Response

__all__ = ["BASE", "ROOT_CRL", "Pcs"]

BASE: Final = "https://api.trustedservices.intel.com"
ROOT_CRL: Final = "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der"
_DOCUMENT_LIMIT: Final = 1 << 18
_CRL_LIMIT: Final = 1 << 22
_CHAIN_LIMIT: Final = 16_384
_DAY_MS: Final = 86_400_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ROOT_CRL_NAME: Final = "intel/rootcrl"
_HEX = re.compile("[0-9a-f]{12}")


class Pcs:
    """What Intel publishes, piece by piece. `root_crl` is a vendor and a path, since it lies on another host."""

    renewed: Final = ("intel/",)
    curable: Final = frozenset({"COLLATERAL_MISSING", "COLLATERAL_EXPIRED", "CRL_MISSING", "CRL_EXPIRED"})

    def __init__(self, source: Vendor, root_crl: tuple[Vendor, str], library: Library, anchors: Anchors) -> None:
        self._source = source
        self._root_crl = root_crl
        self._library = library
        self._anchors = anchors

    def at_hand(self, evidence: TdxEvidence, now: int) -> list[Piece]:
        """All that the quote needs if all of it is there, valid at `now`; else nothing. Raises AttestError."""
        need = needed(evidence.quote)
        return [] if need is None else self._at_hand(need, now)

    async def gather(self, evidence: TdxEvidence, *, report_data: bytes, now: int) -> list[Piece]:
        """All that the quote needs, fetched where it is not at hand.

        The quote is authentic when this is asked for: verification checks its signatures before it misses anything.
        Raises NotBound for one that was made for something else, and CollateralError.
        """
        found = parse(evidence.quote)
        got = found.td.report_data if found.td is not None else b""
        if got != report_data:
            raise NotBound("REPORT_DATA_MISMATCH", "report.report_data", expected=report_data, got=got)
        need = needed(evidence.quote)
        if need is None:
            return []
        tcb = await self._library.get(self._tcb(need.tee, need.fmspc), now)
        orders = (self._qe(need.tee), self._pck_crl(need.ca), self._root_list(_unpack(tcb.data)[0]))
        return [tcb, *await asyncio.gather(*(self._library.get(order, now) for order in orders))]

    def proved(self, evidence: TdxEvidence) -> None:
        """Nothing is owed: what is fetched here is fetched for quotes that a genuine platform signed."""

    def collateral(self, pieces: Sequence[Piece]) -> Collateral:
        """The pieces as the verifier takes them."""
        if len(pieces) != 4:
            return Collateral()
        tcb, qe, pck_crl, root_crl = (_unpack(piece.data) for piece in pieces)
        whole = TdxCollateral(
            tcb_info=tcb[1],
            tcb_info_issuer_chain=tcb[0],
            qe_identity=qe[1],
            qe_identity_issuer_chain=qe[0],
            pck_crl=pck_crl[1],
            pck_crl_issuer_chain=pck_crl[0],
            root_ca_crl=root_crl[1],
        )
        return Collateral(tdx=(whole,))

    def check(self, name: str, data: bytes, now: int) -> int | None:
        """The end of a piece's validity (ms), if it is what its name says; None if the name is another vendor's.

        Raises AttestError.
        """
        chain, body = _unpack(data)
        at = _time(now)
        match name.split("/"):
            case ["intel", "tcb", "TDX" | "SGX" as tee, fmspc]:
                family = bytes.fromhex(fmspc) if _HEX.fullmatch(fmspc) else b""
                return _ms(check_tcb_info(body, chain, self._anchors, tee=tee, fmspc=family, now=at).expires)
            case ["intel", "qe", "TDX" | "SGX" as tee]:
                return _ms(check_qe_identity(body, chain, self._anchors, tee=tee, now=at).expires)
            case ["intel", "pckcrl", ca]:
                return _ms(check_pck_crl(body, chain, self._anchors, ca=ca, now=at).expires)
            case ["intel", "rootcrl"]:
                return _ms(check_root_crl(body, chain, self._anchors, now=at).expires)
        return None

    def order_of(self, name: str, now: int) -> Order | None:
        """How the piece of that name is renewed; None if it is another's."""
        match name.split("/"):
            case ["intel", "tcb", tee, fmspc]:
                return self._tcb(tee, bytes.fromhex(fmspc))
            case ["intel", "qe", tee]:
                return self._qe(tee)
            case ["intel", "pckcrl", ca]:
                return self._pck_crl(ca)
            case ["intel", "rootcrl"]:
                old = self._library.look(name, now)
                return None if old is None else self._root_list(_unpack(old.data)[0])
        return None

    def _at_hand(self, need: Needed, now: int) -> list[Piece]:
        names = (_tcb_name(need.tee, need.fmspc), _qe_name(need.tee), _pck_crl_name(need.ca), _ROOT_CRL_NAME)
        found = [piece for name in names if (piece := self._library.look(name, now)) is not None]
        return found if len(found) == len(names) else []

    def _tcb(self, tee: str, fmspc: bytes) -> Order:
        return self._order(
            _tcb_name(tee, fmspc),
            f"/{tee.lower()}/certification/v4/tcb?fmspc={fmspc.hex().upper()}",
            "tcb-info-issuer-chain",
            lambda body, chain, now: check_tcb_info(body, chain, self._anchors, tee=tee, fmspc=fmspc, now=now),
        )

    def _qe(self, tee: str) -> Order:
        return self._order(
            _qe_name(tee),
            f"/{tee.lower()}/certification/v4/qe/identity",
            "sgx-enclave-identity-issuer-chain",
            lambda body, chain, now: check_qe_identity(body, chain, self._anchors, tee=tee, now=now),
        )

    def _pck_crl(self, ca: str) -> Order:
        return self._order(
            _pck_crl_name(ca),
            f"/sgx/certification/v4/pckcrl?ca={ca}&encoding=der",
            "sgx-pck-crl-issuer-chain",
            lambda body, chain, now: check_pck_crl(body, chain, self._anchors, ca=ca, now=now),
            limit=_CRL_LIMIT,
            read=_der,
        )

    def _root_list(self, chain: bytes) -> Order:
        """The root itself comes with any issuer chain; the list comes without one."""

        def admit(answer: Response, now: int) -> tuple[bytes, int]:
            body = _der(answer.body)
            return _pack(chain, body), _ms(check_root_crl(body, chain, self._anchors, now=_time(now)).expires)

        source, path = self._root_crl
        return Order(
            name=_ROOT_CRL_NAME,
            source=source,
            path=path,
            limit=_CRL_LIMIT,
            admit=admit,
            renew_ms=_DAY_MS,
            rising=True,
        )

    def _order(
        self,
        name: str,
        path: str,
        header: str,
        check: Callable[[bytes, bytes, datetime], Checked],
        *,
        limit: int = _DOCUMENT_LIMIT,
        read: Callable[[bytes], bytes] = bytes,
    ) -> Order:
        def admit(answer: Response, now: int) -> tuple[bytes, int]:
            chain, body = _chain(answer, header), read(answer.body)
            checked = check(body, chain, _time(now))
            self._not_below(name, checked.evaluation, check, now)
            return _pack(chain, body), _ms(checked.expires)

        return Order(name=name, source=self._source, path=path, limit=limit, admit=admit, renew_ms=_DAY_MS, rising=True)

    def _not_below(
        self, name: str, evaluation: int, check: Callable[[bytes, bytes, datetime], Checked], now: int
    ) -> None:
        """An older evaluation with fresh dates takes a TCB recovery back; raises NotAuthentic COLLATERAL_OLDER."""
        old = self._library.look(name, now)
        if old is None:
            return
        chain, body = _unpack(old.data)
        known = check(body, chain, _time(now)).evaluation
        if evaluation < known:
            raise NotAuthentic(
                "COLLATERAL_OLDER", f"{name}.tcbEvaluationDataNumber", expected=f"at least {known}", got=evaluation
            )


def _tcb_name(tee: str, fmspc: bytes) -> str:
    return f"intel/tcb/{tee}/{fmspc.hex()}"


def _qe_name(tee: str) -> str:
    return f"intel/qe/{tee}"


def _pck_crl_name(ca: str) -> str:
    return f"intel/pckcrl/{ca}"


def _chain(answer: Response, header: str) -> bytes:
    """The issuer chain, PEM, as the header has it; raises Malformed COLLATERAL_CHAIN."""
    value = answer.headers.get(header, "")
    if not 0 < len(value) <= _CHAIN_LIMIT:
        raise Malformed("COLLATERAL_CHAIN", header, expected="an issuer chain", got=f"{len(value)} characters")
    return unquote_to_bytes(value)


def _der(body: bytes) -> bytes:
    """A list in DER; a PCCS writes it in hexadecimal."""
    if body.startswith(b"\x30"):
        return body
    try:
        return binascii.unhexlify(body.strip())
    except ValueError:
        return body  # told by the check


def _pack(chain: bytes, body: bytes) -> bytes:
    return len(chain).to_bytes(4, "big") + chain + body


def _unpack(data: bytes) -> tuple[bytes, bytes]:
    size = int.from_bytes(data[:4], "big")
    return data[4 : 4 + size], data[4 + size :]


def _time(ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=ms)


def _ms(at: datetime) -> int:
    return int((at - _EPOCH).total_seconds() * 1_000)
