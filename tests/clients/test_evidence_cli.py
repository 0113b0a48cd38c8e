"""`sealgate evidence`: verdicts, exit codes and what is printed, through the command's own entry."""

from __future__ import annotations

import datetime as dt
import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from clients.cli.main import Doors, main
from tests.makers import amd
from tests.vectors import VECTORS, needs_vectors

NOW = dt.datetime(2026, 5, 1, 12, tzinfo=dt.UTC)
MILAN = amd.mint("Milan", now=NOW)
CHIP = MILAN.chip()
DATA = bytes(range(64))
SNP = (VECTORS or Path()) / "snp"
TURIN = SNP / "microsoft-TEE-Attestation-Verification" / "turin_attestation_report.bin"


class Run:
    """The command in a directory of its own."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.capsys = capsys

    def file(self, name: str, data: bytes) -> str:
        path = self.folder / name
        path.write_bytes(data)
        return str(path)

    def __call__(self, action: str, *arguments: object, now: dt.datetime = NOW) -> tuple[int, str, str]:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            code = main(["evidence", action, "--type", "snp", *map(str, arguments)], Doors(now=now))
        out, err = self.capsys.readouterr()
        assert "Traceback" not in out + err
        return code, out, err

    def json(self, action: str, *arguments: object, now: dt.datetime = NOW) -> tuple[int, dict[str, Any]]:
        code, out, _ = self(action, *arguments, "--json", now=now)
        document = json.loads(out)
        assert isinstance(document, dict)
        return code, document


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(tmp_path, capsys)


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    """The throwaway root in the place of AMD's: the command itself has no way to name one."""
    monkeypatch.setattr("attest.anchors.BUILT_IN", MILAN.anchors)


@pytest.fixture
def files(run: Run) -> dict[str, str]:
    vcek, ask, ark = CHIP.certificates
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pem = [x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM) for der in (ask, ark)]
    return {
        "report": run.file("report.bin", CHIP.report(DATA)),
        "vcek": run.file("vcek.der", vcek),
        "chain": run.file("cert_chain.pem", b"".join(pem)),
        "crl": run.file("milan.crl", MILAN.crl()),
    }


def _common(files: dict[str, str]) -> list[str]:
    return ["--evidence", files["report"], "--certs", files["vcek"], files["chain"]]


# name: (arguments, the check)
REFUSED: dict[str, tuple[list[str], str]] = {
    "report data of another": (["--report-data", "00" * 64], "REPORT_DATA_MISMATCH"),
    "report data too short": (["--report-data", DATA[:32].hex()], "NONCE_REQUIRED"),
    "report data empty": (["--report-data", ""], "NONCE_REQUIRED"),
    "too early": (["--at", "2020-01-01T00:00:00Z"], "CERT_NOT_YET_VALID"),
    "too late": (["--at", "2099-01-01T00:00:00+01:00"], "CERT_EXPIRED"),
}


@pytest.mark.usefixtures("simulated")
class TestVerify:
    def test_authentic(self, run: Run, files: dict[str, str]) -> None:
        code, found = run.json("verify", *_common(files), "--crl", files["crl"], "--report-data", DATA.hex())
        assert (code, found["verdict"], found["product"], found["version"]) == (0, "authentic", "Milan", 3)
        assert found["chip_id"] == CHIP.chip_id.hex()
        assert found["reported_tcb"] == {"bl": 4, "tee": 0, "snp": 24, "ucode": 219}
        assert {f["outcome"] for f in found["findings"]} == {"passed"}
        assert found["default_profile"]["acceptable"] is True

    def test_what_was_not_given_is_skipped_and_not_passed(self, run: Run, files: dict[str, str]) -> None:
        code, found = run.json("verify", *_common(files))
        skipped = {f["check"] for f in found["findings"] if f["outcome"] == "skipped"}
        assert (code, skipped) == (0, {"CERT_REVOKED", "REPORT_DATA_MISMATCH"})
        code, out, _ = run("verify", *_common(files))
        assert code == 0
        assert "skip CERT_REVOKED  none: revocation was not checked" in out
        assert "skip REPORT_DATA_MISMATCH  none given: this evidence may be a replay" in out

    def test_certs_may_be_repeated(self, run: Run, files: dict[str, str]) -> None:
        arguments = ["--evidence", files["report"], "--certs", files["chain"], "--certs", files["vcek"]]
        assert run("verify", *arguments)[0] == 0

    def test_the_default_profile_stands_beside_the_verdict(self, run: Run, files: dict[str, str]) -> None:
        debug = run.file("debug.bin", CHIP.report(DATA, policy=0xB0000, vmpl=1))
        code, found = run.json("verify", *_common(files), "--evidence", debug)
        failed = {f["check"] for f in found["default_profile"]["findings"] if f["outcome"] == "failed"}
        assert (code, found["verdict"], failed) == (0, "authentic", {"POLICY_DEBUG", "POLICY_VMPL"})
        assert "a default profile would refuse it:" in run("verify", *_common(files), "--evidence", debug)[1]

    @pytest.mark.parametrize("shape", ["hex", "hex in lines", "extended"])
    def test_shapes(self, run: Run, files: dict[str, str], shape: str) -> None:
        report = CHIP.report(DATA)
        text = report.hex()
        data = {
            "hex": text.upper().encode(),
            "hex in lines": "\n".join(text[n : n + 64] for n in range(0, len(text), 64)).encode() + b"\n",
            "extended": report + amd.cert_table([("VCEK", CHIP.certificates[0])]),
        }[shape]
        assert run("verify", "--evidence", run.file("e", data), "--certs", files["vcek"], files["chain"])[0] == 0

    @pytest.mark.parametrize("case", REFUSED)
    def test_refused(self, run: Run, files: dict[str, str], case: str) -> None:
        arguments, check = REFUSED[case]
        code, found = run.json("verify", *_common(files), *arguments)
        assert (code, found["verdict"], found["check"]) == (4, "refused", check)
        assert {"path", "expected", "got"} <= found.keys()
        code, out, _ = run("verify", *_common(files), *arguments)
        assert (code, out.splitlines()[0]) == (4, f"refused  {check}")

    def test_revoked(self, run: Run, files: dict[str, str]) -> None:
        crl = run.file("revoking.crl", MILAN.crl([0x10001]))
        assert run.json("verify", *_common(files), "--crl", crl)[1]["check"] == "CERT_REVOKED"

    @pytest.mark.parametrize(
        ("name", "data", "check"),
        [
            ("report", b"", "SNP_LENGTH"),
            ("report", b"{}", "EVIDENCE_JSON"),
            ("report", CHIP.report(DATA) + b"\0", "SNP_LENGTH"),
            ("report", CHIP.report(DATA) + bytes(100) + b"\1", "CERT_TABLE"),
            ("vcek", b"no certificate", "CERT_MALFORMED"),
            ("vcek", b"", "CERT_MALFORMED"),
        ],
    )
    def test_files_that_are_not_what_they_should_be(
        self, run: Run, files: dict[str, str], name: str, data: bytes, check: str
    ) -> None:
        files = files | {name: run.file("bad", data)}
        code, found = run.json("verify", *_common(files))
        assert (code, found["check"]) == (4, check)


