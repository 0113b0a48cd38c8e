"""The firmware identifier (FWID) that a leaf certificate states: what firmware the key was derived for.

Source: TCG "DICE Attestation Architecture", sections on TcbInfo and on the CompositeDeviceID of RIoT. Hopper and LS10
have RIoT's extension 2.23.133.5.4.1, `SEQUENCE { INTEGER 1, SubjectPublicKeyInfo, SEQUENCE { OID, OCTET STRING } }`;
Blackwell has DiceTcbInfo, 2.23.133.5.4.1.1, whose `[6] fwids` lists two of which the first is the firmware's.
"""

from __future__ import annotations

from attest.errors import Malformed
from attest.x509 import Certificate

__all__ = ["RIOT", "TCB_INFO", "fwid_of"]

RIOT, TCB_INFO = "2.23.133.5.4.1", "2.23.133.5.4.1.1"
_SEQUENCE, _INTEGER, _FWIDS = 0x30, 0x02, 0xA6
_SHA384 = bytes.fromhex("608648016503040202")
_PATH = "chain.leaf.fwid"


def fwid_of(leaf: Certificate) -> bytes | None:
    """The 48 bytes of FWID, or None if the leaf has neither extension; Malformed GPU_FWID_FORMAT if it is no such."""
    riot, tcb_info = leaf.extensions.get(RIOT), leaf.extensions.get(TCB_INFO)
    if riot is not None and tcb_info is not None:
        raise _bad("one of the two extensions", "both")
    if riot is not None:
        return _riot(riot)
    return None if tcb_info is None else _tcb_info(tcb_info)


def _riot(der: bytes) -> bytes:
    composite = _items(_only(der, _SEQUENCE))
    if [tag for tag, _ in composite] != [_INTEGER, _SEQUENCE, _SEQUENCE]:
        raise _bad("a version, a key and an FWID", [f"{tag:#x}" for tag, _ in composite])
    return _fwid(composite[2][1])


def _tcb_info(der: bytes) -> bytes:
    lists = [value for tag, value in _items(_only(der, _SEQUENCE)) if tag == _FWIDS]
    entries = _items(lists[0]) if len(lists) == 1 else []
    if not entries or entries[0][0] != _SEQUENCE:
        raise _bad("one list of FWIDs that is not empty", f"{len(lists)} lists, {len(entries)} entries")
    return _fwid(entries[0][1])


def _fwid(sequence: bytes) -> bytes:
    match _items(sequence):
        case [(0x06, algorithm), (0x04, digest)] if algorithm == _SHA384 and len(digest) == 48:
            return digest
    raise _bad("SHA-384 and its 48 bytes", sequence)


def _only(der: bytes, tag: int) -> bytes:
    found = _items(der)
    if len(found) != 1 or found[0][0] != tag:
        raise _bad(f"one element {tag:#x}", der)
    return found[0][1]


def _items(data: bytes) -> list[tuple[int, bytes]]:
    """The DER elements that fill `data` exactly: one-byte tags, definite lengths in their shortest form up to 65535."""
    found, at = [], 0
    while at < len(data):
        head = data[at : at + 4].ljust(4, b"\xff")
        tag, length, body = head[0], head[1], at + 2
        if length == 0x81 and head[2] > 0x7F:
            length, body = head[2], at + 3
        elif length == 0x82 and head[2]:
            length, body = int.from_bytes(head[2:4], "big"), at + 4
        elif length > 0x7F:
            raise _bad("a definite length in its shortest form", head)
        if tag & 0x1F == 0x1F or body + length > len(data):
            raise _bad("elements that fill their place", data[at:])
        found.append((tag, data[body : body + length]))
        at = body + length
    return found


def _bad(expected: str, got: object) -> Malformed:
    return Malformed("GPU_FWID_FORMAT", _PATH, expected=expected, got=got)
