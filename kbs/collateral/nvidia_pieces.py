"""How pieces of NVIDIA's are called, and how a list or a response lies in one beside the chain that it needs.

nvidia/rim/<identifier>     nvidia/crl/l2-gh100     nvidia/ocsp/device/<issuer's key>/<serial>
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from attest.errors import Malformed
from attest.gpu.links import Link
from attest.gpu.prove import ProvenDevice
from attest.gpu.published import RimId, Subject, list_of, rim_ids, subjects

__all__ = [
    "Asked",
    "crl_name",
    "key_of",
    "ocsp_name",
    "pack",
    "rim_name",
    "rims_of",
    "status_names",
    "subjects_of",
    "unpack",
]

_MOST_LINKS = 8
Asked = dict[tuple[bytes, int], Subject]


def rims_of(devices: Sequence[ProvenDevice]) -> list[RimId]:
    """Every manifest of some devices, once."""
    return list(dict.fromkeys(wanted for device in devices for wanted in rim_ids(device)))


def subjects_of(devices: Sequence[ProvenDevice]) -> Asked:
    """Every certificate of some devices that has to be asked about, once."""
    every = (subject for device in devices for subject in subjects(device.chain.window.links, "device"))
    return {key_of(subject): subject for subject in every}


def key_of(subject: Subject) -> tuple[bytes, int]:
    """What tells a certificate from others."""
    return subject.links[0].issuer_spki, subject.links[0].serial


def status_names(subject: Subject) -> list[str]:
    """Of what may speak for a certificate."""
    title = list_of(subject)
    return [*([crl_name(title)] if title else []), ocsp_name(subject.links[0], subject.role)]


def rim_name(wanted: RimId) -> str:
    """A manifest's."""
    return f"nvidia/rim/{wanted.text}"


def ocsp_name(link: Link, role: str) -> str:
    """An OCSP response's; `role` is that of the root, device or rim."""
    return f"nvidia/ocsp/{role}/{hashlib.sha256(link.issuer_spki).hexdigest()[:32]}/{link.serial:x}"


def crl_name(title: str) -> str:
    """A revocation list's."""
    return f"nvidia/crl/{title}"


def pack(chain: Sequence[bytes], body: bytes) -> bytes:
    """A piece: certificates in DER, then the body."""
    items = (len(der).to_bytes(4, "big") + der for der in chain)
    return bytes([len(chain)]) + b"".join(items) + body


def unpack(data: bytes) -> tuple[tuple[bytes, ...], bytes]:
    """The certificates and the body of a piece; raises Malformed COLLATERAL_CHAIN."""
    count, at, chain = data[:1], 1, []
    for _ in range(count[0] if count and count[0] <= _MOST_LINKS else 0):
        size = int.from_bytes(data[at : at + 4], "big")
        chain.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    if not count or count[0] > _MOST_LINKS or at > len(data):
        raise Malformed("COLLATERAL_CHAIN", "piece", expected="a chain and what it is about", got=f"{len(data)} bytes")
    return tuple(chain), data[at:]
