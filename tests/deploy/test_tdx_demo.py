"""`make demo TEE=tdx` does what it says, and says what it must."""

from __future__ import annotations

import pytest

from deploy.demo.run import main


def test_a_td_boots_and_what_it_must_not_be_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--tee", "tdx"]) == 0, capsys.readouterr()
    told = capsys.readouterr().out
    said = [
        "released tenants/acme/assets/llm-weights/keyVersions/1",
        "ACCESS_DENIED",
        "rtmr2",
        "DEBUG_ENABLED",
        "audit verify",
    ]
    places = [told.index(word) for word in said]
    assert places == sorted(places)
    assert "Traceback" not in told


def test_another_tee_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--tee", "sgx"]) == 2
    assert capsys.readouterr().err == "there is no TEE=sgx; there are: snp, tdx, azure-snp, azure-tdx\n"


@pytest.mark.parametrize("arguments", [["--tee", "tdx", "--gpus", "8"], ["--tee", "tdx", "--break", "debug"]])
def test_one_story_at_a_time(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: make demo" in capsys.readouterr().err
