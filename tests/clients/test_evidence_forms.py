"""Evidence, certificates and collateral in every form in which they are met, through the command's own entry."""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from attest.evidence import TdxCollateral
from clients.cli.evidence_forms import decoded
from clients.cli.main import Doors, main
from tests.attest.tdx.made import DATA, NOW, collateral, intel, platform
from tests.makers import amd
from tests.makers.qvl import quote_collateral
from tests.vectors import VECTORS, needs_vectors

MILAN = amd.mint("Milan", now=NOW)
CHIP = MILAN.chip()
REPORT, QUOTE = CHIP.report(DATA), platform().quote(DATA)
VCEK, ASK, ARK = CHIP.certificates
PEM = [
    f"-----BEGIN CERTIFICATE-----\n{base64.encodebytes(der).decode()}-----END CERTIFICATE-----\n"
    for der in (VCEK, ASK, ARK)
]
TABLE = amd.cert_table([("VCEK", VCEK), ("ASK", ASK), ("ARK", ARK)])
THIM = json.dumps({"vcekCert": PEM[0], "certificateChain": PEM[1] + PEM[2], "tcbm": "DB1B000000000004"})
Write = Callable[[str, bytes], str]


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def js(**members: Any) -> bytes:
    return json.dumps(members).encode()


@pytest.fixture(autouse=True)
def _simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace  # noqa: PLC0415

    monkeypatch.setattr("attest.anchors.BUILT_IN", replace(MILAN.anchors, intel=intel().anchors.intel))


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def file(name: str, data: bytes) -> str:
        path = tmp_path / name
        path.write_bytes(data)
        return str(path)

    return file


def run(capsys: pytest.CaptureFixture[str], *arguments: object, at: dt.datetime = NOW) -> tuple[int, dict[str, Any]]:
    code = main(["evidence", *map(str, arguments), "--json"], Doors(now=at))
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    return code, json.loads(out) if out else {"said": err}


QUOTES: dict[str, bytes] = {
    "bytes": QUOTE,
    "hexadecimal": QUOTE.hex().encode(),
    "hexadecimal behind 0x": b"0x" + QUOTE.hex().encode() + b"\n",
    "base64": b64(QUOTE).encode(),
    "base64 in lines": base64.encodebytes(QUOTE),
    "base64url without padding": url(QUOTE).encode(),
    "CoCo": js(quote=b64(QUOTE), cc_eventlog=None),
    "CoCo, wrapped": js(primary_evidence={"quote": b64(QUOTE)}, additional_evidence=""),
    "dstack": js(quote=QUOTE.hex(), event_log="", report_data=DATA.hex()),
    "under another name": js(intel_quote="0x" + QUOTE.hex()),
    "a list of numbers": js(tdx={"quote": list(QUOTE)}),
}


