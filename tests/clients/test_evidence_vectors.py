"""Every captured piece of evidence through the command, as the files lie there, with the manifest's verdict."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest

from clients.cli.main import Doors, main
from tests.attest.gpu.test_vectors import CHAINS, REFUSED
from tests.attest.snp.test_vectors import REPORTS, REPORTS_COUNT
from tests.attest.tdx.test_vectors import CASES, COUNT
from tests.vectors import VECTORS, manifest, needs_vectors

FOLDER = VECTORS or Path()
NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
ASKS = [FOLDER / f"snp/confidential-containers-trustee/{name}_ask_ark_asvk.pem" for name in ("milan", "genoa", "turin")]
PHALA = FOLDER / "tdx/Phala-Network-dcap-qvl"
DEVICES = sorted(p for p, e in manifest().items() if p.startswith("nvidia/") and e["kind"] == "evidence")


def _run(
    capsys: pytest.CaptureFixture[str], kind: str, evidence: Path, *arguments: object, at: dt.datetime = NOW
) -> tuple[int, dict[str, Any]]:
    told = ("verify", "--type", kind, "--evidence", evidence, "--at", at.isoformat(), "--json", *arguments)
    code = main(["evidence", *map(str, told)], Doors(now=NOW))
    out, err = capsys.readouterr()
    assert err == ""
    found = json.loads(out)
    assert (code == 0) == (found["verdict"] == "authentic")
    return code, found


@needs_vectors(REPORTS_COUNT)
@pytest.mark.parametrize("path", REPORTS)
def test_snp(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    entry = manifest()[path]
    endorsement = next(c for c in entry["expect"]["endorsement_certs"] if (FOLDER / c).exists())
    start, end = map(dt.datetime.fromisoformat, entry["expect"]["now_window"])
    files = ("--certs", FOLDER / endorsement, *ASKS)
    code, found = _run(capsys, "snp", FOLDER / path, *files, at=start)
    assert (code, found["product"], found["version"]) == (0, entry["expect"]["chain"].split("/")[0], entry["version"])
    if fields := entry.get("fields"):
        assert (found["policy"], found["debug"], found["vmpl"]) == (fields["policy"], fields["debug"], fields["vmpl"])
        assert found["signing_key"] == ("VLEK" if fields["signing_key"] else "VCEK")
        for name, parts in fields["tcb"].items():
            assert found[name] == {part: value for part, value in parts.items() if part != "rsv"}
    assert {f["check"]: f["outcome"] for f in found["findings"]}["CERT_REVOKED"] == "skipped"
    for now, check in ((start - dt.timedelta(1), "CERT_NOT_YET_VALID"), (end + dt.timedelta(1), "CERT_EXPIRED")):
        code, found = _run(capsys, "snp", FOLDER / path, *files, at=now)
        assert (code, found["check"]) == (4, check)


@needs_vectors(COUNT)
@pytest.mark.parametrize("case", CASES)
def test_quotes(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Status, each part's status and the advisories; or which check refuses it."""
    path, run = CASES[case]
    entry, expected = manifest()[path], run["intel_style"]
    kind = "sgx" if expected["parts"].keys() <= {"sgx", "qe"} else "tdx"
    at = dt.datetime.fromtimestamp(run["now"], dt.UTC)
    files = ("--collateral", FOLDER / "tdx/derived/bundles" / run["bundle"])
    code, found = _run(capsys, kind, FOLDER / path, *files, "--accept-status", "any", at=at)
    if code:
        checks = {"CERT_EXPIRED", "CERT_NOT_YET_VALID"} if not run["pck_valid_at_now"] else {"TCB_NOT_SUPPORTED"}
        checks = {"QUOTE_TRAILING"} if path.endswith("SPR_E4.dat") else checks
        assert (code, found["check"]) == (4, next(iter(checks & {found["check"]}), checks))
        assert "TCB_NOT_SUPPORTED" not in checks or expected["status"].startswith("TCB_NOT_SUPPORTED")
        return
    assert (found["type"], found["tcb_status"]) == (kind, expected["status"])
    assert found["advisory_ids"] == found["tcb"]["advisory_ids"] == sorted(expected["advisories"])
    parts = {name: status for name, status in expected["parts"].items() if status != "OK"}
    assert {name: part["status"] for name, part in found["tcb"]["parts"].items()} == parts
    if any("DEBUG" in note for note in entry["expect"].get("notes", ())):
        assert (found["debug"], found["default_profile"]["acceptable"]) == (True, False)
    code, found = _run(capsys, kind, FOLDER / path, *files, at=at)
    fine = expected["status"] == "UpToDate"
    assert (code, found.get("check")) == ((0, None) if fine else (4, "TCB_STATUS_NOT_ACCEPTED"))
    assert found["authentic"]
    other = {"tdx": "sgx", "sgx": "tdx"}[kind]
    code, found = _run(capsys, other, FOLDER / path, *files, "--accept-status", "any", at=at)
    assert (code, found["check"]) == (4, "TEE_TYPE")


@needs_vectors(3)
@pytest.mark.parametrize(
    ("kind", "quote", "collateral", "at", "status"),
    [
        ("tdx", "tdx_quote", "tdx_quote_collateral.json", "2025-06-20T00:00:00Z", "UpToDate"),
        ("sgx", "sgx_quote", "sgx_quote_collateral.json", "2025-06-20T00:00:00Z", "ConfigurationAndSWHardeningNeeded"),
        ("tdx", "near-gas/quote_hex.txt", "near-gas/quote_collateral.json", "2025-09-10T00:00:00Z", "UpToDate"),
    ],
)
def test_collateral_as_tools_keep_it(
    kind: str, quote: str, collateral: str, at: str, status: str, capsys: pytest.CaptureFixture[str]
) -> None:
    files = ("--collateral", PHALA / collateral, "--accept-status", "any")
    code, found = _run(capsys, kind, PHALA / quote, *files, at=dt.datetime.fromisoformat(at))
    assert (code, found.get("tcb_status", found)) == (0, status)


@needs_vectors(len(CHAINS) or 11)
@pytest.mark.parametrize("path", CHAINS)
def test_reports_of_devices(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = _run(capsys, "nvidia", FOLDER / path, "--chain", FOLDER / CHAINS[path])
    if path in REFUSED:
        assert (code, found["check"]) == (4, REFUSED[path])
        return
    (expected,), (device,) = manifest()[path]["checked"], found["devices"]
    assert code == 0
    assert device["ueid"] == expected["ueid_leaf_serial_decimal"]
    assert device["driver_version"] == expected["driver_version"]
    assert device["vbios_version"] == expected["vbios_version"]
    code, found = _run(capsys, "nvidia", FOLDER / path, "--chain", FOLDER / CHAINS[path], "--nonce", "00" * 32)
    assert (code, found["check"]) == (4, "GPU_NONCE_MISMATCH")


@needs_vectors(len(DEVICES) or 11)
@pytest.mark.parametrize("path", DEVICES)
def test_devices_in_json(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = _run(capsys, "nvidia", FOLDER / path)
    expected = manifest()[path]["checked"]
    assert code == 0
    assert [device["ueid"] for device in found["devices"]] == [each["ueid_leaf_serial_decimal"] for each in expected]
