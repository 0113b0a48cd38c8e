#!/usr/bin/env python3
"""Verifies a published Sealgate log with this one file, Python 3.11 and the package `cryptography`.

Written from docs/log.md and the public specifications (RFC 6962 and 9162; C2SP signed-note, tlog-checkpoint, tlog-tiles
and tlog-proof); it shares no code with Sealgate. One pass; memory does not grow with the number of entries.

  V1  the checkpoint is signed by a log of the trust file
  V2  entries are complete, canonical, in their place, of this log, and not simulated
  V3  every hash of every tile, and the root, recomputed from the entries
  V4  the log contains what the receipts say, and extends the trees that they are of (--receipt)
  V5  time never goes back
  V6  the first entry is a genesis that names the log key; asset and governance chains are unbroken

Whoever holds the log key can cut off the tail or sign another history, and all but V4 will pass. So a log that no
receipt is held against is "unanchored".

exit codes: 0 ok; 2 usage; 4 the trust file is simulated, or a receipt does not prove itself; 5 a file cannot be read;
10 tampering proven, or foreign: not signed by any key that the trust file names, so either not this deployment's log,
or replaced; 11 data incomplete; 12 unanchored, or stale (a receipt is of a later tree)
"""

from __future__ import annotations

import argparse
import base64
import enum
import hashlib
import json
import os
import re
import stat
import sys
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

WIDTH = 256  # hashes in a full tile, entries in a full bundle
MAX_SIZE = 2**63 - 1
# Types of entries that belong to the chain of governance.
GOVERNING = r"log\.(genesis|incident)|broker\.joined|broker-key\.added|root\.rotated|(?s:.*)\.(created|changed|deleted)"
MAX_INTEGER = 2**53 - 1
MAX_ENTRY = 60_000
MAX_NOTE = 1_000_000
MAX_PIECE = WIDTH * (2 + 65_535)
EMPTY_ROOT = hashlib.sha256().digest()
LEAF, NODE = b"\x00", b"\x01"


class Verdict(enum.IntEnum):
    """From good to bad."""

    OK = 0
    UNANCHORED = 1
    STALE = 2
    INCOMPLETE = 3
    FOREIGN = 4
    TAMPERED = 5


EXIT = {
    Verdict.OK: 0,
    Verdict.UNANCHORED: 12,
    Verdict.STALE: 12,
    Verdict.INCOMPLETE: 11,
    Verdict.FOREIGN: 10,
    Verdict.TAMPERED: 10,
}


class Problem(ValueError):
    """Something does not hold, and what that means for the log."""

    def __init__(self, what: str, verdict: Verdict = Verdict.TAMPERED) -> None:
        super().__init__(what)
        self.verdict = verdict


class Stop(Exception):
    """There can be no verdict; `code` is the exit code."""

    def __init__(self, code: int, what: str) -> None:
        super().__init__(what)
        self.code = code


def need(holds: object, what: str, verdict: Verdict = Verdict.TAMPERED) -> None:
    """Raises Problem unless it holds."""
    if not holds:
        raise Problem(what, verdict)


@contextmanager
def stopping(code: int, what: str) -> Iterator[None]:
    """What goes wrong in here is no finding about the log."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise Stop(code, f"{what}: {error}") from error


# --- text formats and the trust file


def from_base64(text: str, *, exact: bool = True) -> bytes:
    """Padded standard base64; with `exact` unused bits are zero."""
    raw = base64.b64decode(text, validate=True)
    need(len(text) % 4 == 0 and (not exact or base64.b64encode(raw).decode() == text), "base64 in another form")
    return raw


def from_decimal(text: str) -> int:
    """A decimal below 2**63. `int()` alone would take "+5", "05", "5 " and "1_000"."""
    need(is_text(text, "0|[1-9][0-9]{0,18}") and int(text) <= MAX_SIZE, f"{text!r} is no number here")
    return int(text)


def is_text(value: object, pattern: str) -> bool:
    """Whether it is a string of this form."""
    return isinstance(value, str) and re.fullmatch(pattern, value) is not None


def is_name(name: str) -> bool:
    """Whether a key may have this name."""
    return is_text(name, r"[^\s+\x00-\x1f]+") and len(name.encode()) <= 255


class Key(NamedTuple):
    """A log's Ed25519 key."""

    name: str
    id: bytes
    raw: bytes
    text: str


