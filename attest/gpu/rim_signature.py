"""The signature of a manifest: one, enveloped, over the whole document, by one algorithm; or it is refused.

Source: W3C "XML Signature Syntax and Processing 1.1" sections 3.2 and 4; RFC 6931 section 2.3.6 (ecdsa-sha384, r || s).
Everything that XML signatures leave to the document's writer is fixed here: the position of the signature, its only
reference (`URI=""`, the document itself), both transforms and every algorithm. KeyInfo offers certificates, in order,
leaf first, and nothing else; a bare key or a name in it would be refused.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass

from attest.errors import Malformed, NotAuthentic
from attest.gpu.rim_xml import DS, Element, canonical, children

__all__ = ["Enveloped", "take_signature"]

_C14N = "http://www.w3.org/2006/12/xml-c14n11"
_ENVELOPED = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
_ECDSA = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384"
_SHA384 = "http://www.w3.org/2001/04/xmldsig-more#sha384"
_CERTIFICATES = 8
_ALGORITHM = frozenset({"Algorithm"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Enveloped:
    """A document without its signature, whose digest is the one that was signed: `content`, canonical.

    `signed_info` are the bytes under `signature` (r, s); `certificates` are DER, unverified, leaf first.
    """

    content: bytes
    signed_info: bytes
    signature: tuple[int, int]
    certificates: tuple[bytes, ...]


def take_signature(root: Element) -> Enveloped:
    """Takes the signature out of `root`, which is changed, and checks the digest of what remains.

    Raises Malformed RIM_SIGNATURE_FORM (and RIM_SCHEMA), NotAuthentic RIM_DIGEST.
    """
    signatures = [element for element in root.iter() if element.tag == f"{DS}Signature"]
    if len(signatures) != 1 or signatures[0].getparent() is not root or root[-1] is not signatures[0]:
        raise _form("rim", "one Signature, the last child of the document", f"{len(signatures)} in all")
    signature = signatures[0]
    info, value, key = _named(signature, "rim.Signature", ("SignedInfo", "SignatureValue", "KeyInfo"))
    signed_info = canonical(info)
    digest = _reference(info)
    raw = _base64(value, "rim.Signature.SignatureValue")
    if len(raw) != 96:
        raise _form("rim.Signature.SignatureValue", "96 bytes, r || s", f"{len(raw)} bytes")
    certificates = _certificates(key)
    _remove(root, signature)
    content = canonical(root)
    found = hashlib.sha384(content).digest()
    if found != digest:
        raise NotAuthentic("RIM_DIGEST", "rim", expected=digest, got=found)
    return Enveloped(
        content=content,
        signed_info=signed_info,
        signature=(int.from_bytes(raw[:48], "big"), int.from_bytes(raw[48:], "big")),
        certificates=certificates,
    )


def _reference(info: Element) -> bytes:
    """The digest that SignedInfo gives for the whole document."""
    path = "rim.Signature.SignedInfo"
    method, algorithm, reference = _named(info, path, ("CanonicalizationMethod", "SignatureMethod", "Reference"))
    _algorithm(method, _C14N, path)
    _algorithm(algorithm, _ECDSA, path)
    if dict(reference.attrib) != {"URI": ""}:
        raise _form(f"{path}.Reference", 'URI="" and nothing else', dict(reference.attrib))
    path = f"{path}.Reference"
    transforms, digest, value = _named(
        reference, path, ("Transforms", "DigestMethod", "DigestValue"), attributes=frozenset({"URI"})
    )
    enveloped, c14n = _named(transforms, path, ("Transform", "Transform"))
    _algorithm(enveloped, _ENVELOPED, path)
    _algorithm(c14n, _C14N, path)
    _algorithm(digest, _SHA384, path)
    return _base64(value, f"{path}.DigestValue")


def _certificates(key: Element) -> tuple[bytes, ...]:
    (data,) = _named(key, "rim.Signature.KeyInfo", ("X509Data",))
    found = _named(data, "rim.Signature.KeyInfo.X509Data", ("X509Certificate",) * min(max(len(data), 1), _CERTIFICATES))
    return tuple(_base64(each, f"rim.Signature.KeyInfo.X509Certificate[{n}]") for n, each in enumerate(found))


def _named(
    element: Element, path: str, names: tuple[str, ...], *, attributes: frozenset[str] = frozenset()
) -> list[Element]:
    """The children of an element, which are exactly those of these names, in this order."""
    found = children(element, path, attributes=attributes)
    if [child.tag for child in found] != [f"{DS}{name}" for name in names]:
        got = ", ".join(str(child.tag).removeprefix(DS) for child in found) or "nothing"
        raise _form(path, f"exactly {', '.join(names)}", got)
    return found


def _algorithm(element: Element, expected: str, path: str) -> None:
    if children(element, path, attributes=_ALGORITHM) or element.text or element.get("Algorithm") != expected:
        got = element.get("Algorithm") or "none"
        raise _form(f"{path}.{element.tag.removeprefix(DS)}", f"{expected} without parameters", got)


def _base64(element: Element, path: str) -> bytes:
    if children(element, path):
        raise _form(path, "base64", "elements")
    try:
        return base64.b64decode("".join((element.text or "").split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise _form(path, "base64", str(error)) from error


def _remove(root: Element, signature: Element) -> None:
    """The enveloped-signature transform: the element goes, the text behind it stays."""
    tail, before = signature.tail or "", signature.getprevious()
    root.remove(signature)
    if before is None:
        root.text = (root.text or "") + tail
    else:
        before.tail = (before.tail or "") + tail


def _form(path: str, expected: str, got: object) -> Malformed:
    return Malformed("RIM_SIGNATURE_FORM", path, expected=expected, got=got)
