"""How pieces of NVIDIA's are called, and which of them some devices need.

nvidia/rim/<identifier>     nvidia/crl/l2-gh100     nvidia/ocsp/device/<issuer's key>/<serial>
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from attest.gpu.links import Link
from attest.gpu.prove import ProvenDevice
from attest.gpu.published import RimId, Subject, list_of, rim_ids, subjects

__all__ = [
    "Asked",
    "crl_name",
    "key_of",
    "ocsp_name",
    "rim_name",
    "rims_of",
    "status_names",
    "subjects_of",
]

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
