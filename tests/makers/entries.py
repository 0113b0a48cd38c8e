"""What no entry of a log may hold: keys, addresses, a machine's own name. Every site of the tests is looked through."""

from __future__ import annotations

import base64
import contextlib
import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

from kbs.store.errors import LogFrozen, StoreUnavailable, StoreUnusable
from kbs.store.read import Reader

__all__ = ["found_in_entries"]

# An address stands alone in its text; four numbers in a row are a version too, but not these.
_ADDRESS = re.compile(rb'"(?:127\.0\.0\.1|localhost|\[::1?\])(?::[0-9]+)?"')


def found_in_entries(store: Path, unspeakable: Mapping[str, bytes]) -> list[str]:
    """What stands where it must not: "name in entry index". Nothing of a store that a test has made unreadable.

    `unspeakable` are at least 32 bytes each, by what they are: shorter ones would be found by chance.
    """
    if short := [what for what, value in unspeakable.items() if len(value) < 32]:
        raise ValueError(f"too short to be looked for: {', '.join(short)}")
    spelled = [(what, spelling) for what, value in unspeakable.items() for spelling in _spellings(value)]
    found = []
    for index, leaf in _entries(store):
        if _ADDRESS.search(leaf):
            found.append(f"an address in entry {index}")
        found += [f"{what} in entry {index}" for what, spelling in spelled if spelling in leaf]
    return found


def _spellings(value: bytes) -> Iterator[bytes]:
    yield value.hex().encode()
    yield base64.b64encode(value).rstrip(b"=")
    yield base64.urlsafe_b64encode(value).rstrip(b"=")


def _entries(store: Path) -> Iterator[tuple[int, bytes]]:
    with contextlib.suppress(StoreUnusable, StoreUnavailable, LogFrozen), closing(Reader(store)) as reader:
        yield from ((index, leaf) for index, leaf, _ in reader.entries(0, 1 << 40))
