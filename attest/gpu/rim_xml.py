"""Reading signed XML without being talked into anything: what may stand in a manifest at all, and its canonical bytes.

Sources: W3C "Canonical XML 1.1" and "XML Signature Syntax and Processing 1.1"; the documents themselves, which need
none of what makes XML dangerous. So a manifest is ASCII without `<!` (no DOCTYPE, entity declaration, comment, CDATA),
without `<?` (no processing instruction) behind its first line, and without `&` (no reference of any kind), before a
parser sees it. Canonical XML 1.0 and 1.1 give the same bytes where no attribute of the xml: namespace stands, and none
may. lxml comes with the server; the base installation has no use for manifests.
"""

from __future__ import annotations

from typing import Any

from attest.errors import Malformed

try:
    from lxml import etree
except ImportError:
    etree = None  # type: ignore[assignment]

__all__ = ["DS", "MAX_RIM", "SWID", "Element", "canonical", "children", "parse_xml", "schema_error"]

Element = Any  # lxml's stubs know no one type for what its parser returns
MAX_RIM = 131_072
SWID = "{http://standards.iso.org/iso/19770/-2/2015/schema.xsd}"
DS = "{http://www.w3.org/2000/09/xmldsig#}"
_DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>'
_XML = "{http://www.w3.org/XML/1998/namespace}"
_MAX_ELEMENTS = 600
_FORBIDDEN = {b"<!": "DOCTYPE, comment or CDATA", b"<?": "a processing instruction", b"&": "a reference"}


def parse_xml(data: bytes) -> Element:
    """The root element of a document that cannot surprise; raises Malformed RIM_TOO_LARGE or RIM_XML."""
    if etree is None:
        raise Malformed("RIM_XML", "rim", expected="an installation with lxml (the extra server)", got="none")
    if len(data) > MAX_RIM:
        raise Malformed("RIM_TOO_LARGE", "rim", expected=f"at most {MAX_RIM} bytes", got=f"{len(data)} bytes")
    body = data.removeprefix(_DECLARATION)
    if not body.isascii() or b"\0" in body:
        raise _bad("ASCII text", "other bytes")
    for mark, name in _FORBIDDEN.items():
        if mark in body:
            raise _bad("no DOCTYPE, comment, CDATA, processing instruction or reference", name)
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(body, parser)
    except etree.XMLSyntaxError as error:
        raise _bad("well-formed XML", error.msg or "none") from error
    for number, element in enumerate(root.iter(), start=1):
        if number > _MAX_ELEMENTS:
            raise _bad(f"at most {_MAX_ELEMENTS} elements", "more")
        if any(name.startswith(_XML) for name in element.attrib):
            raise _bad("no attribute of the xml: namespace", element.tag)
    return root


def canonical(element: Element) -> bytes:
    """Canonical XML of an element in its context, without comments (of which there are none).

    Raises Malformed RIM_XML for what has no canonical form: a namespace whose name is a relative reference.
    """
    try:
        return bytes(etree.tostring(element, method="c14n", exclusive=False, with_comments=False))
    except etree.C14NError as error:
        raise _bad("a document that has a canonical form", "none") from error


def children(element: Element, path: str, *, attributes: frozenset[str] = frozenset()) -> list[Element]:
    """The child elements of one that may have `attributes` and, between its children, nothing but white space.

    Raises Malformed RIM_SCHEMA.
    """
    extra = set(element.attrib) - attributes
    if extra:
        raise schema_error(
            path, f"attributes among {', '.join(sorted(attributes)) or 'none'}", ", ".join(sorted(extra))
        )
    found = list(element)
    if (element.text or "").strip() and found:
        raise schema_error(path, "elements alone", "text between them")
    if any((child.tail or "").strip() for child in found):
        raise schema_error(path, "elements alone", "text between them")
    return found


def schema_error(path: str, expected: str, got: object) -> Malformed:
    """What is raised for a document that is XML, but not a manifest as NVIDIA makes them."""
    return Malformed("RIM_SCHEMA", path, expected=expected, got=got)


def _bad(expected: str, got: object) -> Malformed:
    return Malformed("RIM_XML", "rim", expected=expected, got=got)
