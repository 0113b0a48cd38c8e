"""What NVIDIA publishes about devices, each piece checked by itself before anybody keeps it: nothing is fetched here.

Sources: NVIDIA's RIM service (`/v1/rim/{id}`) and its identifiers, RFC 5280, RFC 6960. An answer is checked under the
pinned roots, at `now`, and for being what was asked for: where it came from says nothing. Which identifiers a device
needs follows from its own report and chain, which are proven by then.

A certificate is asked about by the chain above it, from itself to the one that the root issued (`Subject`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from attest.anchors import Anchors, NvidiaRoot
from attest.errors import Malformed, NotAuthentic
from attest.gpu.certs import FAMILIES
from attest.gpu.certs import NAMES as DEVICE_NAMES
from attest.gpu.links import Link, check_chain, links_of
from attest.gpu.prove import ProvenDevice
from attest.gpu.revocation import key_digest, read_crl, read_statuses
from attest.gpu.rim import RIM_NAMES, VerifiedRim, verify_rim
from attest.gpu.rim_id import driver_rim_id, vbios_rim_id
from attest.gpu.status import VerifiedStatus, check_current
from attest.names import common_name
from attest.x509 import Certificate, load_certificate

__all__ = [
    "RimId", "Subject", "ask_about", "check_crl", "check_ocsp", "check_rim", "list_of", "read_rim_id", "rim_ids",
    "subjects",
]  # fmt: skip

_NAMES = {"device": DEVICE_NAMES[:-1], "rim": RIM_NAMES[:-1]}
_LISTS = {f"NVIDIA {family.identity} Identity": f"l2-{family.identity.lower()}" for family in FAMILIES}
_ROOT_LISTS = {"device": "l1-root", "rim": "l1-corim"}
_RIM_ID = re.compile(
    "NV_GPU_(?:CC_)?DRIVER_(?P<chip>[A-Z0-9]{1,16})_(?P<driver>[0-9]{1,6}(?:[.][0-9]{1,6}){1,5})"
    "|NV_GPU_VBIOS_[A-Z0-9]{1,16}_[A-Z0-9]{1,16}_[A-Z0-9]{1,16}_(?P<vbios>[0-9A-F]{10})"
    "|NV_SWITCH_BIOS_5612_0002_890_(?P<bios>[0-9A-F]{10})"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RimId:
    """What the RIM service calls a manifest, and what the manifest must then say of itself.

    `version` is that of a driver, or of a VBIOS without its dots. `product` is empty where the identifier names a board
    instead of a chip and nothing else says which.
    """

    text: str
    edition: str
    product: str
    version: str

    def names(self, rim: VerifiedRim) -> bool:
        """Whether this manifest is the one."""
        version = rim.version if "." in self.version else rim.version.replace(".", "").upper()
        return (rim.edition, version) == (self.edition, self.version) and self.product in ("", rim.product)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A certificate that names where its revocation can be asked for, with those above it; `role` is its root's."""

    links: tuple[Link, ...]
    role: str


def rim_ids(device: ProvenDevice) -> tuple[RimId, ...]:
    """The manifests of a device's firmware: driver and VBIOS, or the NVSwitch's BIOS; none for odd versions."""
    opaque, family = device.report.opaque, device.chain.family
    product = opaque.chip_info or family.product
    board = "_".join(part for part in (opaque.project, opaque.project_sku, opaque.chip_sku) if part)
    texts = [driver_rim_id(product, opaque.driver_version)] if opaque.driver_version else []
    texts.append(vbios_rim_id(family.kind, board, opaque.vbios_version))
    return tuple(found for text in texts if (found := read_rim_id(text, product)) is not None)


def read_rim_id(text: str, product: str = "") -> RimId | None:
    """What an identifier stands for; None for one of a form that is not known. `product` is the device's chip."""
    found = _RIM_ID.fullmatch(text)
    if found is None:
        return None
    if found["bios"]:
        return RimId(text=text, edition="SWITCH", product="LS10", version=found["bios"])
    return RimId(text=text, edition="GPU", product=found["chip"] or product, version=found["driver"] or found["vbios"])


def check_rim(data: bytes, wanted: RimId, anchors: Anchors, *, now: datetime) -> VerifiedRim:
    """The manifest `wanted`; raises as `verify_rim`, RIM_NOT_YET_VALID, RIM_EXPIRED, NotAuthentic RIM_MISMATCH."""
    rim = verify_rim(data, anchors)
    rim.window.check(now, path="rim", of="RIM")
    if not wanted.names(rim):
        expected = f"{wanted.edition} {wanted.product or 'of any chip'} {wanted.version}"
        raise NotAuthentic("RIM_MISMATCH", "rim.Meta", expected=expected, got=rim.title)
    return rim


