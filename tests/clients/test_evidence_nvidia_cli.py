"""`sealgate evidence --type nvidia`: verdicts, exit codes and what is printed, through the command's own entry."""

from __future__ import annotations

import base64
import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest

from clients.cli.main import Doors, main
from tests.makers.nvidia import Device, hgx, measured, mint
from tests.makers.nvidia_rim import manifests
from tests.vectors import VECTORS, needs_vectors

NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
NONCE = bytes(range(32))
VENDOR = mint(now=NOW)
REAL = (VECTORS or Path()) / "nvidia"


class Run:
    """The command, in a directory of its own, with the throwaway root in the place of NVIDIA's."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.capsys = capsys

    def file(self, name: str, data: bytes | str | object) -> str:
        path = self.folder / name
        text = data if isinstance(data, (bytes, str)) else json.dumps(data)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    def __call__(self, action: str, *arguments: object) -> tuple[int, str, str]:
        code = main(["evidence", action, "--type", "nvidia", *map(str, arguments)], Doors(now=NOW))
        out, err = self.capsys.readouterr()
        assert "Traceback" not in out + err
        return code, out, err

    def json(self, action: str, *arguments: object) -> tuple[int, dict[str, Any]]:
        code, out, _ = self(action, *arguments, "--json")
        document = json.loads(out)
        assert isinstance(document, dict)
        return code, document


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(tmp_path, capsys)


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command itself has no way to name another root."""
    monkeypatch.setattr("attest.anchors.BUILT_IN", VENDOR.anchors)


def _sdk(*devices: Device, **report: Any) -> list[dict[str, str]]:
    return [
        {
            "arch": "LS10" if device.chip == "LS_10" else "HOPPER",
            "evidence": base64.b64encode(device.report(NONCE, **report)).decode(),
            "certificate": base64.b64encode(device.pem).decode(),
            "nonce": NONCE.hex(),
        }
        for device in devices
    ]


@pytest.mark.usefixtures("simulated")
def test_one_report_with_all_there_is(run: Run) -> None:
    device = VENDOR.device()
    report, chain = run.file("r.txt", device.report(NONCE).hex()), run.file("c.pem", device.pem)
    rims = [run.file(f"rim{n}.xml", data) for n, data in enumerate(manifests(VENDOR)[:2])]
    crls = [run.file(f"{n}.crl", data) for n, data in enumerate(VENDOR.crls())]
    ocsp = run.file("x.ocsp", VENDOR.ocsp(device.chain[1], device.chain[2]))
    options = ("--chain", chain, "--rim", *rims, "--crl", *crls, "--ocsp", ocsp, "--nonce", NONCE.hex())
    code, document = run.json("verify", "--evidence", report, *options)
    (said,) = document["devices"]
    assert (code, document["verdict"], said["mode"]) == (0, "authentic", "spt")
    assert document["default_profile"]["acceptable"]
    assert {f["outcome"] for f in said["findings"]} == {"passed"}
    code, out, _ = run("verify", "--evidence", report, *options)
    assert code == 0
    assert "a default profile would accept them" in out


@pytest.mark.usefixtures("simulated")
def test_a_system_in_the_form_of_the_sdk(run: Run) -> None:
    evidence = run.file("e.json", _sdk(*hgx(VENDOR)))
    code, document = run.json("verify", "--evidence", evidence)
    failed = {f["check"] for f in document["default_profile"]["findings"] if f["outcome"] == "failed"}
    assert (code, len(document["devices"]), failed) == (0, 12, {"DEVICE_REVOCATION", "RIM_MISSING"})
    assert all(device["declared_nonce_is_reported"] for device in document["devices"])


@pytest.mark.usefixtures("simulated")
def test_measurements_that_the_manifests_deny(run: Run) -> None:
    device = VENDOR.device()
    evidence = run.file("e.json", _sdk(device, measurements={9: measured(1)}))
    rims = [run.file(f"rim{n}.xml", data) for n, data in enumerate(manifests(VENDOR)[:2])]
    code, out, _ = run("verify", "--evidence", evidence, "--rim", *rims)
    assert code == 4
    assert f"RIM_MEASUREMENT devices[0].measurements.vbios[9]: expected {measured(9).hex()}" in out
    assert run("verify", "--evidence", evidence)[0] == 0


