"""The machine is lost. From backup, published log and a recovery key the same deployment serves on, unforked."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.flow.test_serve import _made, _now_ms, _sealgate, serving, until
from tests.kbs.serve.deployment import Hands, Made


def _size(log: Path) -> int:
    return int((log / "checkpoint").read_text().splitlines()[1]) if (log / "checkpoint").exists() else 0


def _serve_once(made: Made, *, enrol: bool) -> None:
    """Serves for one person, and drains: what is stored then is published."""
    trust = ("--trust", str(made.directory / "trust.json"))
    out = str(made.config.parent / "alice")
    with serving(made) as served:
        workload = str(served.wait_for("^serving$")["workload"])
        if enrol:
            code = made.config.parent / "code"
            code.write_text(made.code("alice"))
            assert _sealgate("enrol", *trust, "--broker", workload, "--code-file", str(code), "--out", out) == 0
        assert _sealgate("login", *trust, "--broker", workload, "--key", f"{out}.key", "--cert", f"{out}.pem") == 0
        assert served.drain() == 0


def test_from_the_loss_of_a_machine_to_serving_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made, hands = _made(tmp_path, 1), Hands(now=_now_ms())
    folder, site = tmp_path, made.directory
    config, key = ("--config", str(made.config)), ("--recovery-key", str(folder / "recovery-1.key"))
    state = ("--trust", str(folder / "trust.json"), "--state", str(folder / "auditor.state"))
    shutil.copy(site / "trust.json", folder / "trust.json")
    early, last, mirror = folder / "early", folder / "last", folder / "mirror"
    hands.json("backup", *config, "--out", str(early))
    _serve_once(made, enrol=True)
    hands.json("backup", *config, "--out", str(last))
    shutil.copytree(site / "log", mirror)
    assert _sealgate("audit", "verify", str(mirror), *state) in {0, 12}

    shutil.rmtree(site)  # the machine, with its root key and its log
    site.mkdir(mode=0o700)
    put_back = ("restore", "--directory", str(site), "--published", str(mirror), "--backup")
    assert hands.run(*put_back, str(early))[0] == 10  # behind: a fork if it went on from there
    with serving(made) as refused:
        assert refused.finish() != 0
    assert _size(site / "log") == 0

    shutil.rmtree(site)
    site.mkdir(mode=0o700)
    assert hands.json("backup", "verify", str(last), *key)["whole"]
    assert hands.json(*put_back, str(last))["frozen"] is None
    hands.json("custody", "recover", *config, *key)
    assert hands.json("custody", "drill", *config, *key)["keys_opened"] == 6
    _serve_once(made, enrol=False)  # the person is known, with the certificates of before
    until(lambda: _size(site / "log") > _size(mirror))
    capsys.readouterr()
    assert _sealgate("audit", "verify", str(site / "log"), *state) in {0, 12}  # it continues what the auditor had seen
    assert "fork" not in capsys.readouterr().out.lower()
