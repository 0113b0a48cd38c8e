"""Collateral in every spelling that tools use: read to the same bytes, or refused with the member's name."""

from __future__ import annotations

import base64
import datetime as dt
import functools
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from attest.anchors import BUILT_IN
from attest.errors import Malformed
from attest.evidence import TdxCollateral
from attest.tdx.collateral_json import MAX_COLLATERAL, read_collateral
from attest.tdx.verify import verify_quote
from clients.cli.evidence_forms import decoded
from tests.attest.refusal import refused
from tests.attest.tdx.made import DATA, collateral, intel, judge, platform
from tests.attest.tdx.test_vectors import CASES, FOLDER
from tests.makers.qvl import quote_collateral
from tests.vectors import needs_vectors

Document = dict[str, Any]
LISTS, BODIES = ("pck_crl", "root_ca_crl"), ("tcb_info", "qe_identity")
OBJECTS = {"tcb_info": "tcbInfo", "qe_identity": "enclaveIdentity"}


def _whole(given: Document) -> Document:
    """As Intel's library takes it: whole bodies, no signatures beside them."""
    bodies = {
        name: f'{{"{OBJECTS[name]}":{given[name]},"signature":"{given[f"{name}_signature"]}"}}' for name in BODIES
    }
    return {k: v for k, v in given.items() if not k.endswith("_signature")} | bodies


def _each(given: Document, how: Callable[[bytes], Any], *names: str) -> Document:
    return given | {name: how(bytes.fromhex(given[name]) if name in LISTS else given[name].encode()) for name in names}


def _pem(der: bytes) -> str:
    return x509.load_der_x509_crl(der).public_bytes(Encoding.PEM).decode()


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _spliced(given: Document) -> bytes:
    """Bodies as objects, byte for byte: what a script makes of the answers of the PCS."""
    bodies = {name: _whole(given)[name] for name in BODIES}
    rest = {k: v for k, v in given.items() if k not in OBJECTS and not k.endswith("_signature")}
    objects = "".join(f', "{name}": {body}' for name, body in bodies.items())
    return (json.dumps({"version": 3} | rest)[:-1] + objects + "}").encode()


# name: what is written, of collateral as dcap-qvl has it
SHAPES: dict[str, Callable[[Document], Document | bytes]] = {
    "dcap-qvl: texts and hexadecimal": lambda g: g,
    "dcap-qvl: no chain of the PCK": lambda g: {k: v for k, v in g.items() if k != "pck_certificate_chain"},
    "dcap-qvl: no chain of the PCK, said": lambda g: g | {"pck_certificate_chain": None},
    "older dcap-qvl: lists of numbers": lambda g: _each(g, list, *LISTS)
    | {f"{name}_signature": list(bytes.fromhex(g[f"{name}_signature"])) for name in BODIES},
    "a proxy's wrapper": lambda g: {"quote_collateral": g},
    "lists as PEM": lambda g: _each(g, _pem, *LISTS),
    "lists as base64 of DER": lambda g: _each(g, _b64, *LISTS),
    "lists as base64 of hexadecimal": lambda g: _each(g, lambda der: _b64(der.hex().encode()), *LISTS),
    "lists as base64 of PEM": lambda g: _each(g, lambda der: _b64(_pem(der).encode()), *LISTS),
    "lists as bytes": lambda g: _each(g, list, *LISTS),
    "signed objects as objects": lambda g: (
        json.dumps({k: v for k, v in g.items() if k not in OBJECTS})[:-1]
        + "".join(f', "{name}": {g[name]}' for name in OBJECTS)
        + "}"
    ).encode(),
    "Intel's library: whole bodies": _whole,
    "Intel's library: whole bodies, its version and NULs": lambda g: {
        k: f"{v}\0" for k, v in _whole(g).items()
    } | {"major_version": 3, "minor_version": 1, "tee_type": 0x81},
    "Intel's library: bytes throughout": lambda g: _each(_whole(g), list, *LISTS, *BODIES, "tcb_info_issuer_chain"),
    "an appraisal's token: base64 throughout": lambda g: _each(
        _whole(g), _b64, *BODIES, *(k for k in g if k.endswith("issuer_chain"))
    ) | _each({k: g[k] for k in LISTS}, lambda der: _b64(der.hex().encode()), *LISTS),
    "a contract's call: hexadecimal throughout": lambda g: {
        k: "0x" + (v if k in LISTS else v.encode().hex()) for k, v in _whole(g).items()
    },
    "a script's: bodies as objects": _spliced,
}  # fmt: skip


def _read(shape: str, given: TdxCollateral) -> TdxCollateral:
    made = SHAPES[shape](quote_collateral(given))
    return read_collateral(made if isinstance(made, bytes) else json.dumps(made).encode())


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_says_the_same(shape: str) -> None:
    read = _read(shape, collateral())
    assert (read.tcb_info, read.qe_identity) == (collateral().tcb_info, collateral().qe_identity)
    judge(platform().quote(DATA), read)