@pytest.mark.parametrize("form", QUOTES)
def test_quotes(form: str, write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    given = write("q", QUOTES[form]), "--collateral", write("c", json.dumps(quote_collateral(collateral())).encode())
    code, found = run(capsys, "verify", "--type", "tdx", "--report-data", DATA.hex(), "--evidence", *given)
    assert (code, found.get("tcb_status")) == (0, "UpToDate"), found
    assert run(capsys, "show", "--type", "tdx", "--evidence", given[0])[0] == 0


EVENT = {"imr": 3, "event_type": 1, "digest": "00" * 48, "event": "", "event_payload": ""}
LOGS: dict[str, Any] = {
    "of dstack, as text": json.dumps([EVENT]),
    "of dstack, as a list": [EVENT],
    "of CoCo": b64(bytes(64)),
}


@pytest.mark.parametrize("log", LOGS)
def test_an_event_log_beside_the_quote_has_to_add_up(
    log: str, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "cc_eventlog" if log == "of CoCo" else "event_log"
    beside = "--collateral", write("c", json.dumps(quote_collateral(collateral())).encode())
    evidence = write("q", js(quote=b64(QUOTE), **{name: LOGS[log]}))
    code, found = run(capsys, "verify", "--type", "tdx", "--evidence", evidence, *beside)
    assert (code, found["check"].partition("_")[0]) == (4, "EVENTLOG"), found
    empty = ("--ccel", write("empty", b""))
    code, found = run(capsys, "verify", "--type", "tdx", "--evidence", write("r", QUOTE), *beside, *empty)
    assert (code, found["check"].partition("_")[0]) == (4, "EVENTLOG"), found


REPORTS: dict[str, bytes] = {
    "with its table": REPORT + TABLE,
    "base64": b64(REPORT + TABLE).encode(),
    "hexadecimal": (REPORT + TABLE).hex().encode(),
    "with the key's certificate": js(sev_snp={"attestation_report": b64(REPORT), "vek_cert": b64(VCEK)}),
    "of Azure's containers": js(evidence=b64(REPORT), endorsements=b64(THIM.encode()), uvm_endorsements="AAAA"),
    "asking Microsoft Azure Attestation": js(
        report=url(js(SnpReport=url(REPORT), VcekCertChain=url("".join(PEM).encode()))), runtimeData={"data": ""}
    ),
}


@pytest.mark.parametrize("form", REPORTS)
def test_reports(form: str, write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    given = write("r", REPORTS[form]), "--certs", write("chain.pem", (PEM[1] + PEM[2]).encode())
    code, found = run(capsys, "verify", "--type", "snp", "--report-data", DATA.hex(), "--evidence", *given)
    assert (code, found["verdict"]) == (0, "authentic"), found
    assert run(capsys, "show", "--type", "snp", "--evidence", given[0])[1]["report_data"] == DATA.hex()


CERTIFICATES: dict[str, bytes] = {
    "PEM": "".join(PEM).encode(),
    "a certificate table": TABLE,
    "a certificate table in base64": b64(TABLE).encode(),
    "JSON of THIM": THIM.encode(),
}


@pytest.mark.parametrize("form", CERTIFICATES)
def test_certificates(form: str, write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    given = write("r", REPORT), "--certs", write("certs", CERTIFICATES[form])
    code, found = run(capsys, "verify", "--type", "snp", "--evidence", *given)
    assert (code, found["verdict"]) == (0, "authentic"), found


def test_a_folder_of_certificates(write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "certs"
    folder.mkdir()
    given = "verify", "--type", "snp", "--evidence", write("r", REPORT), "--certs", folder
    assert run(capsys, *given)[0] == 2
    for name, der in {"vcek.der": VCEK, "ask.pem": PEM[1].encode(), "ark.pem": PEM[2].encode(), "notes": b"?"}.items():
        (folder / name).write_bytes(der)
    assert run(capsys, *given)[1]["verdict"] == "authentic"


# type, file, what was there instead
NO_EVIDENCE: dict[str, tuple[str, bytes, str]] = {
    "a text": ("tdx", b"not evidence\n", "a text that begins 'not evidence"),
    "text of protobuf": ("tdx", b"header {\n  version: 4\n}\n", "-outform bin"),
    "text of protobuf, a report": ("snp", b"report {\n  version: 2\n}\n", "-outform bin"),
    "JSON without a quote": ("tdx", js(quoted=1), "quoted"),
    "two quotes": ("tdx", js(quote="00", intel_quote="00"), "intel_quote, quote"),
    "a quote that is a number": ("tdx", js(quote=7), "int"),
    "a quote that is no text of bytes": ("tdx", js(quote="?"), "str"),
    "a key twice": ("tdx", b'{"quote": "00", "quote": "00"}', "one of them twice"),
    "a list of bytes that are none": ("snp", js(report=[256]), "list"),
    "a report that is a list of others": ("snp", js(report=["a"]), "list"),
}


@pytest.mark.parametrize("case", NO_EVIDENCE)
def test_what_is_none_of_these(case: str, write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    kind, data, got = NO_EVIDENCE[case]
    code, found = run(capsys, "show", "--type", kind, "--evidence", write("e", data))
    assert (code, found["check"]) == (4, "EVIDENCE_FORM")
    assert got in found["got"]


def test_pem_is_never_taken_for_base64url() -> None:
    for size in range(60, 66):  # with and without padding
        pem = f"-----BEGIN CERTIFICATE-----\n{b64(bytes(size))}\n-----END CERTIFICATE-----\n".encode()
        assert decoded(pem) == decoded(b"\n" + pem).lstrip() == pem


def test_evidence_of_another_tee(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = run(capsys, "show", "--type", "snp", "--evidence", write("q", QUOTE))
    assert (code, found["check"]) == (4, "SNP_VERSION")
    code, found = run(capsys, "show", "--type", "nvidia", "--evidence", write("q", QUOTE))
    assert (code, found["check"], found["got"]) == (4, "GPU_FORM", f"other bytes: {QUOTE[:8].hex()}")


def _documents(write: Write) -> dict[str, str]:
    given = collateral()
    names = [each.name for each in fields(TdxCollateral) if each.name != "pck_certificate_chain"]
    return {name: write(name, getattr(given, name)) for name in names}


def test_intels_documents_in_a_file_each(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    documents = _documents(write)
    given = "verify", "--type", "tdx", "--evidence", write("q", QUOTE), "--collateral"
    code, found = run(capsys, *given, *reversed(documents.values()))
    assert (code, found.get("tcb_status")) == (0, "UpToDate"), found
    lacking = {
        "tcb_info": "TCB info",
        "qe_identity": "the quoting enclave's identity",
        "pck_crl": "the revocation list of the PCK CA",
        "root_ca_crl": "the revocation list of the root",
        "pck_crl_issuer_chain": "the chain of the PCK CA",
    }
    for name, said in lacking.items():
        code, found = run(capsys, *given, *(path for each, path in documents.items() if each != name))
        assert code == 2
        assert said in found["said"]
    other = write("other", intel().collateral(tcb_info={"tcbEvaluationDataNumber": 1}).tcb_info)
    code, found = run(capsys, *given, *documents.values(), other)
    assert code == 2
    assert "is a second one of TCB info" in found["said"]
    code, found = run(capsys, *given, *documents.values(), write("junk", b"junk"))
    assert (code, found["check"]) == (4, "COLLATERAL_FORMAT")


@needs_vectors(2)
@pytest.mark.parametrize("tee", ["snp", "tdx"])
def test_an_hcl_report_alone(tee: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    folder = (VECTORS or Path()) / f"{tee}/confidential-containers-trustee/az-{tee}-vtpm"
    kind, hcl = f"azure-{tee}", folder / "hcl-report.bin"
    code, found = run(capsys, "show", "--type", kind, "--evidence", hcl)
    assert (code, found["type"], found["attestation_key_bits"]) == (0, kind, 2048), found
    if tee == "tdx":
        code, found = run(capsys, "show", "--type", "snp", "--evidence", hcl)
        assert (code, found["got"]) == (4, "one with a TDREPORT")
        return
    code, found = run(capsys, "verify", "--type", kind, "--evidence", hcl)
    assert code == 2
    assert "needs JSON of Confidential Containers" in found["said"]
    files = ("--certs", folder / "vcek.pem", folder.parent / "milan_ask_ark_asvk.pem")
    at = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
    code, found = run(capsys, "verify", "--type", "snp", "--evidence", hcl, *files, at=at)
    assert (code, found["verdict"]) == (0, "authentic"), found
