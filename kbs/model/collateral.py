"""Collateral as it travels between rooms: what is at hand, what was used, and the document that an entry commits to."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import Any

from attest.errors import Malformed
from attest.evidence import Collateral, TdxCollateral
from attest.tlog.entry import canonical, parse_canonical
from attest.verify import Kept

__all__ = ["Coming", "Foretold", "Gathered", "Lifetime", "Piece", "Used", "describe", "read_described"]

_MAX_DOCUMENT = 1 << 20
_VERSION = "sealgate.collateral/1"
_GROUPS = frozenset({"certificates", "crls", "ocsp", "rims", "tdx"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One thing that a vendor publishes, as it was received and verified. Times are ms since 1970.

    `name` says what it is (`amd/crl/vcek/Milan`) and stays the same when the vendor issues it anew; `good_until` is the
    end that the vendor gave it.
    """

    name: str
    data: bytes
    fetched_at: int
    good_until: int

    @property
    def digest(self) -> bytes:
        """SHA-256 of the data."""
        return hashlib.sha256(self.data).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetime:
    """From when until when a piece is used, and how long its vendor makes such pieces for. Times and spans are ms.

    A piece is renewed by three quarters of the time that it lasted for when it was fetched.
    """

    name: str
    fetched_at: int
    good_until: int
    made_for: int

    def worth_a_notice(self, now: int, at: int) -> bool:
        """Whether it matters at `now` that the piece ends before `at`.

        A response that is made for a day ends within every month, and says nothing by that. It matters if it was made
        for longer than one looks ahead, or if its renewal, or import, is overdue.
        """
        overdue = now < self.good_until and self.overdue(now)
        return self.good_until <= at and (self.made_for > at - now or overdue)

    def overdue(self, now: int) -> bool:
        """Whether it should have been renewed by now."""
        return now >= self.fetched_at + (self.good_until - self.fetched_at) * 4 // 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """What evidence is verified with, and what was verified of it before.

    All of it is valid until `until` (ms), and is what there was at `generation` of its keeper; `names` are the pieces
    that are kept fresh as long as decisions rest on them.
    """

    collateral: Collateral
    kept: Kept | None
    generation: int = 0
    until: int = 1 << 62
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Coming:
    """A change that a vendor has announced: for whom, its number, and the day of the event behind it.

    `family` is a TEE and an FMSPC, `evaluation` Intel's tcbEvaluationDataNumber, `event` the tcbRecoveryEventDate in
    ms, 0 where Intel's list does not name it.
    """

    family: str
    evaluation: int
    event: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Foretold:
    """What evidence will be judged by after a change. Never for a decision."""

    gathered: Gathered
    coming: Coming


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """What a verification rested on. `digest` is the entry's `collateral_digest`.

    `blobs` are its preimage and the pieces that this names, to be stored with the entry; empty once they are known to
    be stored.
    """

    digest: bytes
    blobs: tuple[bytes, ...]


def describe(
    *,
    certificates: Iterable[bytes] = (),
    crls: Iterable[bytes] = (),
    tdx: Iterable[TdxCollateral] = (),
    ocsp: Iterable[bytes] = (),
    rims: Iterable[bytes] = (),
) -> Used:
    """The document that names each piece by its SHA-256, with the pieces. The same pieces make the same document.

    Parts of TDX families, OCSP responses and manifests are named where there are any.
    """
    groups = {"certificates": sorted(set(certificates)), "crls": sorted(set(crls))}
    groups |= {name: sorted(set(pieces)) for name, pieces in (("ocsp", ocsp), ("rims", rims)) if pieces}
    named: dict[str, object] = {g: sorted(_digest(piece) for piece in pieces) for g, pieces in groups.items()}
    families = [{part: getattr(each, part) for part in _TDX_PARTS} for each in tdx]
    if families:
        named["tdx"] = [{part: _digest(data) for part, data in family.items()} for family in families]
    document = canonical({"v": _VERSION, **named}, limit=_MAX_DOCUMENT)
    pieces = [piece for group in groups.values() for piece in group]
    pieces += [data for family in families for data in family.values()]
    return Used(digest=hashlib.sha256(document).digest(), blobs=(document, *dict.fromkeys(pieces)))


def read_described(document: bytes, blob: Callable[[bytes], bytes | None]) -> Collateral:
    """The collateral that a document of `describe` names, each piece from `blob` by its SHA-256.

    With it and the evidence, a past decision is made again. Raises Malformed COLLATERAL_DOCUMENT for what is no such
    document, or names what is not there or is something else.
    """
    named: Any = parse_canonical(document, limit=_MAX_DOCUMENT)
    if named.pop("v", None) != _VERSION or not named.keys() <= _GROUPS:
        raise _no_document("v", f"{_VERSION}, with {', '.join(sorted(_GROUPS))}", ", ".join(named))

    def piece(digest: object) -> bytes:
        found = blob(bytes.fromhex(digest)) if isinstance(digest, str) else None
        if found is None or _digest(found) != digest:
            raise _no_document("pieces", str(digest), "not there" if found is None else _digest(found))
        return found

    of = {kind: tuple(map(piece, named.get(kind, ()))) for kind in _GROUPS - {"tdx"}}
    families = [{part: piece(digest) for part, digest in family.items()} for family in named.get("tdx", ())]
    return Collateral(**of, tdx=tuple(TdxCollateral(**family) for family in families))


def _no_document(path: str, expected: str, got: str) -> Malformed:
    return Malformed("COLLATERAL_DOCUMENT", f"collateral.{path}", expected=expected, got=got)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


_TDX_PARTS = tuple(part.name for part in fields(TdxCollateral))
