"""What the TDX tests share: a throwaway Intel, and a short way to judge a quote under it."""

from __future__ import annotations

import datetime as dt
from functools import cache
from typing import Any

from attest.evidence import Collateral, TdxCollateral, TdxEvidence
from attest.profile import Claims
from attest.tdx.claims import TcbVerdict, TdxClaims
from attest.verify import Inspected, Verified, verify
from tests.makers import intel as maker

__all__ = ["DATA", "NOW", "claims", "collateral", "intel", "judge", "platform", "td_of", "verdict"]

NOW = dt.datetime(2026, 5, 1, 12, tzinfo=dt.UTC)
DATA = bytes(range(64))


@cache
def intel() -> maker.Intel:
    return maker.mint(now=NOW)


@cache
def platform(ca: str = "platform") -> maker.Platform:
    return intel().platform(ca)


@cache
def collateral(ca: str = "platform", tee: str = "TDX") -> TdxCollateral:
    return intel().collateral(ca, tee)


def judge(quote: bytes, *offered: TdxCollateral, **changed: Any) -> Verified:
    """Verifies under the maker's own root for DATA at NOW, with good collateral unless some is offered."""
    arguments: dict[str, Any] = {"report_data": DATA, "now": NOW, "revocation": "required", **changed}
    anchors = arguments.pop("anchors", intel().anchors)
    given = Collateral(tdx=arguments.pop("tdx", offered or (collateral(),)))
    return verify(TdxEvidence(quote=quote), given, anchors, **arguments)


def claims(*, offered: tuple[TdxCollateral, ...] = (), made: maker.Platform | None = None, **fields: Any) -> Claims:
    """The authentic claims of a quote with these fields."""
    return judge((made or platform()).quote(DATA, **fields), *offered).claims


def td_of(found: Verified | Inspected | Claims) -> TdxClaims:
    """The claims of a TD, which are there for a TD's quote."""
    said = found if isinstance(found, Claims) else found.claims
    assert said.tdx is not None
    return said.tdx


def verdict(*offered: TdxCollateral, made: maker.Platform | None = None, **fields: Any) -> TcbVerdict:
    """What is said of the platform's TCB."""
    return td_of(claims(offered=offered, made=made, **fields)).tcb_verdict
