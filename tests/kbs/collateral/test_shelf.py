"""Collateral out of a directory: what is read, what is refused, and that lying there makes nothing trusted."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from pathlib import Path

import pytest

from attest.errors import AttestError, NotAuthentic
from attest.evidence import Collateral, SnpEvidence
from attest.verify import verify
from kbs.collateral.shelf import CollateralUnreadable, Shelf
from tests.attest.refusal import refused
from tests.makers import amd

NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
VENDOR, OTHER = amd.mint(now=NOW), amd.mint("Genoa", now=NOW)
DATA = bytes(range(64))


def _lay(folder: Path, vendor: amd.Amd) -> None:
    _, ask, ark = vendor.chip().certificates
    (folder / "ask.der").write_bytes(ask)
    (folder / "ark.der").write_bytes(ark)
    (folder / "milan.crl").write_bytes(vendor.crl())
    (folder / "below").mkdir()


def test_a_report_with_its_vcek_alone_is_verified_with_what_lies_there(tmp_path: Path) -> None:
    _lay(tmp_path, VENDOR)
    shelf, chip = Shelf.from_directory(tmp_path), VENDOR.chip()
    assert (len(shelf.collateral.certificates), len(shelf.collateral.crls)) == (2, 1)
    evidence = SnpEvidence(report=chip.report(DATA), certificates=chip.certificates[:1])
    found = shelf.at_hand(evidence, 0)
    assert found.kept is None
    verified = verify(evidence, found.collateral, VENDOR.anchors, report_data=DATA, now=NOW, revocation="required")
    used = shelf.keep(evidence, found, verified.kept)
    assert shelf.at_hand(evidence, 0).kept == verified.kept
    pieces = {hashlib.sha256(blob).hexdigest() for blob in used.blobs[1:]}
    document = json.loads(used.blobs[0])
    assert hashlib.sha256(used.blobs[0]).digest() == used.digest
    assert pieces == {*document["certificates"], *document["crls"]}
    assert len(pieces) == 3


def test_what_is_known_to_be_stored_is_not_stored_again(tmp_path: Path) -> None:
    _lay(tmp_path, VENDOR)
    shelf = Shelf.from_directory(tmp_path)
    kept = {}
    for number in (1, 2):
        chip = VENDOR.chip(number)
        evidence = chip.evidence(DATA)
        found = shelf.at_hand(evidence, 0)
        verified = verify(evidence, found.collateral, VENDOR.anchors, report_data=DATA, now=NOW, revocation="required")
        used = shelf.keep(evidence, found, verified.kept)
        kept[number] = used
        shelf.stored(used)
    assert kept[1].digest == kept[2].digest  # each brought its certificates; the list is the same
    assert (len(kept[1].blobs), kept[2].blobs) == (2, ())


async def test_there_is_nothing_to_gather(tmp_path: Path) -> None:
    evidence = VENDOR.chip().evidence(DATA)
    failure = NotAuthentic("VEK_MISSING", "certificates", expected="one", got="none")
    assert await Shelf.from_directory(tmp_path).gather(evidence, failure, report_data=DATA, now=0) is None


def test_what_lies_there_is_not_trusted_for_it(tmp_path: Path) -> None:
    _lay(tmp_path, OTHER)
    shelf, chip = Shelf.from_directory(tmp_path), OTHER.chip()
    evidence = SnpEvidence(report=chip.report(DATA), certificates=chip.certificates)
    with pytest.raises(AttestError):
        verify(evidence, shelf.collateral, VENDOR.anchors, report_data=DATA, now=NOW, revocation="required")


def test_what_cannot_be_read_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "junk.der").write_bytes(b"junk")
    with refused("CERT_MALFORMED"):
        Shelf.from_directory(tmp_path)
    (tmp_path / "junk.der").write_bytes(bytes((1 << 20) + 1))
    with pytest.raises(CollateralUnreadable, match="larger"):
        Shelf.from_directory(tmp_path)


def test_the_document_says_which_collateral_it_was(tmp_path: Path) -> None:
    _lay(tmp_path, VENDOR)
    first = Shelf.from_directory(tmp_path).ready().digest
    assert Shelf.from_directory(tmp_path).ready().digest == first
    (tmp_path / "milan.crl").unlink()
    assert Shelf.from_directory(tmp_path).ready().digest != first


def test_an_answer_of_the_rim_service_lies_there_as_it_came(tmp_path: Path) -> None:
    document = {
        "id": "NV_GPU_DRIVER_GH100_570.172.08",
        "rim": "PGEvPg==",
        "sha256": "not looked at",
        "rim_format": "TCG",
    }
    (tmp_path / "driver.json").write_text(json.dumps(document))
    assert Shelf.from_directory(tmp_path).collateral == Collateral(rims=(b"<a/>",))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"rim": 1}', '{"rim": "PGEvPg"}', '{"rim": "PGEv Pg=="}', '"rim"'])
def test_what_is_no_such_answer_stops_the_start(text: str, tmp_path: Path) -> None:
    (tmp_path / "driver.json").write_text(text)
    with pytest.raises(CollateralUnreadable, match=r"driver\.json is no answer of NVIDIA's RIM service"):
        Shelf.from_directory(tmp_path)


def test_lists_responses_and_manifests_are_told_by_their_names(tmp_path: Path) -> None:
    for name in ("a.crl", "b.ocsp", "c.xml", "d.swidtag"):
        (tmp_path / name).write_bytes(name.encode())
    found = Shelf.from_directory(tmp_path)
    assert found.collateral == Collateral(crls=(b"a.crl",), ocsp=(b"b.ocsp",), rims=(b"c.xml", b"d.swidtag"))
    assert set(found.ready().blobs[1:]) == {b"a.crl", b"b.ocsp", b"c.xml", b"d.swidtag"}
