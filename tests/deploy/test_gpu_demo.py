"""`make demo GPUS=8` does what it says, and says what it must."""

from __future__ import annotations

import pytest

from deploy.demo.run import main


def test_eight_gpus_boot_and_a_swapped_one_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--gpus", "8"]) == 0, capsys.readouterr()
    told = capsys.readouterr().out
    said = [
        "released tenants/acme/assets/llm-weights/keyVersions/1",
        "the GPUs are ready",
        "BINDING_MISMATCH",
        "REPORT_DATA_MISMATCH",
        "ACCESS_DENIED",
        "FAIL  TOPOLOGY_GPUS",
    ]
    places = [told.index(word) for word in said]
    assert places == sorted(places)
    assert "Traceback" not in told


@pytest.mark.parametrize("arguments", [["--gpus", "4"], ["--gpus", "8", "--break", "debug"]])
def test_what_cannot_be_meant_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: make demo" in capsys.readouterr().err
