"""A reference integrity manifest (RIM): which values a driver's or a VBIOS's measurements may have.

Sources: ISO/IEC 19770-2:2015 (SWID tags), TCG "PC Client Reference Integrity Manifest Specification" 1.04 and "RIM
Information Model" 1.01, NVIDIA's `swidSchema2015.xsd`. What was digested is parsed again and read from there, by direct
children alone: no value can come from anywhere else in the file.

A manifest does not say whether it is a driver's or a VBIOS's; its `colloquialVersion` does, for their versions have
different forms. Manifests are issued again under one name with other values, so several may be at hand at once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from attest.anchors import Anchors, NvidiaRoot
from attest.ecdsa import verify_p384
from attest.errors import Malformed
from attest.gpu.links import Window, check_chain, find_root, links_of, window_of
from attest.gpu.rim_signature import Enveloped, take_signature
from attest.gpu.rim_xml import SWID, Element, children, parse_xml, schema_error
from attest.x509 import load_certificate

__all__ = ["RIM_NAMES", "VerifiedRim", "verify_rim"]

RIM_NAMES = ("signer", "issuer", "authority", "root")
_HASH = "{http://www.w3.org/2001/04/xmlenc#sha384}Hash"
_RIM = "{https://trustedcomputinggroup.org/resource/tcg-reference-integrity-manifest-rim-information-model/}"
_IDENTITY = frozenset({"corpus", "name", "patch", "supplemental", "tagId", "version", "tagVersion"})
_META = frozenset({"colloquialVersion", "edition", "product", "revision", "PayloadType"}) | {
    _RIM + name
    for name in (
        "BindingSpec", "BindingSpecVersion", "PlatformManufacturerId", "PlatformManufacturerStr", "PlatformModel",
        "FirmwareManufacturer", "FirmwareManufacturerId", "FirmwareModel", "FirmwareVersion", "ComponentClass",
    )
}  # fmt: skip
_RESOURCE = frozenset({"type", "index", "active", "alternatives", "name", "size"})
_MAX_ALTERNATIVES = 32
_NUMBER = re.compile("0|[1-9][0-9]{0,2}")
_NAME = re.compile("[A-Za-z]{0,16}Measurement_([0-9]{1,3})(?:_[A-Za-z0-9_]{1,16})?")  # HashedMeasurement_1_FSP
_DIGEST = re.compile("[0-9a-fA-F]{96}")


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedRim:
    """A manifest whose signature and chain were verified up to `root`. Worth keeping, for the same bytes.

    `golden` are the active entries: index and the values, 48 bytes each, any of which is right. `product` is a chip
    (GH100, LS10), `edition` GPU or SWITCH, `version` that of the driver or the VBIOS. Validity and revocation are for
    every use: `window`.
    """

    data: bytes
    root: NvidiaRoot
    product: str
    edition: str
    version: str
    revision: str
    tag: str
    golden: tuple[tuple[int, tuple[bytes, ...]], ...]
    window: Window

    @property
    def title(self) -> str:
        """How it is named to people."""
        return f"{self.edition} {self.product} {self.version}"

    @property
    def issued(self) -> str:
        """Since when its signer's certificate is valid, which tells its issues apart."""
        return self.window.links[0].not_before.date().isoformat()


def verify_rim(data: bytes, anchors: Anchors) -> VerifiedRim:
    """The manifest in `data` under a pinned RIM root.

    1. it is XML that cannot surprise            4. its certificates chain to the pinned root
    2. it has one signature of the one form      5. the first of them signed it
    3. the digest is that of everything else     6. what was digested is a manifest

    Raises Malformed RIM_TOO_LARGE, RIM_XML, RIM_SIGNATURE_FORM, RIM_SCHEMA, RIM_CHAIN_LENGTH or CERT_MALFORMED,
    NotAuthentic RIM_DIGEST, CHAIN_ROOT_NOT_PINNED, CHAIN_NAME, CHAIN_ROLE, CHAIN_SIGNATURE or RIM_SIGNATURE.
    """
    enveloped = take_signature(parse_xml(data))  # 1, 2, 3
    root, window = _signed(enveloped, anchors)  # 4, 5
    identity = parse_xml(enveloped.content)  # 6
    name, meta, golden = _manifest(identity)
    return VerifiedRim(
        data=data,
        root=root,
        product=meta["product"],
        edition=meta["edition"],
        version=meta["colloquialVersion"],
        revision=meta["revision"],
        tag=identity.get("tagId", name),
        golden=golden,
        window=window,
    )


