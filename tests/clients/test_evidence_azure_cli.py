"""`sealgate evidence` for guests under a paravisor, and for event logs, through the command's own entry."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from attest.anchors import Anchors
from attest.evidence import AzureEvidence
from clients.cli.main import Doors, main
from tests.attest.azure.made import NONCE, evidence, td_evidence
from tests.attest.snp.made import DATA, NOW, hierarchy
from tests.attest.tdx.made import collateral, intel, platform
from tests.makers import ccel
from tests.makers.qvl import quote_collateral
from tests.vectors import VECTORS, needs_vectors

BOOT = [(0, b"\x01\x00"), (0, bytes(4)), (1, b"kernel"), (2, b"root=/dev/vda1"), (2, b"initrd")]


class Run:
    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.capsys = capsys

    def file(self, name: str, data: bytes) -> str:
        path = self.folder / name
        path.write_bytes(data)
        return str(path)

    def intel(self) -> str:
        return self.file("intel.json", json.dumps(quote_collateral(collateral())).encode())

    def text(self, *arguments: object) -> tuple[int, str, str]:
        code = main(["evidence", *map(str, arguments)], Doors(now=NOW))
        out, err = self.capsys.readouterr()
        assert "Traceback" not in out + err
        return code, out, err

    def __call__(self, *arguments: object) -> tuple[int, dict[str, Any]]:
        code, out, err = self.text(*arguments, "--json")
        document = json.loads(out)
        assert isinstance(document, dict), err
        return code, document


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    anchors = Anchors(amd=hierarchy().anchors.amd, intel=intel().anchors.intel, simulated=True)
    monkeypatch.setattr("attest.anchors.BUILT_IN", anchors)
    return Run(tmp_path, capsys)


def _json(given: AzureEvidence, **changed: Any) -> bytes:
    def text(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).decode().rstrip("=")

    quote = {
        "message": given.tpm_quote.hex(),
        "signature": given.tpm_signature.hex(),
        "pcrs": [pcr.hex() for pcr in given.pcrs],
    }
    document: dict[str, Any] = {"version": 1, "hcl_report": text(given.hcl_report), "tpm_quote": quote}
    if given.certificates:
        document["vcek"] = text(given.certificates[0])
    if given.td_quote:
        document["td_quote"] = text(given.td_quote)
    return json.dumps(document | changed).encode()


def _snp(run: Run, *more: object, data: bytes | None = None, kind: str = "azure-snp") -> tuple[int, dict[str, Any]]:
    chain = [run.file(f"{n}.der", der) for n, der in enumerate(evidence().certificates[1:])]
    given = run.file("evidence.json", _json(evidence()) if data is None else data)
    return run("verify", "--type", kind, "--evidence", given, "--certs", *chain, *more)


def test_authentic_on_snp(run: Run) -> None:
    code, found = _snp(run, "--report-data", DATA.hex(), "--crl", run.file("amd.crl", hierarchy().crl()))
    assert (code, found["verdict"], found["type"], found["secure_boot"]) == (0, "authentic", "azure-snp", True)
    assert len(found["pcrs"]) == 24
    assert found["default_profile"]["acceptable"]
    assert {f["outcome"] for f in found["findings"]} <= {"passed", "skipped"}


def test_the_nonce(run: Run) -> None:
    assert _snp(run, "--nonce", NONCE.hex())[0] == 0
    for nonce in ("00" * 32, NONCE.hex()[:32], ""):
        code, found = _snp(run, "--nonce", nonce)
        assert (code, found["check"]) == (4, "TPM_NONCE")
    code, found = _snp(run)
    assert (code, [f["outcome"] for f in found["findings"] if f["check"] == "REPORT_DATA_MISMATCH"]) == (0, ["skipped"])


def test_authentic_on_tdx(run: Run) -> None:
    given = run.file("evidence.json", _json(td_evidence()))
    arguments = ("verify", "--type", "azure-tdx", "--evidence", given, "--collateral", run.intel())
    code, found = run(*arguments, "--report-data", DATA.hex())
    assert (code, found["type"], found["tcb_status"]) == (0, "azure-tdx", "UpToDate")
    code, text, _ = run.text(*arguments)
    assert (code, text.splitlines()[0].startswith("authentic  azure-tdx")) == (0, True)
    assert "skip REPORT_DATA_MISMATCH" in text


def test_what_it_is_not(run: Run) -> None:
    given = run.file("evidence.json", _json(td_evidence()))
    code, found = run("verify", "--type", "azure-snp", "--evidence", given)
    assert (code, found["check"]) == (4, "UNSUPPORTED_EVIDENCE")
    bare = run.file("bare.json", _json(replace(td_evidence(), td_quote=b"")))
    code, found = run("verify", "--type", "azure-tdx", "--evidence", bare, "--collateral", run.intel())
    assert (code, found["check"]) == (4, "UNSUPPORTED_EVIDENCE")


MALFORMED: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"{",
    "deep": b"[" * 100_000,
    "a list": b"[]",
    "a key twice": b'{"version":1,"version":1}',
    "a key more": _json(evidence(), extra=1),
    "two reports": _json(evidence(), report=[1]),
    "no quote": _json(evidence(), tpm_quote=None),
    "a quote without PCRs": _json(evidence(), tpm_quote={"message": "", "signature": ""}),
    "PCRs that are a text": _json(evidence(), tpm_quote={"message": "", "signature": "", "pcrs": "00"}),
    "25 PCRs": _json(evidence(), tpm_quote={"message": "", "signature": "", "pcrs": ["00"] * 25}),
    "no hexadecimal": _json(evidence(), tpm_quote={"message": "xy", "signature": "", "pcrs": []}),
    "no base64": _json(evidence(), hcl_report="!"),
    "a report that is a number": _json(evidence(), hcl_report=1),
    "bytes that are none": _json(evidence(), hcl_report=[256]),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed(run: Run, case: str) -> None:
    code, found = _snp(run, data=MALFORMED[case])
    assert (code, found["check"]) == (4, "EVIDENCE_JSON")


def test_too_large(run: Run) -> None:
    code, found = _snp(run, data=b" " * 300_000)
    assert (code, found["check"]) == (4, "EVIDENCE_SIZE")


USAGE: dict[str, list[str]] = {
    "no collateral": ["--type", "azure-tdx"],
    "certificates for TDX": ["--type", "azure-tdx", "--collateral", "x", "--certs", "x"],
    "a log of events": ["--type", "azure-snp", "--ccel", "x"],
    "a log of events for SNP": ["--type", "snp", "--ccel", "x"],
    "a log of events for SGX": ["--type", "sgx", "--collateral", "x", "--ccel", "x"],
    "manifests": ["--type", "azure-snp", "--rim", "x"],
}


@pytest.mark.parametrize("case", USAGE)
def test_usage(run: Run, case: str) -> None:
    code, _, err = run.text("verify", *USAGE[case], "--evidence", run.file("e.json", _json(evidence())))
    assert code == 2
    assert err.startswith(("sealgate: --", "sealgate: /nowhere cannot be read"))


def test_collateral_that_is_not_there(run: Run) -> None:
    given = run.file("e.json", _json(evidence()))
    code, _, err = run.text("verify", "--type", "azure-snp", "--collateral", "/nowhere", "--evidence", given)
    assert (code, err) == (2, "sealgate: /nowhere cannot be read: No such file or directory\n")


@pytest.mark.parametrize("made", [evidence, td_evidence])
def test_show(run: Run, made: Any) -> None:
    given = run.file("evidence.json", _json(made()))
    code, found = run("show", "--type", "azure-snp", "--evidence", given)
    assert (code, found["verdict"], found["attestation_key_bits"]) == (0, "not verified", 2_048)
    assert run.text("show", "--type", "azure-tdx", "--evidence", given)[1].startswith("not verified\n")


# --- event logs ---


def test_an_event_log_beside_a_quote(run: Run) -> None:
    rtmrs: dict[str, Any] = {f"rtmr{number}": value for number, value in enumerate(ccel.replayed(BOOT))}
    quote = run.file("quote.bin", platform().quote(DATA, **rtmrs))
    arguments = ("verify", "--type", "tdx", "--evidence", quote, "--collateral", run.intel(), "--ccel")
    code, found = run(*arguments, run.file("ccel.bin", ccel.boot()))
    assert (code, [event["rtmr"] for event in found["events"]]) == (0, [0, 0, 1, 2, 2])
    assert found["events"][3]["text"] == "kernel_cmdline: root=/dev/vda1"
    assert "as the log says" in run.text(*arguments, run.file("ccel.bin", ccel.boot()))[1]
    code, found = run(*arguments, run.file("ccel.bin", ccel.boot(initrd=b"other")))
    assert (code, found["check"], found["path"]) == (4, "EVENTLOG_RTMR_MISMATCH", "event_log.rtmr2")


# --- captured evidence ---


@needs_vectors(4)
@pytest.mark.parametrize("name", ["evidence-v0", "evidence-v1", "evidence-v2", "evidence-genoa"])
def test_captured(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert VECTORS is not None
    product = "genoa" if "genoa" in name else "milan"
    chain = [VECTORS / f"snp/virtee-sev/builtin/{product}-{which}.pem" for which in ("ask", "ark")]
    given = VECTORS / f"snp/confidential-containers-trustee/az-snp-vtpm/{name}.json"
    run = Run(tmp_path, capsys)
    arguments = ("--type", "azure-snp", "--evidence", given, "--certs", *chain, "--at", "2026-03-01T00:00:00Z")
    code, found = run("verify", *arguments)
    assert (code, found["verdict"], found["product"].lower()) == (0, "authentic", product)