# y of the points of small order: under such a key anyone can sign.
P = 2**255 - 19
Y8 = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
SMALL_ORDER = {0, 1, P - 1, Y8, P - Y8}
WITNESSES = {(b"\4", 33), (b"\6", 1313)}  # type and length of cosigners' keys


def read_key(text: str) -> Key:
    """A verifier key, `name+id+base64(1, key)`. The id is computed and not believed."""
    name, claimed, encoded = text.split("+", 2)
    raw = from_base64(encoded)
    found = hashlib.sha256(name.encode() + b"\n" + raw).digest()[:4]
    y = int.from_bytes(raw[1:], "little") & (2**255 - 1)
    need(is_name(name) and len(raw) == 33 and raw[0] == 1, f"{text!r} is no Ed25519 verifier key")
    need(found.hex() == claimed and y < P and y not in SMALL_ORDER, f"{text!r}: wrong id, or a key anyone can use")
    return Key(name, found, raw[1:], text)


class Trust(NamedTuple):
    """What the auditor believes: the deployment's name and the keys of its logs."""

    origin: str
    keys: list[Key]


def read_trust(path: Path, note: Path) -> Trust:
    """Reads trust.json; stops unless it is one, and one of a real deployment. `note` is read if it names no log key."""
    with stopping(2, f"the trust file {path} cannot be used"):
        raw = path.read_bytes()
        told: Any = json.loads(raw) if len(raw) <= 1 << 20 else None
        need(isinstance(told, dict), "not an object")
        signers = {"sealgate.trust/1": "log_keys", "sealgate.trust/2": "log_root"}.get(str(told.get("v")), "v")
        need(told.keys() == {"v", "origin", "broker_ca", signers, "tenant", "simulated"}, "other fields")
        need(all(isinstance(told[name], str) and told[name] for name in ("origin", "broker_ca", "tenant")), "no texts")
        need(isinstance(told["simulated"], bool), "simulated is true or false")
        named = told.get("log_keys", ["none"])
        need(isinstance(named, list) and named, "log_keys is a list, not empty")
        keys = [read_key(str(each)) for each in told.get("log_keys", [])]
        keys = [key for key in keys if key.name.startswith(f"{told['origin']}/audit/")]
        need(len({key.raw for key in keys}) == len({key.text for key in keys}), "one key stands under two names")
        root = read_root(told["log_root"], told["origin"]) if signers == "log_root" else None
    if told["simulated"]:
        raise Stop(4, f"{path} is of a simulated deployment, whose log proves nothing about real machines")
    if root is not None:
        with stopping(4, f"the note of log keys {note} is not to be believed"):
            keys = read_log_keys(note.read_bytes(), *root, told["origin"])
    return Trust(told["origin"], keys)


def read_root(told: Any, origin: str) -> tuple[Key, int]:
    """The offline key whose notes list the log's keys, and the oldest version of them that is believed."""
    need(isinstance(told, dict) and told.keys() == {"key", "min_version"}, "log_root has key and min_version")
    least = told["min_version"]
    need(type(least) is int and 1 <= least < 2**53, "min_version is a number from 1")
    root = read_key(str(told["key"]))
    need(root.name == f"{origin}/log-keys", f"the offline key is not named {origin}/log-keys")
    return root, least


def read_log_keys(raw: bytes, root: Key, least: int, origin: str) -> list[Key]:
    """The log keys of a note: signed by the offline key, of this deployment, not below the version, nothing else in."""
    text = open_note(raw, [root], exact=False)
    first, version, *lines, quorum, end = text.split("\n")
    need(first == root.name and not end, "a note of something else")
    need(quorum == "quorum none", "it requires witnesses, which this program cannot check")
    need(from_decimal(version) >= least, f"version {version}, where {least} is the oldest that is believed")
    logs = [line for line in lines if line.startswith("log ")]
    witnesses = [line.split(" ") for line in lines[len(logs) :]]
    need(logs and lines[: len(logs)] == logs and len(lines) <= 100, "logs first, one at least, then witnesses")
    keys = [read_key(line.removeprefix("log ")) for line in logs]
    need(all(key.name.startswith(f"{origin}/audit/") for key in keys), "a log of another deployment")
    raws = [root.raw, *(key.raw for key in keys), *(read_witness(words) for words in witnesses)]
    need(len(set(raws)) == len(raws), "a key that stands twice")
    return keys


