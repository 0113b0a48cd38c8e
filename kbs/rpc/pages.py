"""Pages and filters of List methods (AIP-158, and of AIP-160 what a simple field needs)."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from kbs.model.refusal import Refused

__all__ = ["Page", "filter_of", "page"]

Page = tuple[list[str], str]
_DEFAULT, _MOST, _TERMS = 100, 1_000, 16
_TERM = re.compile(r'\s*([a-z_]{1,40})\s*(<=|>=|!=|=|<|>|:)\s*(?:"([^"]{0,400})"|([\w./-]{1,400}))\s*', re.ASCII)
_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": lambda have, want: have == want,
    "!=": lambda have, want: have != want,
    "<": lambda have, want: have < want,
    "<=": lambda have, want: have <= want,
    ">": lambda have, want: have > want,
    ">=": lambda have, want: have >= want,
}


def page(names: Iterable[str], size: int, token: str) -> Page:
    """The names of one page of `names`, which are in order and different, and the token of the next one.

    A token says where the page before ended, so that what comes and goes meanwhile moves nothing. Raises Refused
    REQUEST_MALFORMED.
    """
    if size < 0:
        raise _bad("page_size", "0 or more", str(size))
    after, limit, found = _after(token), min(size or _DEFAULT, _MOST), list[str]()
    for name in names:
        if name <= after:
            continue
        if len(found) == limit:
            return found, base64.urlsafe_b64encode(found[-1].encode()).decode()
        found.append(name)
    return found, ""


def _after(token: str) -> str:
    try:
        return base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        raise _bad("page_token", "a token that a page came with", token[:40]) from None


def filter_of(text: str, fields: frozenset[str]) -> Callable[[Mapping[str, Any]], bool]:
    """Whether a document meets every term of `text`; a field that it does not have meets none.

    Terms are joined by AND. `:` asks whether a list has the value. Raises Refused REQUEST_MALFORMED.
    """
    terms = [_term(part, fields) for part in re.split(r"\bAND\b", text)] if text.strip() else []
    if len(terms) > _TERMS:
        raise _bad("filter", f"at most {_TERMS} terms", str(len(terms)))

    def meets(document: Mapping[str, Any]) -> bool:
        return all(field in document and met(document[field]) for field, met in terms)

    return meets


def _term(part: str, fields: frozenset[str]) -> tuple[str, Callable[[Any], bool]]:
    match = _TERM.fullmatch(part)
    if match is None or match[1] not in fields:
        known = ", ".join(sorted(fields))
        raise _bad("filter", f'terms such as tier >= 3 AND kind = "weights", over {known}', part.strip()[:80])
    field, operator, wanted = match[1], match[2], match[3] if match[3] is not None else match[4]

    def met(have: Any) -> bool:
        if operator == ":":
            return isinstance(have, list) and wanted in have
        if isinstance(have, bool):
            return _COMPARE[operator](str(have).lower(), wanted) if operator in {"=", "!="} else False
        if isinstance(have, int):
            return bool(re.fullmatch(r"-?\d{1,16}", wanted)) and _COMPARE[operator](have, int(wanted))
        return isinstance(have, str) and _COMPARE[operator](have, wanted)

    return field, met


def _bad(field: str, expected: str, got: str) -> Refused:
    return Refused("REQUEST_MALFORMED", check=field, expected=expected, got=got)
