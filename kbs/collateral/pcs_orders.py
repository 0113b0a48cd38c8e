"""How each piece of what Intel publishes about platform families is had, and what it must be to be kept.

Source: Intel "PCS API" version 4; a PCCS answers as Intel's PCS does. Issuer chains come URL-encoded in headers. Where
to ask is configuration: never the evidence, which a host could have written.

    intel/tcb/TDX/<FMSPC>     intel/qe/TDX     intel/pckcrl/platform     intel/rootcrl

What Intel has announced and is not the standard yet (`update=early`) lies apart, under names that no verifier is ever
given: nothing is decided by it, it says what is to come.

    intel-early/tcb/TDX/<FMSPC>     intel-early/qe/TDX     intel-early/recoveries/TDX

A piece is its issuer chain and its body, exactly as they were received.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable
from datetime import datetime
from typing import Final
from urllib.parse import unquote_to_bytes

from attest.anchors import Anchors
from attest.errors import Malformed, NotAuthentic
from attest.tdx.published import (
    Checked,
    check_pck_crl,
    check_qe_identity,
    check_recoveries,
    check_root_crl,
    check_tcb_info,
)
from attest.tdx.uncertified import check_pck
from kbs.collateral.library import Library, Order
from kbs.collateral.source import Vendor
from kbs.collateral.times import DAY_MS, moment, ms
from kbs.model.pieces import pack_below, unpack_below
from kbs.outbound.client import Response

__all__ = [
    "DOCUMENT_LIMIT",
    "EARLY",
    "ROOT_CRL_NAME",
    "PcsOrders",
    "issuer_chain",
    "pck_crl_name",
    "qe_name",
    "tcb_name",
]

DOCUMENT_LIMIT: Final = 1 << 18
ROOT_CRL_NAME: Final = "intel/rootcrl"
EARLY: Final = "intel-early/"
_EARLY_AGAIN_MS: Final = 6 * 3_600_000  # a PCCS may not have it: nobody waits for a forecast
_CRL_LIMIT: Final = 1 << 22
_CHAIN_LIMIT: Final = 16_384
_HEX = re.compile("[0-9a-f]{12}")
Check = Callable[[bytes, bytes, datetime], Checked]


class PcsOrders:
    """Documents and lists, one by one. `root_crl` is a vendor and a path, since it lies on another host."""

    renewed: Final = ("intel/", EARLY)
    announced: Final = EARLY

    def __init__(self, source: Vendor, root_crl: tuple[Vendor, str], library: Library, anchors: Anchors) -> None:
        self._source = source
        self._root_crl = root_crl
        self._library = library
        self._anchors = anchors

    def check(self, name: str, data: bytes, now: int) -> int | None:
        """The end of a piece's validity (ms), if it is what its name says; None if the name is another vendor's.

        Raises AttestError.
        """
        chain, body = unpack_below(data)
        at = moment(now)
        match name.split("/"):
            case ["intel" | "intel-early", "tcb", "TDX" | "SGX" as tee, fmspc]:
                family = bytes.fromhex(fmspc) if _HEX.fullmatch(fmspc) else b""
                return ms(check_tcb_info(body, chain, self._anchors, tee=tee, fmspc=family, now=at).expires)
            case ["intel" | "intel-early", "qe", "TDX" | "SGX" as tee]:
                return ms(check_qe_identity(body, chain, self._anchors, tee=tee, now=at).expires)
            case ["intel-early", "recoveries", "TDX" | "SGX" as tee]:
                return ms(check_recoveries(body, chain, self._anchors, tee=tee, now=at).expires)
            case ["intel", "pckcrl", ca]:
                return ms(check_pck_crl(body, chain, self._anchors, ca=ca, now=at).expires)
            case ["intel", "pck", _]:
                return ms(check_pck(body.rstrip() + b"\n" + chain, self._anchors, now=at))
            case ["intel", "rootcrl"]:
                return ms(check_root_crl(body, chain, self._anchors, now=at).expires)
        return None

    def order_of(self, name: str, now: int) -> Order | None:
        """How the piece of that name is renewed; None if it is another's."""
        match name.split("/"):
            case ["intel" | "intel-early" as when, "tcb", tee, fmspc]:
                return self.tcb(tee, bytes.fromhex(fmspc), early=when == "intel-early")
            case ["intel" | "intel-early" as when, "qe", tee]:
                return self.qe(tee, early=when == "intel-early")
            case ["intel-early", "recoveries", tee]:
                return self.recoveries(tee)
            case ["intel", "pckcrl", ca]:
                return self.pck_crl(ca)
            case ["intel", "rootcrl"]:
                old = self._library.look(name, now)
                return None if old is None else self.root_list(unpack_below(old.data)[0])
        return None

    def beside(self, name: str) -> tuple[str, ...]:
        """Names of what says what is to come, for a piece that may change with it."""
        match name.split("/"):
            case ["intel", "tcb", tee, fmspc]:
                return f"{EARLY}tcb/{tee}/{fmspc}", f"{EARLY}qe/{tee}", f"{EARLY}recoveries/{tee}"
        return ()

    def tcb(self, tee: str, fmspc: bytes, *, early: bool = False) -> Order:
        """TCB info of one platform family; `early`, as it will be."""
        return self._order(
            _when(tcb_name(tee, fmspc), early),
            f"/{tee.lower()}/certification/v4/tcb?fmspc={fmspc.hex().upper()}" + "&update=early" * early,
            "tcb-info-issuer-chain",
            lambda body, chain, now: check_tcb_info(body, chain, self._anchors, tee=tee, fmspc=fmspc, now=now),
        )

    def qe(self, tee: str, *, early: bool = False) -> Order:
        """The identity of the quoting enclave; `early`, as it will be."""
        return self._order(
            _when(qe_name(tee), early),
            f"/{tee.lower()}/certification/v4/qe/identity" + "?update=early" * early,
            "sgx-enclave-identity-issuer-chain",
            lambda body, chain, now: check_qe_identity(body, chain, self._anchors, tee=tee, now=now),
        )

    def recoveries(self, tee: str) -> Order:
        """Which TCB recoveries there are, and of when."""
        return self._order(
            f"{EARLY}recoveries/{tee}",
            f"/{tee.lower()}/certification/v4/tcbevaluationdatanumbers",
            "tcb-evaluation-data-numbers-issuer-chain",
            lambda body, chain, now: check_recoveries(body, chain, self._anchors, tee=tee, now=now),
        )

    def pck_crl(self, ca: str) -> Order:
        """The list of one CA of PCK certificates."""
        return self._order(
            pck_crl_name(ca),
            f"/sgx/certification/v4/pckcrl?ca={ca}&encoding=der",
            "sgx-pck-crl-issuer-chain",
            lambda body, chain, now: check_pck_crl(body, chain, self._anchors, ca=ca, now=now),
            limit=_CRL_LIMIT,
            read=_der,
        )

    def root_list(self, chain: bytes) -> Order:
        """The root's own list. The root itself comes with any issuer chain; the list comes without one."""

        def admit(answer: Response, now: int) -> tuple[bytes, int]:
            body = _der(answer.body)
            return pack_below(chain, body), ms(check_root_crl(body, chain, self._anchors, now=moment(now)).expires)

        source, path = self._root_crl
        return Order(
            name=ROOT_CRL_NAME, source=source, path=path, limit=_CRL_LIMIT, admit=admit, renew_ms=DAY_MS, rising=True
        )

    def _order(
        self,
        name: str,
        path: str,
        header: str,
        check: Check,
        *,
        limit: int = DOCUMENT_LIMIT,
        read: Callable[[bytes], bytes] = bytes,
    ) -> Order:
        def admit(answer: Response, now: int) -> tuple[bytes, int]:
            chain, body = issuer_chain(answer, header), read(answer.body)
            checked = check(body, chain, moment(now))
            self._not_below(name, checked.evaluation, check, now)
            return pack_below(chain, body), ms(checked.expires)

        return Order(
            name=name,
            source=self._source,
            path=path,
            limit=limit,
            admit=admit,
            renew_ms=DAY_MS,
            rising=True,
            again_ms=_EARLY_AGAIN_MS if name.startswith(EARLY) else 0,
        )

    def _not_below(self, name: str, evaluation: int, check: Check, now: int) -> None:
        """An older evaluation with fresh dates takes a TCB recovery back; raises NotAuthentic COLLATERAL_OLDER."""
        old = self._library.look(name, now)
        if old is None:
            return
        chain, body = unpack_below(old.data)
        known = check(body, chain, moment(now)).evaluation
        if evaluation < known:
            raise NotAuthentic(
                "COLLATERAL_OLDER", f"{name}.tcbEvaluationDataNumber", expected=f"at least {known}", got=evaluation
            )


def _when(name: str, early: bool) -> str:
    return EARLY + name.removeprefix("intel/") if early else name


def tcb_name(tee: str, fmspc: bytes) -> str:
    """TCB info's."""
    return f"intel/tcb/{tee}/{fmspc.hex()}"


def qe_name(tee: str) -> str:
    """An identity's."""
    return f"intel/qe/{tee}"


def pck_crl_name(ca: str) -> str:
    """A CA's list's."""
    return f"intel/pckcrl/{ca}"


def issuer_chain(answer: Response, header: str) -> bytes:
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
