"""How long vendors make their pieces for: what tells one that is about to end from one that is made anew every day.

Sources: RFC 5280 section 5.1.2 (thisUpdate, nextUpdate), Intel "PCS API" version 4 (issueDate, nextUpdate). An OCSP
response is made when it is asked for, or shortly before: what it lasted for when it was fetched is what it is made for.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Final

from cryptography import x509

from attest.errors import AttestError
from kbs.collateral.port import Cache
from kbs.model.collateral import Lifetime, Piece
from kbs.model.pieces import unpack_below, unpack_chain

__all__ = ["Lifetimes"]

_LONG: Final = 1 << 62  # certificates and manifests: for years


class Lifetimes:
    """Of every piece in a cache; documents and lists are read once each."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._known: dict[str, tuple[int, int]] = {}

    def every(self, without: str) -> list[Lifetime]:
        """By name, those left out whose name begins with `without`."""
        rows = [row for row in self._cache.ends() if not row[0].startswith(without)]
        self._known = {name: self._known[name] for name, _, _ in rows if name in self._known}
        return [
            Lifetime(name=name, fetched_at=at, good_until=until, made_for=self._made_for(name, at, until))
            for name, at, until in rows
        ]

    def _made_for(self, name: str, fetched_at: int, good_until: int) -> int:
        if name.startswith("nvidia/ocsp/"):
            return good_until - fetched_at
        if not name.startswith(_READ):
            return _LONG
        known = self._known.get(name)
        if known is None or known[0] != good_until:
            piece = self._cache.get(name)
            known = good_until, _LONG if piece is None else _read(piece)
            self._known[name] = known
        return known[1]


_READ: Final = ("amd/crl/", "nvidia/crl/", "intel/tcb/", "intel/qe/", "intel/pckcrl/", "intel/rootcrl")


def _read(piece: Piece) -> int:
    """As the vendor dated it; long for what cannot be read: it is told rather than kept quiet."""
    try:
        match piece.name.split("/"):
            case ["intel", "tcb" | "qe", *_]:
                return _document(unpack_below(piece.data)[1])
            case ["intel", *_]:
                return _list(unpack_below(piece.data)[1])
            case ["nvidia", *_]:
                return _list(unpack_chain(piece.data)[1])
        return _list(piece.data)
    except (AttestError, ValueError, KeyError, TypeError):
        return _LONG


def _list(der: bytes) -> int:
    found = x509.load_der_x509_crl(der)
    if found.next_update_utc is None:
        return _LONG
    return _ms(found.last_update_utc, found.next_update_utc)


def _document(body: bytes) -> int:
    found: Any = json.loads(body)
    [inner] = (found[member] for member in ("tcbInfo", "enclaveIdentity") if member in found)
    return _ms(datetime.fromisoformat(inner["issueDate"]), datetime.fromisoformat(inner["nextUpdate"]))


def _ms(since: datetime, until: datetime) -> int:
    return int((until - since).total_seconds() * 1_000)
