"""Collateral out of a directory: what is read, what is refused, and that lying there makes nothing trusted."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from attest.errors import AttestError
from attest.evidence import SnpEvidence
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
    assert (len(shelf.collateral().certificates), len(shelf.collateral().crls)) == (2, 1)
    evidence = SnpEvidence(report=chip.report(DATA), certificates=chip.certificates[:1])
    verified = verify(evidence, shelf.collateral(), VENDOR.anchors, report_data=DATA, now=NOW, revocation="required")
    assert shelf.kept(evidence) is None
    shelf.keep(evidence, verified.kept)
    assert shelf.kept(evidence) == verified.kept


def test_what_lies_there_is_not_trusted_for_it(tmp_path: Path) -> None:
    _lay(tmp_path, OTHER)
    shelf, chip = Shelf.from_directory(tmp_path), OTHER.chip()
    evidence = SnpEvidence(report=chip.report(DATA), certificates=chip.certificates)
    with pytest.raises(AttestError):
        verify(evidence, shelf.collateral(), VENDOR.anchors, report_data=DATA, now=NOW, revocation="required")


def test_what_cannot_be_read_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "junk.der").write_bytes(b"junk")
    with refused("CERT_MALFORMED"):
        Shelf.from_directory(tmp_path)
    (tmp_path / "junk.der").write_bytes(bytes((1 << 20) + 1))
    with pytest.raises(CollateralUnreadable, match="larger"):
        Shelf.from_directory(tmp_path)


def test_the_document_says_which_collateral_it_was(tmp_path: Path) -> None:
    _lay(tmp_path, VENDOR)
    first = Shelf.from_directory(tmp_path).document()
    assert Shelf.from_directory(tmp_path).document() == first
    (tmp_path / "milan.crl").unlink()
    assert Shelf.from_directory(tmp_path).document() != first