def _ending_in_zero(make: Callable[[], bytes]) -> bytes:
    """One of two hundred and fifty-six lists ends in a zero byte, the last of its signature."""
    return next(each for each in (make() for _ in range(20_000)) if each.endswith(b"\0"))


@functools.cache
def _all_ending_in_zero() -> TdxCollateral:
    vendor = intel()
    root = _ending_in_zero(lambda: vendor.crl("root"))
    return vendor.collateral(pck_crl=_ending_in_zero(vendor.crl), root_ca_crl=root)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_zero_that_ends_a_list_is_its_own(shape: str) -> None:
    judge(platform().quote(DATA), _read(shape, _all_ending_in_zero()))


def test_a_zero_that_ends_a_signature_is_its_own() -> None:
    given = quote_collateral(collateral())
    signatures = {f"{name}_signature": [*bytes(range(1, 64)), 0] for name in BODIES}
    read = read_collateral(json.dumps(given | signatures).encode())
    for body in (read.tcb_info, read.qe_identity):
        assert body.endswith(b'"%s"}' % bytes([*range(1, 64), 0]).hex().encode())


@needs_vectors(len(SHAPES))
@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_of_what_was_captured(shape: str) -> None:
    """Real collateral in each spelling: the same bytes, the same verdict on the same quote."""
    path, run = next((p, r) for p, r in CASES.values() if p == "tdx/Phala-Network-dcap-qvl/tdx_quote")
    given = read_collateral((FOLDER / "tdx/derived/bundles" / run["bundle"]).read_bytes())
    read = _read(shape, given)
    assert (read.tcb_info, read.qe_identity) == (given.tcb_info, given.qe_identity)
    now = dt.datetime.fromtimestamp(run["now"], dt.UTC)
    quote = decoded((FOLDER / path).read_bytes())
    found = verify_quote(quote, [read], BUILT_IN, now=now, revocation_required=True)
    assert found.claims.tcb_verdict.status.name == run["intel_style"]["status"]


@needs_vectors(4)
@pytest.mark.parametrize(
    "name", ["sgx_quote", "tdx_quote", "tdx_quote_outdated", "near-gas/quote"], ids=lambda name: name.replace("/", " ")
)
def test_as_dcap_qvl_wrote_it(name: str) -> None:
    read = read_collateral((FOLDER / f"tdx/Phala-Network-dcap-qvl/{name}_collateral.json").read_bytes())
    assert read.tcb_info.startswith(b'{"tcbInfo":{')
    assert read.pck_crl[:1] + read.root_ca_crl[:1] == b"\x30\x30"


WRONG: dict[str, tuple[Callable[[Document], Document], str]] = {
    "a member is missing": (lambda g: {k: v for k, v in g.items() if k != "pck_crl"}, "collateral"),
    "a member that nobody knows": (lambda g: g | {"more": ""}, "collateral"),
    "a list that is none": (lambda g: g | {"pck_crl": "zz"}, "collateral.pck_crl"),
    "a list of base64 of nothing": (lambda g: g | {"root_ca_crl": "AAAA"}, "collateral.root_ca_crl"),
    "numbers that are no bytes": (lambda g: g | {"pck_crl": [256]}, "collateral.pck_crl"),
    "texts among numbers": (lambda g: g | {"pck_crl": ["a"]}, "collateral.pck_crl"),
    "a number": (lambda g: g | {"tcb_info_issuer_chain": 1}, "collateral.tcb_info_issuer_chain"),
    "an object for a chain": (lambda g: g | {"tcb_info_issuer_chain": {}}, "collateral.tcb_info_issuer_chain"),
    "a signature that is none": (lambda g: g | {"tcb_info_signature": '"}'}, "collateral.tcb_info_signature"),
    "half a surrogate": (lambda g: g | {"tcb_info": "\ud800"}, "collateral.tcb_info"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_collateral_says_where(case: str) -> None:
    change, path = WRONG[case]
    with pytest.raises(Malformed, match="COLLATERAL_FORMAT") as caught:
        read_collateral(json.dumps(change(quote_collateral(collateral()))).encode())
    assert caught.value.path == path


def test_a_signature_over_other_bytes_is_none() -> None:
    """An object written anew is not what was signed: it is read, and refused where signatures are checked."""
    given = quote_collateral(collateral())
    pretty = {**given, "tcb_info": json.dumps(json.loads(given["tcb_info"]), indent=1)}
    with refused("TCBINFO_SIGNATURE"):
        judge(platform().quote(DATA), read_collateral(json.dumps(pretty).encode()))


def test_a_file_of_any_size() -> None:
    for data in (b"", b"[]", b"nonsense", b"\xff", b" " * (MAX_COLLATERAL + 1), b'{"a":' * 100_000):
        with refused("COLLATERAL_FORMAT"):
            read_collateral(data)
