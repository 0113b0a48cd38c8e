"""The log entry: a body that says what happened, under a header that says where it stands.

Source: the design of this product, facts/log.md 2.1; docs/architecture.md, section "The log". A leaf is
`{"b":<body>,"h":<header>}`. The body is encoded before the head's lock is taken, the header inside it, and the leaf is
their concatenation: canonical because "b" sorts before "h". Verifiers hash the stored bytes and never encode again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from attest.errors import Malformed, NotLogged
from attest.tlog.canonical import MAX_INTEGER, MAX_LENGTH, canonical, parse_canonical

__all__ = [
    "MAX_BODY",
    "MAX_CHAINS",
    "MAX_LEAF",
    "VERSION",
    "ChainLink",
    "Header",
    "Leaf",
    "canonical",
    "check_place",
    "leaf",
    "parse_canonical",
    "parse_leaf",
]

VERSION = "sealgate.audit/1"
MAX_LEAF = MAX_LENGTH
MAX_CHAINS = 64
# A body of this size fits under every header there can be, so that finishing a leaf inside the lock never fails.
MAX_BODY = 42_000

# Printable ASCII without the quote and the backslash, so that JSON shows it as it is.
_ASSET = re.compile(r"[ !#-\[\]-~]{1,200}")
_LOG = re.compile(r"[!#-*,-\[\]-~]{1,255}")
_DIGEST = re.compile("[0-9a-f]{64}")

_HEADER_KEYS = {"chains", "gp", "gs", "i", "log", "t", "v", "w"}
_LINK_KEYS = {"asset", "prev", "seq"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainLink:
    """The place of an entry in the chain of one asset: index of the one before (None in the first), number from 1."""

    asset: str
    prev: int | None
    seq: int

    def __post_init__(self) -> None:
        if _ASSET.fullmatch(self.asset) is None:
            raise _wrong("h.chains.asset", "1 to 200 printable ASCII characters", repr(self.asset))
        _check_link("h.chains", self.prev, self.seq)


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What the sequencer adds. Raises Malformed ENTRY_FORMAT unless it is consistent in itself.

    `i` is the index, `t` milliseconds since 1970, `log` the origin, `chains` one link per asset, `gp` and `gs` previous
    and number in the governance chain (both None for an entry outside it), `w` the hex SHA-256 of the newest witness
    cosignature seen, which bounds the time of the entry from below.
    """

    i: int
    t: int
    log: str
    chains: tuple[ChainLink, ...] = ()
    gp: int | None = None
    gs: int | None = None
    w: str | None = None
    v: str = VERSION

    def __post_init__(self) -> None:
        if not 0 <= self.i <= MAX_INTEGER:
            raise _wrong("h.i", "0 to 2**53 - 1", self.i)
        if not 0 <= self.t <= MAX_INTEGER:
            raise _wrong("h.t", "0 to 2**53 - 1", self.t)
        if self.v != VERSION:
            raise Malformed("ENTRY_VERSION", "h.v", expected=VERSION, got=self.v)
        if _LOG.fullmatch(self.log) is None:
            raise _wrong("h.log", "an origin", repr(self.log))
        if self.w is not None and _DIGEST.fullmatch(self.w) is None:
            raise _wrong("h.w", "64 lowercase hex digits", repr(self.w))
        if self.gp is not None or self.gs is not None:
            _check_link("h.gp, h.gs", self.gp, self.gs)
        count = len(self.chains)
        if count > MAX_CHAINS or (count > 1 and len({link.asset for link in self.chains}) != count):
            assets = [link.asset for link in self.chains]
            raise _wrong("h.chains", f"at most {MAX_CHAINS} links, one per asset", assets)
        if self.gp is not None and self.gp >= self.i:
            raise _wrong("h", f"previous entries before {self.i}", self.gp)
        for link in self.chains:
            if link.prev is not None and link.prev >= self.i:
                raise _wrong("h", f"previous entries before {self.i}", link.prev)

    def encode(self) -> bytes:
        """The canonical bytes; tests hold them against JCS."""
        chains = ",".join(
            f'{{"asset":"{link.asset}","prev":{_int(link.prev)},"seq":{link.seq}}}' for link in self.chains
        )
        w = "null" if self.w is None else f'"{self.w}"'
        return (
            f'{{"chains":[{chains}],"gp":{_int(self.gp)},"gs":{_int(self.gs)},"i":{self.i},"log":"{self.log}",'
            f'"t":{self.t},"v":"{self.v}","w":{w}}}'
        ).encode("ascii")


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A leaf that was read. `body` is as its type says; nothing in it has been checked but its encoding."""

    header: Header
    body: Mapping[str, object]


def leaf(body: bytes, header: Header) -> bytes:
    """The bytes of a leaf. `body` MUST come from `canonical(..., limit=MAX_BODY)`: then this never fails.

    Raises Malformed ENTRY_LENGTH above MAX_LEAF bytes, which only a longer body can cause.
    """
    raw = b'{"b":%b,"h":%b}' % (body, header.encode())
    if len(raw) > MAX_LEAF:
        raise Malformed("ENTRY_LENGTH", "leaf", expected=f"at most {MAX_LEAF} bytes", got=f"{len(raw)} bytes")
    return raw


def parse_leaf(raw: bytes) -> Leaf:
    """Read a leaf; `leaf(canonical(parsed.body), parsed.header) == raw`.

    Raises Malformed as `parse_canonical`; ENTRY_VERSION for a schema that we do not know, which is not to be judged;
    ENTRY_FORMAT for a header that is not as `Header` says.
    """
    parsed = parse_canonical(raw)
    _check_keys("leaf", parsed, {"b", "h"})
    body, header = parsed["b"], parsed["h"]
    if not isinstance(body, dict) or not isinstance(header, dict):
        raise _wrong("leaf", "objects b and h", f"{type(body).__name__} and {type(header).__name__}")
    return Leaf(header=_parse_header(header), body=body)


def _parse_header(fields: Mapping[str, object]) -> Header:
    if fields.get("v") != VERSION:
        raise Malformed("ENTRY_VERSION", "h.v", expected=VERSION, got=fields.get("v"))
    _check_keys("h", fields, _HEADER_KEYS)
    chains = fields["chains"]
    if not isinstance(chains, list):
        raise _wrong("h.chains", "a list", type(chains).__name__)
    return Header(
        i=_integer(fields, "i"),
        t=_integer(fields, "t"),
        log=_string(fields, "log"),
        chains=tuple([_parse_chain(each) for each in chains]),
        gp=None if fields["gp"] is None else _integer(fields, "gp"),
        gs=None if fields["gs"] is None else _integer(fields, "gs"),
        w=None if fields["w"] is None else _string(fields, "w"),
    )


def _parse_chain(fields: object) -> ChainLink:
    if not isinstance(fields, dict):
        raise _wrong("h.chains", "objects", type(fields).__name__)
    _check_keys("h.chains", fields, _LINK_KEYS)
    prev = None if fields["prev"] is None else _integer(fields, "prev")
    return ChainLink(asset=_string(fields, "asset"), prev=prev, seq=_integer(fields, "seq"))


def check_place(header: Header, origin: str, index: int) -> None:
    """Check that an entry was made for this log and this index, not spliced in from another.

    Raises NotLogged ENTRY_LOG or ENTRY_INDEX.
    """
    if header.log != origin:
        raise NotLogged("ENTRY_LOG", "h.log", expected=origin, got=header.log)
    if header.i != index:
        raise NotLogged("ENTRY_INDEX", "h.i", expected=index, got=header.i)


def _check_link(path: str, prev: int | None, seq: int | None) -> None:
    """The first of a chain has number 1 and nothing before it; every other has both."""
    if seq is None or not 1 <= seq <= MAX_INTEGER or (prev is None) != (seq == 1) or (prev is not None and prev < 0):
        raise _wrong(
            path, "number 1 without a previous index, or a higher one with it", f"number {seq}, previous {prev}"
        )


def _check_keys(path: str, fields: Mapping[str, object], keys: set[str]) -> None:
    if fields.keys() != keys:
        raise _wrong(path, f"the keys {sorted(keys)}", sorted(fields))


def _integer(fields: Mapping[str, object], key: str) -> int:
    value = fields[key]
    if type(value) is not int:  # True is not one here
        raise _wrong(f"h.{key}", "an integer", type(value).__name__)
    return value


def _string(fields: Mapping[str, object], key: str) -> str:
    value = fields[key]
    if not isinstance(value, str):
        raise _wrong(f"h.{key}", "a string", type(value).__name__)
    return value


def _int(value: int | None) -> str:
    return "null" if value is None else str(value)


def _wrong(path: str, expected: object, got: object) -> Malformed:
    return Malformed("ENTRY_FORMAT", path, expected=expected, got=got)