@pytest.mark.usefixtures("simulated")
def test_refusals_name_the_device(run: Run) -> None:
    one, two = VENDOR.device(), VENDOR.device()
    bad = _sdk(one) + _sdk(two, key=one.chain[0].key)
    code, document = run.json("verify", "--evidence", run.file("e.json", bad))
    assert (code, document["check"]) == (4, "GPU_SIGNATURE")
    assert document["path"] == "devices[1].report.signature"
    evidence = run.file("f.json", _sdk(one))
    assert run.json("verify", "--evidence", evidence, "--nonce", "00" * 32)[1]["check"] == "GPU_NONCE_MISMATCH"


def test_simulated_evidence_is_refused_by_the_ordinary_command(run: Run) -> None:
    code, document = run.json("verify", "--evidence", run.file("e.json", _sdk(VENDOR.device())))
    assert (code, document["check"]) == (4, "CHAIN_ROOT_NOT_PINNED")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--chain", "{c}"),
        ("--evidence", "{r}"),
        ("--evidence", "{j}", "--chain", "{c}"),
        ("--evidence", "{j}", "--report-data", "00"),
        ("--evidence", "{j}", "--certs", "{c}"),
        ("--evidence", "{j}", "--nonce", "xx"),
        ("--evidence", "{j}", "--rim", "/nonexistent"),
        ("--evidence", "{j}", "--at", "yesterday"),
    ],
    ids=" ".join,
)
def test_usage(run: Run, arguments: tuple[str, ...]) -> None:
    device = VENDOR.device()
    names = {
        "r": run.file("r.bin", device.report(NONCE)),
        "c": run.file("c.pem", device.pem),
        "j": run.file("e.json", _sdk(device)),
    }
    assert run("verify", *(argument.format(**names) for argument in arguments))[0] == 2


def test_options_of_devices_are_not_for_cpus(run: Run) -> None:
    file = run.file("x", b"x")
    for option in ("--chain", "--rim", "--ocsp"):
        assert main(["evidence", "verify", "--type", "snp", "--evidence", file, option, file], Doors(now=NOW)) == 2


def test_show_verifies_nothing(run: Run) -> None:
    system = hgx(VENDOR)
    code, document = run.json("show", "--evidence", run.file("e.json", _sdk(system[0], system[8])))
    gpu, switch = document["devices"]
    assert (code, document["verdict"]) == (0, "not verified")
    assert (gpu["mode"], len(gpu["switch_pdis"]), len(switch["gpu_pdis"])) == ("ppcie", 4, 8)
    code, out, _ = run("show", "--evidence", run.file("r.bin", system[8].report(NONCE)))
    assert "nvidia-switch" in out
    assert "measurements[0]" in out
    assert run("show", "--evidence", run.file("n.bin", b"\x11nothing"))[0] == 4


@needs_vectors(2)
def test_real_evidence(run: Run) -> None:
    samples, museop = REAL / "nvtrust" / "samples", REAL / "museop-nvgpu-attestation"
    code, document = run.json(
        "verify", "--evidence", samples / "hopperAttestationReport.txt", "--chain", samples / "hopperCertChain.txt",
        "--rim", *sorted(museop.glob("*.swidtag")), "--at", "2026-03-01T00:00:00Z",
        "--nonce", "931d8dd0add203ac3d8b4fbde75e115278eefcdceac5b87671a748f32364dfcb",
    )  # fmt: skip
    assert (code, document["verdict"]) == (0, "authentic")
    assert document["devices"][0]["ueid"] == "478176379286082186618948445787393647364802107249"
    coco = REAL / "trustee" / "test_data" / "nvidia"
    code, document = run.json(
        "verify", "--evidence", coco / "hopper_coco_report1.txt", "--chain", coco / "hopper_coco_certs1.txt"
    )
    assert (code, document["devices"][0]["driver_version"]) == (0, "580.95.05")