def subjects(links: Sequence[Link], role: str) -> tuple[Subject, ...]:
    """Whom to ask about in a chain below a root of `role`, device or rim."""
    return tuple(
        Subject(links=tuple(links[number:]), role=role) for number, link in enumerate(links) if link.names_source
    )


def list_of(subject: Subject) -> str:
    """The revocation list that NVIDIA publishes for this certificate's issuer; empty if there is none."""
    if len(subject.links) == 1:
        return _ROOT_LISTS[subject.role]
    return _LISTS.get(common_name(subject.links[0].issuer), "") if subject.role == "device" else ""


def check_crl(der: bytes, above: Sequence[bytes], name: str, anchors: Anchors, *, now: datetime) -> VerifiedStatus:
    """The list of that name; `above` (DER) are its issuer and those above, nothing where that is a root.

    Raises Malformed CRL_MALFORMED, CRL_UNSUPPORTED or COLLATERAL_CHAIN, NotAuthentic CRL_SIGNATURE, CRL_ISSUER,
    STATUS_NOT_YET_VALID, STATUS_EXPIRED, and as `check_chain`.
    """
    role = next((role for role, title in _ROOT_LISTS.items() if title == name), "")
    if role:
        issuers = [(root.subject, root.spki) for root in anchors.nvidia if root.role == role]
    else:
        chain, _ = _chain(above, "device", anchors)
        issuers = [(chain[0].subject, chain[0].spki)] if _LISTS.get(chain[0].common_name) == name else []
    status = read_crl(der, issuers, "crl")
    if not status.issuer_spki:
        raise NotAuthentic("CRL_ISSUER", "crl.issuer", expected=f"the issuer of {name}", got=common_name(status.issuer))
    check_current(status, now, "crl")
    return status


def check_ocsp(
    der: bytes, chain: Sequence[bytes], role: str, anchors: Anchors, *, now: datetime
) -> tuple[VerifiedStatus, Link]:
    """The response about the first certificate of `chain` (DER, up to the one that the root issued), and that link.

    Raises Malformed OCSP_MALFORMED or COLLATERAL_CHAIN, NotAuthentic OCSP_SIGNATURE, OCSP_RESPONDER, OCSP_MISMATCH,
    STATUS_NOT_YET_VALID, STATUS_EXPIRED, and as `check_chain`.
    """
    _, links = _chain(chain, role, anchors)
    status = read_statuses((), (der,), links[:1], {})[0]
    if not status.issuer_spki:
        raise NotAuthentic("OCSP_MISMATCH", "ocsp", expected=f"a response about {links[0].serial:#x}", got="another")
    check_current(status, now, "ocsp")
    return status, links[0]


def ask_about(link: Link) -> bytes:
    """An OCSP request (DER, RFC 6960 section 4.1.1) about a certificate, without a nonce."""
    digest = SHA384()
    builder = ocsp.OCSPRequestBuilder().add_certificate_by_hash(
        key_digest("sha384", link.issuer), key_digest("sha384", link.issuer_spki, key=True), link.serial, digest
    )
    return builder.build().public_bytes(Encoding.DER)


def _chain(ders: Sequence[bytes], role: str, anchors: Anchors) -> tuple[list[Certificate], tuple[Link, ...]]:
    names = _NAMES.get(role, ())
    if not 0 < len(ders) <= len(names):
        raise Malformed("COLLATERAL_CHAIN", "chain", expected=f"1 to {len(names)} certificates", got=len(ders))
    below = len(names) - len(ders)
    chain = [load_certificate(der, path=f"chain.{name}") for der, name in zip(ders, names[below:], strict=True)]
    root = _root(chain[-1], role, anchors)
    check_chain(chain, names[below:], root, path="chain", below=below)
    return chain, links_of(chain, names[below:], root)


def _root(last: Certificate, role: str, anchors: Anchors) -> NvidiaRoot:
    for root in anchors.nvidia:
        if root.role == role and root.subject == last.issuer:
            return root
    got = last.issuer_common_name or "no name"
    raise NotAuthentic("CHAIN_ROOT_NOT_PINNED", "chain.root", expected=f"a pinned {role} root", got=got)
