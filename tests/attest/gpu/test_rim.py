"""Manifests: what a good one says, and a corpus of attacks on signed XML, each refused by its name, fast and small."""

# ruff: noqa: E501  # a table of attacks reads best with each on its line

from __future__ import annotations

import datetime as dt
import re
import time
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attest.errors import AttestError
from attest.gpu.rim import VerifiedRim, verify_rim
from attest.gpu.rim_xml import MAX_RIM
from tests.attest.gpu.made import NOW, vendor
from tests.attest.refusal import refused
from tests.makers.nvidia import certify, measured, mint, name
from tests.makers.nvidia_rim import manifest, signed, swid

_GOLDEN = {7: [measured(7)], 21: [measured(21), bytes(48)]}
_VERSION = "570.172.08"
_SECONDS, _BYTES = 2.0, 64 << 20


def _document() -> str:
    return swid(_VERSION, _GOLDEN)


def _good() -> bytes:
    return manifest(vendor(), _VERSION, _GOLDEN)


def _verify(data: bytes) -> VerifiedRim:
    return verify_rim(data, vendor().anchors)


def test_a_good_manifest() -> None:
    rim = _verify(_good())
    assert (rim.product, rim.edition, rim.version, rim.title) == ("GH100", "GPU", _VERSION, f"GPU GH100 {_VERSION}")
    assert rim.golden == ((7, (measured(7),)), (21, (measured(21), bytes(48))))
    assert rim.root.simulated


def test_a_declaration_may_stand_before_it() -> None:
    assert _verify(b'<?xml version="1.0" encoding="UTF-8"?>' + _good()).version == _VERSION


def _wrapped(data: bytes) -> bytes:
    """The signed document inside another root, whose own payload says something else."""
    text = data.decode()
    signature = text[text.index("<ds:Signature") : text.index("</ds:Signature>") + len("</ds:Signature>")]
    original = text.replace(signature, "")
    evil = swid(_VERSION, {7: [bytes(48)]})
    head, close = evil.rsplit("</", 1)
    return (head + original + signature + "</" + close).encode()


def _moved(data: bytes) -> bytes:
    """A payload of the attacker's before the signed one."""
    return data.replace(b"<ns0:Payload>", b"<ns0:Payload/><ns0:Payload>", 1)


def _nested_signature(data: bytes) -> bytes:
    """The signature below Payload instead of below the root."""
    text = data.decode()
    start, end = text.index("<ds:Signature"), text.index("</ds:Signature>") + len("</ds:Signature>")
    return (text[:start] + text[end:]).replace("</ns0:Payload>", text[start:end] + "</ns0:Payload>").encode()


def _two_signatures(data: bytes) -> bytes:
    text = data.decode()
    start, end = text.index("<ds:Signature"), text.index("</ds:Signature>") + len("</ds:Signature>")
    return text.replace(text[start:end], text[start:end] * 2).encode()


def _in(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        assert old in data
        return data.replace(old, new, 1)

    return change


_BOMB = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">' + b"".join(
    b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(9)
) + b"]>"  # fmt: skip
_EXTERNAL = b'<!DOCTYPE x SYSTEM "http://127.0.0.1:1/x.dtd">'
_FILE = b'<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]>'

