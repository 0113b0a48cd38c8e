"""`make demo TEE=azure-snp` and `TEE=azure-tdx` do what they say, and say what they must."""

from __future__ import annotations

import pytest

from deploy.demo.run import main


@pytest.mark.parametrize("platform", ["azure-snp", "azure-tdx"])
def test_a_vm_boots_and_what_started_something_else_is_refused(
    platform: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--tee", platform]) == 0, capsys.readouterr()
    told = capsys.readouterr().out
    said = [
        "released tenants/acme/assets/llm-weights/keyVersions/1",
        "PCR 4 differs",
        "pcr[4]",
        "PCR 7 differs",
        "pcr[7]",
        "audit verify",
    ]
    places = [told.index(word) for word in said]
    assert places == sorted(places)
    assert "Traceback" not in told