def _signed(enveloped: Enveloped, anchors: Anchors) -> tuple[NvidiaRoot, Window]:
    certificates = [
        load_certificate(der, path=f"rim.certificates[{n}]") for n, der in enumerate(enveloped.certificates)
    ]
    root = find_root(certificates[-1], (r for r in anchors.nvidia if r.role == "rim"), path="rim.root")
    if len(certificates) != len(RIM_NAMES):
        expected = f"{len(RIM_NAMES)}: {', '.join(RIM_NAMES)}"
        raise Malformed("RIM_CHAIN_LENGTH", "rim.certificates", expected=expected, got=len(certificates))
    chain, names = certificates[:-1], RIM_NAMES[:-1]
    check_chain(chain, names, root, path="rim")
    r, s = enveloped.signature
    verify_p384(chain[0].spki, enveloped.signed_info, r, s, check="RIM_SIGNATURE", path="rim.Signature")
    return root, window_of(links_of(chain, names, root))


def _manifest(identity: Element) -> tuple[str, Mapping[str, str], tuple[tuple[int, tuple[bytes, ...]], ...]]:
    if identity.tag != f"{SWID}SoftwareIdentity":
        raise schema_error("rim", "a SoftwareIdentity of ISO/IEC 19770-2:2015", identity.tag)
    found = children(identity, "rim", attributes=_IDENTITY)
    tags = [child.tag for child in found]
    if tags != [f"{SWID}{name}" for name in ("Entity", "Meta", "Payload")]:
        raise schema_error("rim", "exactly Entity, Meta, Payload and the Signature", ", ".join(map(str, tags)))
    _, meta, payload = found
    if children(meta, "rim.Meta", attributes=_META) or meta.text:
        raise schema_error("rim.Meta", "attributes alone", "content")
    values = {name: meta.get(name) or "" for name in ("product", "edition", "colloquialVersion", "revision")}
    empty = [name for name in ("product", "edition", "colloquialVersion") if not values[name]]
    if empty or meta.get("PayloadType") != "direct":
        got = f"without {', '.join(empty)}" if empty else f"PayloadType {meta.get('PayloadType')}"
        raise schema_error("rim.Meta", "product, edition, colloquialVersion and a direct payload", got)
    return identity.get("name") or "", values, _golden(payload)


def _golden(payload: Element) -> tuple[tuple[int, tuple[bytes, ...]], ...]:
    golden: dict[int, tuple[bytes, ...]] = {}
    seen: set[int] = set()
    for number, resource in enumerate(children(payload, "rim.Payload")):
        index, active, values = _resource(resource, f"rim.Payload.Resource[{number}]")
        if index in seen:
            raise schema_error(f"rim.Payload.Resource[{number}]", "each index once", f"index {index} twice")
        seen.add(index)
        if active:
            golden[index] = values
    if not golden:
        raise schema_error("rim.Payload", "at least one active measurement", "none")
    return tuple(sorted(golden.items()))


def _resource(resource: Element, path: str) -> tuple[int, bool, tuple[bytes, ...]]:
    count = resource.get("alternatives") or ""
    if not _NUMBER.fullmatch(count) or not 1 <= int(count) <= _MAX_ALTERNATIVES:
        raise schema_error(path, f"1 to {_MAX_ALTERNATIVES} alternatives", count or "none")
    hashes = [f"{_HASH}{n}" for n in range(int(count))]
    if resource.tag != f"{SWID}Resource" or children(resource, path, attributes=_RESOURCE | set(hashes)):
        raise schema_error(path, "a Resource without content", resource.tag)
    index, name = resource.get("index") or "", _NAME.fullmatch(resource.get("name") or "")
    fixed = (resource.get("type"), resource.get("size"), name and name[1])
    if not _NUMBER.fullmatch(index) or fixed != ("Measurement", "48", index):
        raise schema_error(path, f"Measurement_{index or 'n'} of 48 bytes", f"{fixed}, index {index or 'none'}")
    if resource.get("active") not in ("True", "False"):
        raise schema_error(path, "active True or False", resource.get("active"))
    values = [resource.get(name) or "" for name in hashes]
    if not all(_DIGEST.fullmatch(value) for value in values):
        raise schema_error(
            path, f"{count} values of 48 bytes in hexadecimal", ", ".join(value[:16] for value in values)
        )
    return int(index), resource.get("active") == "True", tuple(bytes.fromhex(value) for value in values)