ATTACKS: list[tuple[str, Callable[[bytes], bytes], str]] = [
    ("no XML", lambda d: b"no", "RIM_XML"),
    ("empty", lambda d: b"", "RIM_XML"),
    ("cut", lambda d: d[:-10], "RIM_XML"),
    ("a DOCTYPE", lambda d: _EXTERNAL + d, "RIM_XML"),
    ("an entity bomb", lambda d: _BOMB + d.replace(b'revision="r1"', b'revision="&j;"'), "RIM_XML"),
    ("a file as an entity", lambda d: _FILE + d, "RIM_XML"),
    ("a comment in a value", _in(b"NVIDIA Corporation", b"NVIDIA<!-- x --> Corporation"), "RIM_XML"),
    ("a comment in the digest", _in(b"<ds:DigestValue>", b"<ds:DigestValue><!-- x -->"), "RIM_XML"),
    ("CDATA in the digest", _in(b"<ds:DigestValue>", b"<ds:DigestValue><![CDATA[]]>"), "RIM_XML"),
    ("a processing instruction", _in(b"<ns0:Payload>", b"<?x y?><ns0:Payload>"), "RIM_XML"),
    ("a stylesheet", lambda d: b'<?xml-stylesheet href="x"?>' + d, "RIM_XML"),
    ("a character reference", _in(b'revision="r1"', b'revision="&#114;1"'), "RIM_XML"),
    ("another encoding", lambda d: d.decode().encode("utf-16"), "RIM_XML"),
    ("UTF-7 declared", lambda d: b'<?xml version="1.0" encoding="UTF-7"?>' + d, "RIM_XML"),
    ("a letter beyond ASCII", _in(b"NVIDIA Corporation", "NVIDIA Corporatión".encode()), "RIM_XML"),
    ("a NUL", _in(b"NVIDIA Corporation", b"NVIDIA\0Corporation"), "RIM_XML"),
    ("an undeclared prefix", _in(b"<ns0:Entity", b"<nsx:Entity"), "RIM_XML"),
    ("an attribute twice", _in(b'index="7"', b'index="7" index="8"'), "RIM_XML"),
    ("xml:base", _in(b"<ns0:Payload>", b'<ns0:Payload xml:base="http://x/">'), "RIM_XML"),
    ("xml:id", _in(b"<ns0:Payload>", b'<ns0:Payload xml:id="x">'), "RIM_XML"),
    ("a thousand elements", _in(b"<ns0:Payload>", b"<ns0:Payload>" + b"<a/>" * 1000), "RIM_XML"),
    ("deep nesting", lambda d: b"<a>" * 15_000 + b"</a>" * 15_000, "RIM_XML"),
    ("many attributes", lambda d: b"<a " + b" ".join(b'a%d=""' % n for n in range(9_000)) + b"/>", "RIM_SIGNATURE_FORM"),
    ("a huge file", lambda d: d + b" " * MAX_RIM, "RIM_TOO_LARGE"),
    ("a vast file", lambda d: b"<a>" + b"x" * (64 << 20) + b"</a>", "RIM_TOO_LARGE"),
    ("wrapping", _wrapped, "RIM_SIGNATURE_FORM RIM_DIGEST"),
    ("another payload before it", _moved, "RIM_DIGEST"),
    ("two signatures", _two_signatures, "RIM_SIGNATURE_FORM"),
    ("the signature elsewhere", _nested_signature, "RIM_SIGNATURE_FORM"),
    ("no signature", lambda d: _document().encode(), "RIM_SIGNATURE_FORM"),
    ("a signature of another namespace", lambda d: d.replace(b"2000/09/xmldsig#\"", b"2000/09/xmldsiG#\"", 1), "RIM_SIGNATURE_FORM"),
    ("a value changed", lambda d: d.replace(measured(7).hex().encode(), b"00" * 48), "RIM_DIGEST"),
    ("an alternative added", _in(b'index="7" active="True" alternatives="1"', b'index="7" active="True" alternatives="2"'), "RIM_DIGEST"),
    ("a namespace changed", _in(b"2015/schema.xsd", b"2016/schema.xsd"), "RIM_DIGEST"),
    ("a relative namespace", _in(b"<SoftwareIdentity ", b'<SoftwareIdentity xmlns:evil="x" '), "RIM_XML"),
    ("a namespace added", _in(b"<SoftwareIdentity ", b'<SoftwareIdentity xmlns:evil="urn:x" '), "RIM_DIGEST"),
    ("white space added", _in(b"<ns0:Payload>", b"<ns0:Payload> "), "RIM_DIGEST"),
    ("text behind the signature", _in(b"</ds:Signature>", b"</ds:Signature>x"), "RIM_DIGEST"),
    ("an element behind the signature", _in(b"</ds:Signature>", b"</ds:Signature><x/>"), "RIM_SIGNATURE_FORM"),
    ("SignedInfo changed", _in(b"<ds:SignedInfo>", b"<ds:SignedInfo> "), "RIM_SIGNATURE"),
    ("the signature cut", lambda d: re.sub(rb"<ds:SignatureValue>....", b"<ds:SignatureValue>", d), "RIM_SIGNATURE_FORM"),
    ("the signature changed", lambda d: re.sub(rb"<ds:SignatureValue>....", b"<ds:SignatureValue>AAAA", d), "RIM_SIGNATURE"),
    ("no base64", lambda d: re.sub(rb"<ds:SignatureValue>....", b"<ds:SignatureValue>????", d), "RIM_SIGNATURE_FORM"),
    ("an Id on the signature", _in(b"<ds:SignedInfo>", b'<ds:SignedInfo Id="x">'), "RIM_SCHEMA"),
    ("an Object in the signature", _in(b"<ds:KeyInfo>", b"<ds:Object/><ds:KeyInfo>"), "RIM_SIGNATURE_FORM"),
    ("a bare key", _in(b"<ds:X509Data>", b"<ds:KeyValue/><ds:X509Data>"), "RIM_SIGNATURE_FORM"),
    ("a key's name", _in(b"<ds:X509Data>", b"<ds:X509Data><ds:X509SubjectName/>"), "RIM_SIGNATURE_FORM"),
    ("KeyInfo elsewhere", _in(b"<ds:X509Data>", b'<ds:RetrievalMethod URI="http://127.0.0.1:1/"/><ds:X509Data>'), "RIM_SIGNATURE_FORM"),
    ("no certificates", lambda d: re.sub(rb"<ds:X509Data>.*</ds:X509Data>", b"<ds:X509Data></ds:X509Data>", d, flags=re.S), "RIM_SIGNATURE_FORM"),
]  # fmt: skip