USAGE: dict[str, list[str]] = {
    "a file that is not there": ["--evidence", "/nonexistent/report.bin"],
    "certificates that are not there": ["--certs", "/nonexistent/vcek.der"],
    "a directory": ["--evidence", "/"],
    "a time that is none": ["--at", "yesterday"],
    "a time without a zone": ["--at", "2026-05-01T12:00:00"],
    "a time beyond all time": ["--at", "0001-01-01T00:00:00+14:00"],
    "report data that is no hexadecimal": ["--report-data", "xyz"],
    "a TEE that is none": ["--type", "sgx"],
    "an unknown option": ["--trust-anything"],
}


@pytest.mark.parametrize("case", USAGE)
def test_usage(run: Run, files: dict[str, str], case: str) -> None:
    code, out, err = run("verify", *_common(files), *USAGE[case])
    assert (code, out) == (2, "")
    assert err.strip()


def test_a_file_that_is_too_large(run: Run) -> None:
    assert run("verify", "--evidence", run.file("large", bytes((1 << 20) + 1)))[0] == 2


def test_simulated_evidence_is_refused_by_the_ordinary_command(run: Run, files: dict[str, str]) -> None:
    code, found = run.json("verify", *_common(files))
    assert (code, found["check"]) == (4, "CHAIN_ROOT_NOT_PINNED")


def test_help_says_what_it_takes(run: Run) -> None:
    code, out, _ = run("verify", "--help")
    assert code == 0
    assert {"--evidence", "--certs", "--crl", "--report-data", "--at", "--json"} <= set(out.split())
    assert "examples:" in out


def test_show_verifies_nothing(run: Run) -> None:
    report = bytearray(CHIP.report(DATA))
    report[0x90] ^= 1
    path = run.file("forged.bin", bytes(report))
    code, found = run.json("show", "--evidence", path)
    assert (code, found["verdict"], found["signing_key"]) == (0, "not verified", "VCEK")
    assert found["report_data"] == DATA.hex()
    assert run("show", "--evidence", path)[1].startswith("not verified")
    assert run("show", "--evidence", run.file("short", b"\3\0\0\0"))[0] == 4


@needs_vectors(3)
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--at", "2026-06-01T00:00:00Z"], (0, "authentic")),
        (["--at", "2026-01-01T00:00:00Z"], (4, "CERT_NOT_YET_VALID")),
        (["--at", "2026-06-01T00:00:00Z", "--report-data", "01" * 64], (4, "REPORT_DATA_MISMATCH")),
    ],
)
def test_a_real_platform(run: Run, arguments: list[str], expected: tuple[int, str]) -> None:
    chain = SNP / "confidential-containers-trustee" / "turin_ask_ark_asvk.pem"
    certs = ["--certs", TURIN.with_name("turin_vcek.pem"), chain]
    code, found = run.json("verify", "--evidence", TURIN, *certs, *arguments)
    assert (code, found.get("check", found["verdict"])) == expected


@needs_vectors(1)
def test_a_real_platform_with_debugging_in_hex(run: Run) -> None:
    folder = SNP / "google-go-sev-guest"
    report = run.file("report.hex", (folder / "attestation.bin").read_bytes().hex().encode())
    certs = ["--certs", folder / "vcek.testcer", folder / "ask_ark_milan.pem"]
    code, found = run.json("verify", "--evidence", report, *certs, "--at", "2025-01-01T00:00:00Z")
    failed = {f["check"] for f in found["default_profile"]["findings"] if f["outcome"] == "failed"}
    assert (code, found["debug"], failed) == (0, True, {"POLICY_DEBUG", "TCB_BELOW_MIN"})
