"""What evidence has for a reference value: each register under its name there, and none that is a paravisor's own."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from attest.errors import AttestError
from attest.evidence import SnpEvidence, TdxEvidence
from attest.registers import registers_of
from tests.attest.azure.made import NONCE, evidence, td_evidence
from tests.attest.snp.made import DATA, chip
from tests.attest.tdx.made import platform
from tests.makers import azure
from tests.makers.quote import SGX, Form

MINE, CONFIG = b"\7" * 32, b"\6" * 48
RTMRS: dict[str, Any] = {f"rtmr{number}": bytes([number + 1]) * 48 for number in range(4)}


def test_of_each_platform_by_its_names() -> None:
    report = chip().report(DATA, host_data=MINE)
    assert registers_of(SnpEvidence(report=report)) == {"host_data": MINE}
    quote = platform().quote(DATA, mr_config_id=CONFIG, **RTMRS)
    assert registers_of(TdxEvidence(quote=quote)) == {"mr_config_id": CONFIG, **RTMRS}


def test_of_a_guest_under_a_paravisor() -> None:
    """RTMRs are the paravisor's there, the same for every guest; PCRs go by the numbers that were quoted."""
    pcrs = {f"pcr[{number}]": value for number, value in enumerate(azure.PCR_VALUES)}
    assert registers_of(evidence(host_data=MINE)) == {"host_data": MINE, **pcrs}
    assert registers_of(td_evidence(mr_config_id=CONFIG, **RTMRS)) == {"mr_config_id": CONFIG, **pcrs}
    some = evidence(quote=azure.quote(NONCE, selected=(4, 7, 23)))
    assert list(registers_of(some)) == ["host_data", "pcr[4]", "pcr[7]", "pcr[23]"]
    assert registers_of(some)["pcr[23]"] == azure.PCR_VALUES[23]


def test_what_is_no_evidence_has_none() -> None:
    good = evidence()
    for bad in (
        SnpEvidence(report=b""),
        TdxEvidence(quote=b""),
        dataclasses.replace(good, hcl_report=b""),
        dataclasses.replace(good, pcrs=good.pcrs[1:]),
    ):
        with pytest.raises(AttestError):
            registers_of(bad)
    assert registers_of(TdxEvidence(quote=platform().quote(DATA, tee="SGX", form=Form(version=3, tee_type=SGX)))) == {}