def read_witness(words: list[str]) -> bytes:
    """The public key of a line `witness <name> <vkey>`. No witness is required; the line must still be one."""
    need(len(words) == 3 and words[0] == "witness", "a line of another kind")
    name, claimed, encoded = words[2].split("+", 2)
    raw = from_base64(encoded)
    need(name == words[1] and is_name(name) and (raw[:1], len(raw)) in WITNESSES, "no cosigner's key")
    need(hashlib.sha256(name.encode() + b"\n" + raw).digest()[:4].hex() == claimed, "a wrong key id")
    y = int.from_bytes(raw[1:33], "little") & (2**255 - 1)
    need(raw[0] == 6 or (y < P and y not in SMALL_ORDER), "a key anyone can use")
    return raw[1:]


# --- signed checkpoints


class Head(NamedTuple):
    """A signed state of the log. Size and root are believed from here and from nowhere else."""

    origin: str
    size: int
    root: bytes


def open_checkpoint(raw: bytes, trust: Trust, *, exact: bool) -> Head:
    """The checkpoint: every line of a known key verifies, and there is one. `exact` wants the one base64 form."""
    try:
        origin = raw.partition(b"\n")[0].decode("utf-8")
        text = open_note(raw, [key for key in trust.keys if key.name == origin], exact=exact, trusted=trust.keys)
        origin, size, root, end = text.split("\n")
        head = Head(origin, from_decimal(size), from_base64(root))
    except Problem:
        raise
    except ValueError as error:
        raise Problem(f"the checkpoint: {error}") from error
    need(not end and len(head.root) == 32 and (head.size or head.root == EMPTY_ROOT), "a checkpoint of another form")
    return head


def open_note(raw: bytes, keys: list[Key], *, exact: bool, trusted: list[Key] | None = None) -> str:
    """The text of a note: every line of one of `keys` verifies, and there is one.

    One without so much as the id of a `trusted` key says nothing of the log that these are of.
    """
    need(len(raw) <= MAX_NOTE, "a note of more than a million bytes")
    body, blank, tail = raw.decode("utf-8").rpartition("\n\n")
    rows = tail.split("\n")
    need(blank and not rows.pop() and 1 <= len(rows) <= 100, "not a signed note")
    need(re.search(r"[\x00-\x09\x0b-\x1f]", body + tail) is None, "a control character in the note")
    lines = [read_line(row, exact=exact) for row in rows]
    text = f"{body}\n"
    known = {(key.name, key.id): key for key in keys}
    ours = trusted is None or not {key.id for key in trusted}.isdisjoint(blob_id for (_, blob_id), _ in lines)
    need(
        ours, "not signed by any key that the trust file names: not this deployment's log, or replaced", Verdict.FOREIGN
    )
    need(any(place in known for place, _ in lines), "not signed by a key that is trusted")
    for place, blob in lines:
        if place in known:
            try:
                Ed25519PublicKey.from_public_bytes(known[place].raw).verify(blob, text.encode())
            except InvalidSignature as error:
                raise Problem(f"a signature under the name {place[0]} does not verify") from error
    return text


def read_line(row: str, *, exact: bool) -> tuple[tuple[str, bytes], bytes]:
    """A signature line: name and key id, and what follows."""
    name, _, encoded = row.removeprefix("\u2014 ").partition(" ")
    blob = from_base64(encoded, exact=exact)
    need(row.startswith("\u2014 ") and is_name(name) and len(blob) >= 5, "a malformed signature line")
    return (name, blob[:4]), blob[4:]


# --- the tree and proofs in it


def sha256(*parts: bytes) -> bytes:
    """RFC 6962 section 2.1: of LEAF and an entry, or of NODE and two hashes."""
    return hashlib.sha256(b"".join(parts)).digest()


