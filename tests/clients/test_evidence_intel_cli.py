"""`sealgate evidence` for quotes: verdicts, exit codes and what is printed, through the command's own entry."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clients.cli.main import Doors, main
from tests.attest.tdx.made import DATA, NOW, collateral, intel, platform
from tests.attest.tdx.test_vectors import CASES, FOLDER
from tests.makers.quote import SGX, Form
from tests.makers.qvl import quote_collateral
from tests.vectors import needs_vectors

SEPT = 1 << 28


class Run:
    """The command in a directory of its own, with good collateral unless a test gives other."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.capsys = capsys

    def file(self, name: str, data: bytes) -> str:
        path = self.folder / name
        path.write_bytes(data)
        return str(path)

    def collateral(self, given: Any = None) -> str:
        return self.file("intel.json", json.dumps(quote_collateral(given or collateral())).encode())

    def __call__(self, action: str, *arguments: object, now: dt.datetime = NOW) -> tuple[int, str, str]:
        code = main(["evidence", action, *map(str, arguments)], Doors(now=now))
        out, err = self.capsys.readouterr()
        assert "Traceback" not in out + err
        return code, out, err

    def verify(
        self, quote: bytes, *arguments: object, kind: str = "tdx", given: Any = None
    ) -> tuple[int, dict[str, Any]]:
        files = "--evidence", self.file("quote.bin", quote), "--collateral", self.collateral(given)
        code, out, _ = self("verify", "--type", kind, *files, "--json", *arguments)
        document = json.loads(out)
        assert isinstance(document, dict)
        return code, document


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(tmp_path, capsys)


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attest.anchors.BUILT_IN", intel().anchors)


@pytest.mark.usefixtures("simulated")
def test_authentic(run: Run) -> None:
    code, found = run.verify(platform().quote(DATA))
    assert (code, found["verdict"], found["type"], found["tcb_status"]) == (0, "authentic", "tdx", "UpToDate")
    assert found["tcb"]["parts"].keys() == {"sgx", "tdx", "module", "qe"}
    assert (found["fmspc"], found["rtmr1"], found["debug"]) == ("90c06f000000", "a1" * 48, False)
    assert found["default_profile"]["acceptable"]
    assert {f["outcome"] for f in found["findings"] if f["check"] == "REPORT_DATA_MISMATCH"} == {"skipped"}


@pytest.mark.usefixtures("simulated")
def test_hexadecimal_and_report_data(run: Run) -> None:
    code, found = run.verify(platform().quote(DATA).hex().encode() + b"\n", "--report-data", DATA.hex())
    assert (code, found["findings"][-1]["outcome"]) == (0, "passed")
    for other in ("00" * 64, DATA[:32].hex(), ""):
        code, found = run.verify(platform().quote(DATA), "--report-data", other)
        assert (code, found["check"]) == (4, "REPORT_DATA_MISMATCH")


@pytest.mark.usefixtures("simulated")
def test_what_a_default_profile_would_find_is_said_apart(run: Run) -> None:
    code, found = run.verify(platform().quote(DATA, td_attributes=SEPT | 1))
    assert (code, found["verdict"], found["debug"]) == (0, "authentic", True)
    assert not found["default_profile"]["acceptable"]
    assert "TD_DEBUG" in {f["check"] for f in found["default_profile"]["findings"] if f["outcome"] == "failed"}


def _old(status: str) -> Any:
    return intel().collateral(tcb_info={"tcbLevels": [intel().level(status, advisories=["INTEL-SA-1"])]})


# name: (the platform's status, options, exit code)
STATUSES: dict[str, tuple[str, list[str], int]] = {
    "not accepted": ("OutOfDate", [], 4),
    "accepted by name": ("OutOfDate", ["--accept-status", "UpToDate,OutOfDate"], 0),
    "another accepted": ("OutOfDate", ["--accept-status", "SWHardeningNeeded"], 4),
    "any": ("OutOfDate", ["--accept-status", "any"], 0),
    "Revoked is none of any": ("Revoked", ["--accept-status", "any"], 4),
    "UpToDate is named like others": ("UpToDate", ["--accept-status", "OutOfDate"], 4),
}


@pytest.mark.usefixtures("simulated")
@pytest.mark.parametrize("case", STATUSES)
def test_accept_status(run: Run, case: str) -> None:
    status, options, expected = STATUSES[case]
    code, found = run.verify(platform().quote(DATA), *options, given=_old(status))
    assert (code, found["tcb_status"], found["authentic"]) == (expected, status, True)
    assert found["advisory_ids"] == ["INTEL-SA-1"]
    assert found["verdict"] == ("authentic" if expected == 0 else "refused")
    assert (found.get("check") == "TCB_STATUS_NOT_ACCEPTED") is (expected != 0)


@pytest.mark.usefixtures("simulated")
def test_an_enclave(run: Run) -> None:
    form = Form(version=3, tee_type=SGX)
    given = collateral(tee="SGX")
    code, found = run.verify(platform().quote(DATA, tee="SGX", form=form), kind="sgx", given=given)
    assert (code, found["type"], found["mrenclave"]) == (0, "sgx", "e1" * 32)
    code, found = run.verify(platform().quote(DATA, tee="SGX", form=form, attributes=7), kind="sgx", given=given)
    assert (code, found["default_profile"]["acceptable"]) == (0, False)
    code, found = run.verify(platform().quote(DATA, tee="SGX", form=form), kind="tdx", given=given)
    assert (code, found["check"]) == (4, "TEE_TYPE")


