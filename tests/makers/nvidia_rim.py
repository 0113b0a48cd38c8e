"""Manifests of the throwaway NVIDIA: SWID tags with an enveloped signature, right or wrong in one chosen way.

rims = manifests(vendor)                              the driver's, the VBIOS's and the NVSwitch's
data = manifest(vendor, version="570.172.08", golden={7: [value]})
data = signed(vendor, swid(...).replace(...))         signed after the change
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384
from lxml import etree

from tests.makers.nvidia import (
    DRIVER,
    DRIVER_INDICES,
    SWITCH_BIOS,
    VBIOS,
    VBIOS_INDICES,
    Authority,
    Nvidia,
    measured,
)

__all__ = ["manifest", "manifests", "signed", "swid"]

_SWID = "http://standards.iso.org/iso/19770/-2/2015/schema.xsd"
_C14N = "http://www.w3.org/2006/12/xml-c14n11"
_MORE = "http://www.w3.org/2001/04/xmldsig-more#"
Golden = Mapping[int, Sequence[bytes]]


def swid(version: str, golden: Golden, *, product: str = "GH100", edition: str = "GPU", count: int = 64) -> str:
    """The document without its signature; indices that have no golden value are inactive."""
    rows = []
    for index in range(count):
        values = golden.get(index, [bytes(48)])
        hashes = " ".join(f'ns2:Hash{n}="{value.hex()}"' for n, value in enumerate(values))
        rows.append(
            f'<ns0:Resource type="Measurement" index="{index}" active="{index in golden}" '
            f'alternatives="{len(values)}" {hashes} name="Measurement_{index}" size="48"/>'
        )
    body = "\n        ".join(rows)
    return (
        f'<SoftwareIdentity xmlns="{_SWID}" xmlns:ns0="{_SWID}" xmlns:ns2="http://www.w3.org/2001/04/xmlenc#sha384" '
        f'corpus="false" name="{product}" patch="false" supplemental="false" tagId="{version}" version="1.0" '
        'tagVersion="0">\n    <ns0:Entity name="NVIDIA Corporation" role="softwareCreator tagCreator"/>\n'
        f'    <ns0:Meta colloquialVersion="{version}" edition="{edition}" product="{product}" revision="r1" '
        f'PayloadType="direct"/>\n    <ns0:Payload>\n        {body}\n    </ns0:Payload>\n</SoftwareIdentity>'
    )


def signed(
    vendor: Nvidia,
    document: str,
    *,
    key: ec.EllipticCurvePrivateKey | None = None,
    chain: Sequence[Authority] = (),
    info: Mapping[str, str] | None = None,
) -> bytes:
    """`document` with its signature; `info` replaces texts in SignedInfo before that is signed."""
    content = etree.tostring(etree.fromstring(document.encode()), method="c14n")
    digest = base64.b64encode(hashlib.sha384(content).digest()).decode()
    fixed = (
        f'<ds:SignedInfo><ds:CanonicalizationMethod Algorithm="{_C14N}"/>'
        f'<ds:SignatureMethod Algorithm="{_MORE}ecdsa-sha384"/><ds:Reference URI=""><ds:Transforms>'
        '<ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"/>'
        f'<ds:Transform Algorithm="{_C14N}"/></ds:Transforms><ds:DigestMethod Algorithm="{_MORE}sha384"/>'
        f"<ds:DigestValue>{digest}</ds:DigestValue></ds:Reference></ds:SignedInfo>"
    )
    for old, new in (info or {}).items():
        assert old in fixed
        fixed = fixed.replace(old, new)
    chain = chain or (vendor.rim_signer, vendor.rim_issuer, vendor.rim_authority, vendor.rim_root)
    offered = "".join(
        f"<ds:X509Certificate>{base64.encodebytes(each.der).decode()}</ds:X509Certificate>" for each in chain
    )
    head, close = document.rsplit("</", 1)
    signature = (
        '<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#">' + fixed
        + f"<ds:SignatureValue>@</ds:SignatureValue><ds:KeyInfo><ds:X509Data>{offered}</ds:X509Data></ds:KeyInfo>"
        "</ds:Signature>"
    )  # fmt: skip
    whole = head + signature + "</" + close
    element = etree.fromstring(whole.encode()).find(".//{http://www.w3.org/2000/09/xmldsig#}SignedInfo")
    assert element is not None
    raw = (key or chain[0].key).sign(etree.tostring(element, method="c14n"), ec.ECDSA(SHA384()))
    r, s = decode_dss_signature(raw)
    value = base64.b64encode(r.to_bytes(48, "big") + s.to_bytes(48, "big")).decode()
    return whole.replace("@</ds:SignatureValue>", f"{value}</ds:SignatureValue>").encode()


def manifest(vendor: Nvidia, version: str, golden: Golden, *, product: str = "GH100", edition: str = "GPU") -> bytes:
    """A good manifest."""
    return signed(vendor, swid(version, golden, product=product, edition=edition))


def manifests(vendor: Nvidia) -> tuple[bytes, ...]:
    """Those of every ordinary device of `vendor`: drivers and VBIOS of the three GPU designs, and the NVSwitch's."""
    gpus = {"GH100": "GH100", "GB100": "GB100", "GB20X": "GB202"}
    found = []
    for chip, product in gpus.items():
        for version, indices in ((DRIVER, DRIVER_INDICES), (VBIOS, VBIOS_INDICES)):
            golden = {index: [measured(index, chip=chip)] for index in indices}
            found.append(manifest(vendor, version, golden, product=product))
    switch = {index: [measured(index, chip="LS_10")] for index in range(31)}
    found.append(manifest(vendor, SWITCH_BIOS, switch, product="LS10", edition="SWITCH"))
    return tuple(found)