@pytest.mark.parametrize(("attack", "checks"), [row[1:] for row in ATTACKS], ids=[row[0] for row in ATTACKS])
def test_attacks_on_a_signed_document(attack: Callable[[bytes], bytes], checks: str) -> None:
    data = attack(_good())
    tracemalloc.start()
    started = time.process_time()
    try:
        with refused(*checks.split()):
            _verify(data)
        spent, (_, peak) = time.process_time() - started, tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert spent < _SECONDS
    assert peak < _BYTES


FORMS: list[tuple[str, dict[str, str]]] = [
    ("a reference to a part", {'URI=""': 'URI="#x"'}),
    ("a reference elsewhere", {'URI=""': 'URI="http://127.0.0.1:1/"'}),
    ("no URI", {' URI=""': ""}),
    ("an Id on the reference", {'URI=""': 'URI="" Id="x"'}),
    ("two references", {"</ds:SignedInfo>": '<ds:Reference URI=""/></ds:SignedInfo>'}),
    ("no enveloped transform", {'<ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"/>': ""}),
    ("a transform added", {"</ds:Transforms>": '<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xpath-19991116"/></ds:Transforms>'}),
    ("XSLT for C14N", {'<ds:Transform Algorithm="http://www.w3.org/2006/12/xml-c14n11"/></ds:Transforms>': '<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xslt-19991116"/></ds:Transforms>'}),
    ("a parameter in a transform", {'xml-c14n11"/></ds:Transforms>': 'xml-c14n11"><ds:XPath>x</ds:XPath></ds:Transform></ds:Transforms>'}),
    ("C14N with comments", {'CanonicalizationMethod Algorithm="http://www.w3.org/2006/12/xml-c14n11"': 'CanonicalizationMethod Algorithm="http://www.w3.org/2006/12/xml-c14n11#WithComments"'}),
    ("SHA-1", {"2001/04/xmldsig-more#sha384": "2000/09/xmldsig#sha1"}),
    ("RSA", {"ecdsa-sha384": "rsa-sha384"}),
    ("HMAC", {"http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384": "http://www.w3.org/2000/09/xmldsig#hmac-sha1"}),
    ("an HMAC length", {'ecdsa-sha384"/>': 'ecdsa-sha384"><ds:HMACOutputLength>0</ds:HMACOutputLength></ds:SignatureMethod>'}),
]  # fmt: skip


@pytest.mark.parametrize("info", [row[1] for row in FORMS], ids=[row[0] for row in FORMS])
def test_forms_that_are_genuinely_signed_and_refused(info: dict[str, str]) -> None:
    with refused("RIM_SIGNATURE_FORM"):
        _verify(signed(vendor(), _document(), info=info))