def test_simulated_roots_are_not_built_in(run: Run) -> None:
    code, found = run.verify(platform().quote(DATA))
    assert (code, found["check"]) == (4, "PCK_ROOT_NOT_PINNED")


@pytest.mark.usefixtures("simulated")
def test_for_people(run: Run) -> None:
    evidence, given = run.file("q", platform().quote(DATA)), run.collateral(_old("OutOfDate"))
    code, out, _ = run("verify", "--type", "tdx", "--evidence", evidence, "--collateral", given)
    assert code == 4
    assert out.startswith("refused  TCB_STATUS_NOT_ACCEPTED: expected UpToDate, got OutOfDate\nauthentic  tdx 90c06f")
    assert "tcb tdx" in out
    assert "INTEL-SA-1" in out
    given = run.collateral(replace(collateral(), pck_crl=intel().crl(revoked=[101])))
    code, out, _ = run("verify", "--type", "tdx", "--evidence", evidence, "--collateral", given)
    assert (code, out.splitlines()[0]) == (4, "refused  CERT_REVOKED")


def test_show(run: Run) -> None:
    evidence = run.file("q", platform().quote(DATA, report="1.5"))
    code, out, _ = run("show", "--type", "tdx", "--evidence", evidence, "--json")
    found = json.loads(out)
    assert (code, found["verdict"], found["quote_version"], found["mr_td"]) == (0, "not verified", 5, "d1" * 48)
    assert found["certificates"] == ["Intel SGX PCK Certificate", "Intel SGX PCK Platform CA", "Intel SGX Root CA"]
    code, out, _ = run("show", "--type", "tdx", "--evidence", evidence)
    assert (code, out.splitlines()[0]) == (0, "not verified")
    bare = run.file("b", platform().quote(DATA, form=Form(certification=(3, bytes(404)))))
    code, out, _ = run("show", "--type", "tdx", "--evidence", bare, "--json")
    assert (code, json.loads(out)["certificates"]) == (0, [])
    assert run("show", "--type", "tdx", "--evidence", run.file("x", b"nonsense"))[0] == 4


# name: (options, where @ is a good file of collateral; what the sentence says)
USAGE: dict[str, tuple[list[str], str]] = {
    "no collateral": ([], "needs --collateral"),
    "a status that nobody knows": (["--collateral", "@", "--accept-status", "Fine"], "knows no 'Fine'"),
    "certificates": (["--collateral", "@", "--certs", "@"], "--certs is not for --type tdx"),
    "a nonce": (["--collateral", "@", "--nonce", "00"], "--nonce is not for --type tdx"),
    "collateral that is not there": (["--collateral", "/nowhere"], "cannot be read"),
}


@pytest.mark.parametrize("case", USAGE)
def test_usage(run: Run, case: str) -> None:
    options, sentence = USAGE[case]
    given = run.collateral()
    arguments = [given if option == "@" else option for option in options]
    code, _, err = run("verify", "--type", "tdx", "--evidence", run.file("q", platform().quote(DATA)), *arguments)
    assert code == 2
    assert sentence in err


# name: (what the collateral file holds, the check)
FILES: dict[str, tuple[bytes, str]] = {
    "no JSON": (b"{", "COLLATERAL_FORMAT"),
    "a list": (b"[]", "COLLATERAL_FORMAT"),
    "a key is missing": (b"{}", "COLLATERAL_FORMAT"),
    "a key twice": (b'{"pck_crl":"","pck_crl":""}', "JSON_DUPLICATE_KEY"),
    "lists that are no texts": (
        json.dumps(quote_collateral(collateral()) | {"pck_crl": 1}).encode(),
        "COLLATERAL_FORMAT",
    ),
    "a signature that ends the object": (
        json.dumps(quote_collateral(collateral()) | {"tcb_info_signature": '"},"tcbInfo":{'}).encode(),
        "COLLATERAL_FORMAT",
    ),
}


@pytest.mark.parametrize("case", FILES)
def test_collateral_that_is_none(run: Run, case: str) -> None:
    data, check = FILES[case]
    files = "--evidence", run.file("q", platform().quote(DATA)), "--collateral", run.file("c", data)
    code, out, _ = run("verify", "--type", "tdx", *files, "--json")
    assert (code, json.loads(out)["check"]) == (4, check)


@needs_vectors(1)
def test_a_captured_quote(run: Run) -> None:
    path, found = next((p, r) for p, r in CASES.values() if p == "tdx/Phala-Network-dcap-qvl/tdx_quote")
    files = "--evidence", FOLDER / path, "--collateral", FOLDER / "tdx/derived/bundles" / found["bundle"]
    code, out, _ = run("verify", "--type", "tdx", *files, "--at", found["now_iso"], "--json")
    assert (code, json.loads(out)["tcb_status"]) == (0, "UpToDate")
