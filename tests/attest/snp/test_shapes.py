"""The shapes of evidence: row E19 for certificate tables, and the JSON of Confidential Containers."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attest.errors import AttestError
from attest.snp.shapes import MAX_EVIDENCE, read_evidence
from attest.snp.table import read_table
from tests.attest.contract import EvidenceContract
from tests.attest.refusal import refused
from tests.attest.snp.made import DATA, chip, judge, snp_of
from tests.makers import amd

VCEK, ASK, ARK = chip().certificates
VLEK = chip(kind="VLEK").certificate
REPORT = chip().report(DATA)
TABLE = amd.cert_table([("VCEK", VCEK), ("ASK", ASK), ("ARK", ARK)])


def _entry(guid: str, offset: int, length: int) -> bytes:
    return amd.GUIDS[guid] + struct.pack("<II", offset, length)


def _one(offset: int, length: int) -> bytes:
    return _entry("VCEK", offset, length) + bytes(24) + VCEK


def _two(first: tuple[int, int], second: tuple[int, int]) -> bytes:
    return _entry("ASK", *first) + _entry("VCEK", *second) + bytes(24) + VCEK + ASK


SIZE = len(VCEK)
# E19: what is wrong with the table
BAD_TABLES: dict[str, bytes] = {
    "empty": b"",
    "half an entry": bytes(12),
    "no terminator": _entry("VCEK", 24, 0),
    "no terminator, cut behind entries": TABLE[:72],
    "a terminator that is not zero": _entry("VCEK", 48, SIZE) + bytes(16) + b"\1" + bytes(7) + VCEK,
    "offset in the header": _one(24, SIZE),
    "offset 0": _one(0, SIZE),
    "length 0": _one(48, 0),
    "end behind the table": _one(48, SIZE + 1),
    "offset behind the table": _one(1 << 20, 1),
    "offset + length wraps 32 bits": _one(0xFFFF_FFF0, 0x10 + 48),
    "length wraps 32 bits": _one(48, 0xFFFF_FFFF),
    "the same bytes twice": _entry("ASK", 72, SIZE) + _entry("VCEK", 72, SIZE) + bytes(24) + VCEK,
    "the whole table as a certificate": _one(0, 48 + SIZE),
    "an overlap of one byte": _two((72, SIZE), (72 + SIZE - 1, 10)),
    "a GUID twice": _entry("VCEK", 72, SIZE) + _entry("VCEK", 72 + SIZE, SIZE) + bytes(24) + VCEK + VCEK,
    "a VCEK and a VLEK and nothing else": amd.cert_table([("VCEK", VCEK), ("VLEK", VLEK)]),
    "a VCEK and a VLEK": amd.cert_table([("VCEK", VCEK), ("VLEK", VLEK), ("ASK", ASK)]),
    "bytes that no entry covers": amd.cert_table([("VCEK", VCEK)]) + b"\1",
    "bytes between entries": _entry("VCEK", 49, SIZE) + bytes(24) + b"\1" + VCEK,
    "17 entries": amd.cert_table([(bytes([n + 1]) * 16, b"x") for n in range(17)]),
    "an unknown entry out of place": bytes([9]) * 16 + struct.pack("<II", 0, 5) + bytes(24) + VCEK,
}


@pytest.mark.parametrize("case", BAD_TABLES)
def test_e19_bad_tables(case: str) -> None:
    with refused("CERT_TABLE"):
        read_table(BAD_TABLES[case])


def test_a_table() -> None:
    assert read_table(TABLE) == (VCEK, ASK, ARK)
    assert read_table(bytes(24)) == ()
    assert read_table(amd.cert_table([(bytes([n + 1]) * 16, b"x") for n in range(16)])) == ()
    assert read_table(TABLE + bytes(4096)) == (VCEK, ASK, ARK)
    with_crl = amd.cert_table([("CRL", chip().amd.crl()), (b"\1" * 16, b"x"), ("VLEK", VLEK)])
    assert read_table(with_crl) == (VLEK,)
    with refused("CERT_MALFORMED"):
        read_table(amd.cert_table([("VCEK", b"no certificate")]))


def test_e20_a_table_with_a_vlek_does_not_serve_a_vcek_report() -> None:
    table = amd.cert_table([("VLEK", VLEK), ("ASK", chip().amd.asvk.der), ("ARK", ARK)])
    evidence = read_evidence(REPORT + table)
    with refused("VEK_TYPE_MISMATCH"):
        judge(evidence.report, evidence.certificates, chip().amd)


def test_a_report_alone_and_with_a_table() -> None:
    assert read_evidence(REPORT).certificates == ()
    evidence = read_evidence(REPORT + TABLE)
    assert (evidence.report, evidence.certificates) == (REPORT, (VCEK, ASK, ARK))


@pytest.mark.parametrize("data", [b"", b"x", REPORT[:-1], REPORT + b"\0", REPORT + bytes(23)])
def test_what_is_too_short_or_a_little_too_long(data: bytes) -> None:
    with refused("SNP_LENGTH"):
        read_evidence(data)


def test_what_is_too_large() -> None:
    with refused("EVIDENCE_SIZE"):
        read_evidence(bytes(MAX_EVIDENCE + 1))


class TestTableContract(EvidenceContract):
    """A report with its table, verified; hosts hand out whole pages."""

    padding = True

    def good(self) -> bytes:
        return REPORT + TABLE

    def judge(self, data: bytes) -> object:
        evidence = read_evidence(data)
        return judge(evidence.report, evidence.certificates, chip().amd)

    def lengths(self) -> range:
        return range(0, len(self.good()), 7)


def _tcb(raw: bytes, *, fmc: bool) -> dict[str, int | None]:
    if fmc:
        return {"fmc": raw[0], "bootloader": raw[1], "tee": raw[2], "snp": raw[3], "microcode": raw[7]}
    return {"fmc": None, "bootloader": raw[0], "tee": raw[1], "snp": raw[6], "microcode": raw[7]}


def coco(made: amd.Chip, version: int) -> dict[str, Any]:
    """What an agent of Confidential Containers makes of a report."""
    report = made.report(DATA, version=version)
    names = {"signature_algo": "sig_algo", "platform_info": "plat_info"}
    fields: dict[str, Any] = {}
    for name, (offset, size) in amd.FIELDS.items():
        raw = report[offset : offset + size]
        if name.endswith("_tcb"):
            fields[name] = _tcb(raw, fmc=made.amd.product == "Turin")
        elif name.endswith("_version"):
            fields[name.removesuffix("_version")] = {"build": raw[0], "minor": raw[1], "major": raw[2]}
        elif name == "cpuid":
            fields |= dict(zip(("cpuid_fam_id", "cpuid_mod_id", "cpuid_step"), raw, strict=True)) if version > 2 else {}
        elif name.endswith("mit_vector"):
            fields |= {name: int.from_bytes(raw, "little")} if version > 4 else {name: None}
        elif not name.startswith("reserved"):
            fields[names.get(name, name)] = int.from_bytes(raw, "little") if size <= 8 else list(raw)
    fields["signature"] = {"r": list(report[0x2A0 : 0x2A0 + 72]), "s": list(report[0x2A0 + 72 : 0x2A0 + 144])}
    chain = [{"cert_type": "VCEK", "data": list(der)} for der in made.certificates]
    return {"attestation_report": fields, "cert_chain": chain}


@pytest.mark.parametrize(("product", "version"), [("Milan", 2), ("Milan", 3), ("Genoa", 3), ("Turin", 5)])
def test_json_is_put_together_again(product: str, version: int) -> None:
    made = chip(product)
    evidence = read_evidence(b" \n" + json.dumps(coco(made, version)).encode())
    assert snp_of(judge(evidence.report, evidence.certificates, made.amd)).version == version


def _changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    document = coco(chip(), 3)
    change(document)
    return json.dumps(document).encode()


def _field(name: str, value: object) -> bytes:
    return _changed(lambda document: document["attestation_report"].update({name: value}))


BAD_JSON: dict[str, bytes] = {
    "no JSON": b"{",
    "no UTF-8": b'{"\xff": 1}',
    "nothing inside": b"{}",
    "a key twice": json.dumps(coco(chip(), 3)).encode()[:-1] + b', "cert_chain": []}',
    "an unknown key": _changed(lambda document: document.update(x=1)),
    "an unknown field": _field("new_field", 1),
    "a field missing": _changed(lambda document: document["attestation_report"].pop("policy")),
    "a report that is a list": b'{"attestation_report": []}',
    "a number below zero": _field("guest_svn", -1),
    "a number too large": _field("guest_svn", 1 << 32),
    "a number with a point": _field("policy", 1.0),
    "true for a number": _field("vmpl", True),
    "null for a number": _field("vmpl", None),
    "bytes too few": _field("report_data", [0] * 63),
    "bytes too many": _field("report_data", [0] * 65),
    "bytes above 255": _field("report_data", [256] * 64),
    "bytes as text": _field("report_data", "00" * 64),
    "a TCB without a component": _field("reported_tcb", {"bootloader": 1, "tee": 1, "snp": 1}),
    "a TCB with null": _field("reported_tcb", {"bootloader": 1, "tee": 1, "snp": 1, "microcode": None}),
    "a certificate that is no object": _changed(lambda document: document.update(cert_chain=[1])),
    "17 certificates": _changed(lambda document: document.update(cert_chain=document["cert_chain"][:1] * 17)),
    "a chain that is an object": _changed(lambda document: document.update(cert_chain={"a": 1})),
    "deeply nested": b'{"attestation_report":' + b"[" * 100_000,
}


@pytest.mark.parametrize("case", BAD_JSON)
def test_bad_json(case: str) -> None:
    with refused("EVIDENCE_JSON"):
        read_evidence(BAD_JSON[case])


def test_json_without_certificates() -> None:
    document = coco(chip(), 3)
    del document["cert_chain"]
    assert read_evidence(json.dumps(document).encode()).certificates == ()


def test_a_certificate_in_json_that_is_none() -> None:
    with refused("CERT_MALFORMED"):
        read_evidence(_changed(lambda document: document["cert_chain"][0].update(data=[])))


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200), st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)), max_size=4))
def test_any_table_is_read_or_refused(noise: bytes, places: list[tuple[int, int]]) -> None:
    header = b"".join(bytes([n + 1]) * 16 + struct.pack("<II", *place) for n, place in enumerate(places))
    for data in (noise, header + bytes(24) + noise, header + noise):
        try:
            assert read_table(data) == ()
        except AttestError:
            continue  # any other exception fails the test


@pytest.mark.parametrize("byte", [-1, 256, 1.5, True, "1", None, [1]])
def test_a_byte_in_json_is_a_whole_number_from_0_to_255(byte: object) -> None:
    document = coco(chip(), 3)
    document["attestation_report"]["report_data"][5] = byte
    with refused("EVIDENCE_JSON"):
        read_evidence(json.dumps(document).encode())