SCHEMAS: list[tuple[str, Callable[[str], str]]] = [
    ("an attribute more", lambda d: d.replace('index="7"', 'index="7" also="8"')),
    ("an index twice", lambda d: d.replace('index="8"', 'index="7"').replace("Measurement_8", "Measurement_7")),
    ("an index that its name denies", lambda d: d.replace("Measurement_7", "Measurement_8")),
    ("an index with a sign", lambda d: d.replace('index="7"', 'index="+7"')),
    ("an index with a zero before it", lambda d: d.replace('index="7"', 'index="07"')),
    ("too few alternatives", lambda d: d.replace('alternatives="2"', 'alternatives="1"')),
    ("too many alternatives", lambda d: d.replace('alternatives="2"', 'alternatives="3"')),
    ("no alternatives", lambda d: d.replace('alternatives="2"', 'alternatives="0"')),
    ("another size", lambda d: d.replace('size="48"', 'size="32"', 1)),
    ("a short value", lambda d: d.replace(measured(7).hex(), measured(7).hex()[:-2])),
    ("no hexadecimal", lambda d: d.replace(measured(7).hex(), "g" * 96)),
    ("active maybe", lambda d: d.replace('active="True"', 'active="true"', 1)),
    ("nothing active", lambda d: d.replace('active="True"', 'active="False"')),
    ("another type", lambda d: d.replace('type="Measurement"', 'type="File"', 1)),
    ("two payloads", lambda d: d.replace("</ns0:Payload>", "</ns0:Payload><ns0:Payload/>")),
    ("no Meta", lambda d: re.sub("<ns0:Meta.*?/>", "", d)),
    ("text in the payload", lambda d: d.replace("<ns0:Payload>", "<ns0:Payload>text")),
    ("no version", lambda d: d.replace(f'colloquialVersion="{_VERSION}" ', "")),
    ("an indirect payload", lambda d: d.replace('PayloadType="direct"', 'PayloadType="indirect"')),
    ("another root", lambda d: d.replace("SoftwareIdentity", "SoftwareIdentitY")),
    ("a payload of another namespace", lambda d: d.replace("<ns0:Payload>", '<ns0:Payload xmlns:ns0="urn:x">')),
]


@pytest.mark.parametrize("change", [row[1] for row in SCHEMAS], ids=[row[0] for row in SCHEMAS])
def test_documents_that_are_genuinely_signed_and_no_manifest(change: Callable[[str], str]) -> None:
    document = change(_document())
    assert document != _document()
    with refused("RIM_SCHEMA"):
        _verify(signed(vendor(), document))


def test_chains() -> None:
    v = vendor()
    good = (v.rim_signer, v.rim_issuer, v.rim_authority, v.rim_root)
    since = NOW - dt.timedelta(days=9)
    impostor = certify(v.rim_signer.certificate.subject, None, since=since, ca=False)
    deep = certify(name("L5"), v.rim_issuer, since=since)
    below = certify(name("L6"), deep, since=since, ca=False)
    stranger = mint(now=NOW)
    for chain, check in (
        (good[1:], "RIM_CHAIN_LENGTH"),
        ((*good, v.rim_root), "RIM_CHAIN_LENGTH"),
        (good[:3], "CHAIN_ROOT_NOT_PINNED"),
        ((*good[:3], v.root), "CHAIN_ROOT_NOT_PINNED"),
        ((stranger.rim_signer, stranger.rim_issuer, stranger.rim_authority, stranger.rim_root), "CHAIN_ROOT_NOT_PINNED"),
        ((stranger.rim_signer, stranger.rim_issuer, stranger.rim_authority, v.rim_root), "CHAIN_SIGNATURE"),
        ((impostor, *good[1:]), "CHAIN_NAME"),
        ((v.rim_issuer, v.rim_authority, v.rim_root, v.rim_root), "CHAIN_ROLE"),
        ((below, deep, v.rim_issuer, v.rim_root), "CHAIN_ROLE"),
        ((good[1], good[0], *good[2:]), "CHAIN_ROLE"),
    ):  # fmt: skip
        with refused(check):
            _verify(signed(v, _document(), chain=chain))


def test_a_device_key_signs_no_manifest() -> None:
    v = vendor()
    with refused("CHAIN_ROOT_NOT_PINNED"):
        _verify(signed(v, _document(), chain=v.device().chain))
    with refused("RIM_SIGNATURE"):
        _verify(signed(v, _document(), key=v.device().chain[0].key))


@given(st.binary(max_size=400))
def test_any_bytes(data: bytes) -> None:
    """Property: no bytes at all raise anything else than an AttestError."""
    with pytest.raises(AttestError):
        _verify(data)


@given(st.data())
def test_any_change_of_a_good_manifest(data: st.DataObject) -> None:
    """Property: one byte changed is refused, or leaves the manifest as it was (white space in base64)."""
    good = bytearray(_GOOD)
    at = data.draw(st.integers(0, len(good) - 1))
    good[at] = data.draw(st.integers(1, 255).filter(lambda byte: byte != good[at]))
    try:
        rim = _verify(bytes(good))
    except AttestError:
        return
    assert (rim.golden, rim.version, rim.product) == (_RIM.golden, _RIM.version, _RIM.product)


_GOOD = _good()
_RIM = _verify(_GOOD)
