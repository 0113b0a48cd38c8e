"""Files that are no evidence, of every type: a sentence and the exit code, never a traceback."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest

from clients.cli.main import Doors, main

TYPES = ["snp", "tdx", "sgx", "nvidia", "azure-snp", "azure-tdx"]
FILES = {
    "nothing": b"",
    "white space": b" \n",
    "binary": bytes(range(7, 256)) * 5,
    "zeros": bytes(5_000),
    "text": b"not evidence",
    "odd hexadecimal": b"abc",
    "JSON cut short": b'{"a":',
    "JSON of another kind": b'{"a": [1.5, null, {"b": "c"}]}',
    "a list of nothing": b"[]",
    "a list in a list, without end": b"[" * 100_000,
    "objects without end": b'{"a":' * 100_000,
    "a number without end": b'{"version": ' + b"9" * 10_000 + b"}",
    "half a surrogate": b'{"attestation_report": "\\ud800"}',
    "another encoding": '{"a": 1}'.encode("utf-16"),
}


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("case", FILES)
def test_what_is_no_evidence(case: str, kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "evidence"
    path.write_bytes(FILES[case])
    beside = {"tdx": ["--collateral"], "sgx": ["--collateral"], "azure-tdx": ["--collateral"], "nvidia": ["--chain"]}
    json_with_its_chain = kind == "nvidia" and FILES[case].startswith((b"{", b"["))
    given = [] if json_with_its_chain or kind not in beside else [*beside[kind], str(path)]
    for arguments in (["show"], ["verify", *given]):
        told = [*arguments, "--type", kind, "--evidence", str(path), "--json"]
        code = main(["evidence", *told], Doors(now=dt.datetime(2026, 3, 1, tzinfo=dt.UTC)))
        out, err = capsys.readouterr()
        found = json.loads(out)
        assert (code, err, found["verdict"]) == (4, "", "refused")
        assert all(found[name] for name in ("check", "path", "expected", "got"))


@pytest.mark.parametrize("kind", TYPES)
def test_what_cannot_be_read(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(100 << 20)
    for path, said in ((tmp_path / "missing", "No such file"), (tmp_path, "directory"), (large, "is larger than")):
        for action in ("show", "verify"):
            given = ["--collateral", str(path)] if action == "verify" and kind in ("tdx", "sgx", "azure-tdx") else []
            chain = ["--chain", str(path)] if action == "verify" and kind == "nvidia" else []
            told = [action, "--type", kind, "--evidence", str(path), *given, *chain]
            code = main(["evidence", *told], Doors(now=dt.datetime(2026, 3, 1, tzinfo=dt.UTC)))
            out, err = capsys.readouterr()
            assert (code, out) == (2, "")
            assert err.startswith("sealgate: ")
            assert said in err