class Tree:
    """A growing tree: the roots of its perfect subtrees by height, and for each tile level the tile not yet full."""

    def __init__(self) -> None:
        self.size = 0
        self.rows: list[list[bytes]] = [[]]
        self._edge: list[bytes] = []

    def add(self, node: bytes) -> None:
        """One leaf more. A row that is full MUST be emptied before the next."""
        self.rows[0].append(node)
        height = 0
        while self.size >> height & 1:
            node = sha256(NODE, self._edge[height], node)
            height += 1
            if height == 8 * len(self.rows):
                self.rows.append([])
            if height % 8 == 0:
                self.rows[height // 8].append(node)
        self._edge[height : height + 1] = [node]
        self.size += 1

    def root(self) -> bytes:
        """The root of what was added."""
        parts = [node for height, node in enumerate(self._edge) if self.size >> height & 1]
        root = parts[0] if parts else EMPTY_ROOT
        for left in parts[1:]:
            root = sha256(NODE, left, root)
        return root


def includes(node: bytes, at: int, head: Head, path: list[bytes]) -> bool:
    """RFC 9162 section 2.1.3.2: whether `path` leads from leaf hash `node` at index `at` to the root."""
    last = head.size - 1
    if at > last:
        return False
    for sibling in path:
        if last == 0:
            return False
        if at & 1 or at == last:
            node = sha256(NODE, sibling, node)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            node = sha256(NODE, node, sibling)
        at, last = at >> 1, last >> 1
    return last == 0 and node == head.root


class Receipt(NamedTuple):
    """A proof file that proves itself. `leaf` is the hash of the entry in it, None if there is none."""

    name: str
    place: int
    path: list[bytes]
    leaf: bytes | None
    head: Head


def read_receipt(file: Path, trust: Trust, origin: str) -> Receipt:
    """c2sp.org/tlog-proof@v1; stops if the receipt is not one of the log `origin`."""
    with stopping(2, f"the receipt {file} cannot be read"), file.open("rb") as stream:
        top, blank, note = stream.read(2_000_000).partition(b"\n\n")
    with stopping(4, f"the receipt {file} does not prove itself"):
        magic, *rows = top.decode("ascii").split("\n")
        extra = from_base64(rows.pop(0)[6:]) if rows and rows[0].startswith("extra ") else None
        need(blank and magic == "c2sp.org/tlog-proof@v1" and rows and rows[0].startswith("index "), "no proof file")
        place, path = from_decimal(rows[0][6:]), [from_base64(row) for row in rows[1:]]
        need(len(path) <= 63 and all(len(each) == 32 for each in path), "not hashes")
        need(extra is None or 1 <= len(extra) <= 65_535, "not an entry")
        head = open_checkpoint(note, trust, exact=False)
        leaf = None if extra is None else sha256(LEAF, extra)
        need(head.origin == origin, f"not of the log {origin}")
        need(place < head.size and (leaf is None or includes(leaf, place, head, path)), "the entry is not in its tree")
    return Receipt(str(file), place, path, leaf, head)


# --- entries


PLAIN_KEY, WHOLE_NUMBER = re.compile("[a-z0-9_]+").fullmatch, re.compile("-?[0-9]+").fullmatch  # asked of each


def take_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, no key twice, plain keys."""
    found = dict(pairs)
    need(len(found) == len(pairs) and all(map(PLAIN_KEY, found)), "a key twice, or an odd one")
    return found


def take_number(text: str) -> int:
    """A whole number that every JSON reader has exactly; no fraction, exponent, infinity."""
    need(WHOLE_NUMBER(text) and abs(int(text)) <= MAX_INTEGER, "a number beyond 2**53, or not whole")
    return int(text)


DECODER = json.JSONDecoder(
    object_pairs_hook=take_object, parse_int=take_number, parse_float=take_number, parse_constant=take_number
)


def depth_of(value: object) -> int:
    """How many objects and lists lie within each other."""
    if not isinstance(value, dict | list):
        return 0
    inner = value.values() if isinstance(value, dict) else value
    return 1 + max((depth_of(each) for each in inner if isinstance(each, dict | list)), default=0)


def read_entry(raw: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and body of an entry in the one form that it may have (RFC 8785, narrowed)."""
    try:
        text = raw.decode("utf-8")
        value = DECODER.decode(text)
        again = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        need(again == text and unicodedata.is_normalized("NFC", text), "not the canonical form")
        need(depth_of(value) <= 16 and len(raw) <= MAX_ENTRY, "too long or too deep")
    except (ValueError, RecursionError) as error:
        raise Problem(f"not an entry: {error}") from error
    need(isinstance(value, dict) and value.keys() == {"b", "h"}, "not an object of b and h")
    header, body = value["h"], value["b"]
    need(isinstance(header, dict) and isinstance(body, dict), "b and h are not objects")
    need(header.get("v") == "sealgate.audit/1", f"unknown schema {header.get('v')!r}", Verdict.INCOMPLETE)
    need(is_header(header), "its header is not one")
    return header, body


def is_count(value: object, least: int, most: int) -> bool:
    """Whether it is a whole number in these bounds; true and false are none."""
    return type(value) is int and least <= value <= most


def is_link(prev: object, seq: object, index: int) -> bool:
    """Number 1 with nothing before it, or a higher one after an earlier entry."""
    return (prev is None and is_count(seq, 1, 1)) or (is_count(prev, 0, index - 1) and is_count(seq, 2, MAX_INTEGER))


def is_header(h: dict[str, Any]) -> bool:
    """Whether a header is consistent in itself."""
    return (
        h.keys() == {"chains", "gp", "gs", "i", "log", "t", "v", "w"}
        and is_count(h["i"], 0, MAX_INTEGER)
        and is_count(h["t"], 0, MAX_INTEGER)
        and is_text(h["log"], r"[!#-*,-\[\]-~]{1,255}")
        and (h["w"] is None or is_text(h["w"], "[0-9a-f]{64}"))
        and (h["gp"] is h["gs"] is None or is_link(h["gp"], h["gs"], h["i"]))
        and isinstance(h["chains"], list)
        and len(h["chains"]) <= 64
        and all(isinstance(each, dict) and each.keys() == {"asset", "prev", "seq"} for each in h["chains"])
        and all(is_text(each["asset"], r"[ !#-\[\]-~]{1,200}") for each in h["chains"])
        and all(is_link(each["prev"], each["seq"], h["i"]) for each in h["chains"])
        and len({each["asset"] for each in h["chains"]}) == len(h["chains"])
    )


OPEN_NAMES = ("release.refused", "lease.refused")


def named_assets(kind: object, body: dict[str, Any]) -> list[str]:
    """The assets a release names. A refusal may name what is no asset, under a pseudonym."""
    keys = body.get("keys")
    names = [line.get("asset") for line in keys if isinstance(line, dict)] if isinstance(keys, list) else []
    return [n for n in names if isinstance(n, str) and (kind not in OPEN_NAMES or n.startswith("tenants/"))]


# --- published files


def read_file(path: Path) -> bytes | None:
    """The bytes of a regular file, None if there is none; stops if it cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise Stop(5, f"{path} cannot be read: {error.strerror}") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return None
        with stopping(5, f"{path} cannot be read"), os.fdopen(descriptor, "rb", closefd=False) as stream:
            return stream.read(min(status.st_size, MAX_PIECE) + 1)
    finally:
        os.close(descriptor)


def read_items(directory: Path, kind: str, index: int, width: int) -> list[bytes]:
    """The entries of a bundle or the hashes of a tile; a full piece answers for a partial one that was dropped."""
    digits = str(index).zfill(-(-len(str(index)) // 3) * 3)
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    path = f"tile/{kind}/" + "/".join([*(f"x{each}" for each in groups[:-1]), groups[-1]])
    for name, wide in ([(f"{path}.p/{width}", width)] if width < WIDTH else []) + [(path, WIDTH)]:
        raw = read_file(directory / name)
        if raw is not None:
            items = split_entries(raw) if kind == "entries" else [raw[at : at + 32] for at in range(0, len(raw), 32)]
            need(len(items) == wide and (kind == "entries" or len(raw) == 32 * wide), f"{name} is not {wide} wide")
            return items[:width]
    raise Problem(f"{path} is missing, {width} wide", Verdict.INCOMPLETE)


def split_entries(raw: bytes) -> list[bytes]:
    """The entries of a bundle, each behind its length; none if it is no bundle."""
    entries: list[bytes] = []
    at = 0
    while at < len(raw) and len(entries) < WIDTH:
        end = at + 2 + int.from_bytes(raw[at : at + 2], "big")
        entries.append(raw[at + 2 : end])
        at = end
    return entries if at == len(raw) else []


# --- the audit


class Audit:
    """One pass over one log. `found` has the worst problem of each level, `anchored` how far receipts vouch for it."""

    def __init__(self, directory: Path, trust: Trust) -> None:
        self._directory, self._trust = directory, trust
        self._tree = Tree()
        self._time, self._readable = 0, True
        self._chains: dict[str | None, tuple[int, int]] = {}  # newest entry and number by asset; None is governance
        self.head: Head | None = None
        self.found: dict[str, Problem] = {}
        self.anchored = 0

    def run(self, receipts: list[Path]) -> Verdict:
        """The verdict: the worst of all levels."""
        with self._noting("V1"):
            raw = read_file(self._directory / "checkpoint")
            need(raw is not None, "there is no checkpoint", Verdict.INCOMPLETE)
            self.head = open_checkpoint(raw or b"", self._trust, exact=True)
        if self.head:
            self._read(self.head, [read_receipt(each, self._trust, self.head.origin) for each in receipts])
        worst = max((problem.verdict for problem in self.found.values()), default=Verdict.OK)
        return Verdict.UNANCHORED if worst is Verdict.OK and not self.anchored else worst

    @contextmanager
    def _noting(self, level: str) -> Iterator[None]:
        try:
            yield
        except Problem as problem:
            if level not in self.found or self.found[level].verdict < problem.verdict:
                self.found[level] = problem

    def _check(self, level: str, holds: object, what: str, verdict: Verdict = Verdict.TAMPERED) -> None:
        if not holds:
            with self._noting(level):
                need(False, what, verdict)

    def _read(self, head: Head, receipts: list[Receipt]) -> None:
        due: defaultdict[int, list[Receipt]] = defaultdict(list)
        for each in receipts:
            self._check("V4", each.head.size <= head.size, f"{each.name} is of a later tree", Verdict.STALE)
            same = each.head.size != head.size or each.head.root == head.root
            self._check("V4", same, f"{each.name} is of another tree of the same size, signed as well")
            for index in {each.place, each.head.size - 1}:
                due[index].append(each)
        self._check("V6", head.size, "there is no entry, and so no genesis")
        for first in range(0, head.size, WIDTH):
            entries: list[bytes] = []
            with self._noting("V2"):
                entries = read_items(self._directory, "entries", first // WIDTH, min(WIDTH, head.size - first))
            if not entries:
                return
            for index, raw in enumerate(entries, first):
                self._entry(index, raw, head)
                self._tree.add(sha256(LEAF, raw))
                for receipt in due.pop(index, []):
                    self._compare(receipt, index, sha256(LEAF, raw))
            self._tiles(last=self._tree.size == head.size)
        self._check("V3", self._tree.root() == head.root, "the entries do not lead to the signed root")

    def _compare(self, receipt: Receipt, index: int, found: bytes) -> None:
        """V4, when entry `index` has been added."""
        name, place, path, leaf, head = receipt
        if place == index:
            same = leaf == found if leaf else includes(found, index, head, path)
            self._check("V4", same, f"{name} proves another entry {index}")
        if head.size == index + 1:
            same = head.root == self._tree.root()
            self._check("V4", same, f"{name} is of another history of {head.size} entries")
            self.anchored = max(self.anchored, head.size) if same else self.anchored

    def _tiles(self, *, last: bool) -> None:
        """V3: full tiles are compared and forgotten, at the end the others too."""
        for level, row in enumerate(self._tree.rows):
            if row and (last or len(row) == WIDTH):
                index = ((self._tree.size >> 8 * level) - 1) // WIDTH
                with self._noting("V3"):
                    hashes = read_items(self._directory, str(level), index, len(row))
                    need(hashes == row, f"tile {index} of level {level} has another hash")
            if len(row) == WIDTH:
                row.clear()

    def _entry(self, index: int, raw: bytes, head: Head) -> None:
        """V2, and where everything before could be read V5 and V6."""
        try:
            header, body = read_entry(raw)
        except Problem as problem:
            self._readable = False
            self._check("V2", False, f"entry {index}: {problem}", problem.verdict)
            return
        where = (header["log"], header["i"]) == (head.origin, index)
        self._check("V2", where, f"entry {index} was made for another place or log")
        plain = isinstance(body.get("type"), str) and body.get("simulated") is False
        self._check("V2", plain, f"entry {index} has no type, or is simulated")
        if self._readable:
            self._follow(index, header, body)

    def _follow(self, index: int, header: dict[str, Any], body: dict[str, Any]) -> None:
        kind = body.get("type")
        self._check("V5", header["t"] >= self._time, f"entry {index} is earlier than the one before it")
        self._time = header["t"]
        self._check("V6", (kind == "log.genesis") == (index == 0), f"entry {index}: the first entry alone is a genesis")
        if kind == "log.genesis" and index == 0:
            keys = [key.text for key in self._trust.keys if self.head and key.name == self.head.origin]
            ours = body.get("log_key") in keys and body.get("deployment") == self._trust.origin
            self._check("V6", ours, "the genesis names another key or deployment")
        if header["gs"] is not None:
            self._link(None, header["gp"], header["gs"], index)
        else:
            governs = is_text(kind, GOVERNING)
            self._check("V6", not governs, f"entry {index} is not in the chain of governance")
        for link in header["chains"]:
            self._link(link["asset"], link["prev"], link["seq"], index)
        for name in named_assets(kind, body):
            self._check("V6", self._chains.get(name, (-1, 0))[0] == index, f"entry {index} is not in {name}'s chain")

    def _link(self, chain: str | None, prev: int | None, seq: int, index: int) -> None:
        before = self._chains.get(chain)
        expected = (None, 1) if before is None else (before[0], before[1] + 1)
        self._check("V6", (prev, seq) == expected, f"entry {index} breaks the chain of {chain or 'governance'}")
        self._chains[chain] = (index, seq)


def main(arguments: list[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path, metavar="DIR", help="the published log: checkpoint and tile/ are in it")
    parser.add_argument("--trust", type=Path, required=True, metavar="FILE", help="the deployment's trust.json")
    parser.add_argument("--log-keys", type=Path, metavar="FILE", help="the note of log keys (default: DIR/log-keys)")
    parser.add_argument("--receipt", type=Path, nargs="+", action="extend", default=[], metavar="FILE")
    parser.add_argument("--allow-unanchored", action="store_true", help="exit 0 where only a receipt is missing")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args(arguments)
    try:
        audit = Audit(args.directory, read_trust(args.trust, args.log_keys or args.directory / "log-keys"))
        if not args.directory.is_dir():
            raise Stop(2, f"{args.directory} is not a directory")  # noqa: TRY301
        verdict = audit.run(args.receipt)
    except Stop as stop:
        sys.stderr.write(ascii(f"sealgate-verify: {stop}")[1:-1] + "\n")
        return stop.code
    sys.stdout.write(report(audit, verdict, as_json=args.json) + "\n")
    return 0 if verdict is Verdict.UNANCHORED and args.allow_unanchored else EXIT[verdict]


def report(audit: Audit, verdict: Verdict, *, as_json: bool) -> str:
    """What was found, in ASCII: a log may say anything."""
    origin, size, root = audit.head or (None, None, None)
    told = {"verdict": verdict.name.lower(), "origin": origin, "size": size}
    told |= {"root": base64.b64encode(root).decode() if root else None, "anchored": audit.anchored}
    failed = {level: str(problem) for level, problem in sorted(audit.found.items())}
    if as_json:
        return json.dumps({**told, "failed": failed})
    lines = [f"{name:<9}{value}" for name, value in told.items() if name != "verdict"]
    lines += [ascii(f"  FAIL  {level}  {what}")[1:-1] for level, what in failed.items()]
    return "\n".join([*lines, f"verdict  {verdict.name}"])


if __name__ == "__main__":
    sys.exit(main())
