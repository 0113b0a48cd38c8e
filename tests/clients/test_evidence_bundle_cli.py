"""`sealgate evidence verify --collateral BUNDLE`: the bundle that a site exported, for evidence of every kind.

Whether its own signature was checked is said, and never assumed; its pieces count by their vendors' signatures alone.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from attest.anchors import Anchors
from attest.evidence import TdxCollateral
from clients.cli.main import Doors, main
from kbs.model.bundle import bundle_text, contents_of, join_bundle
from kbs.model.collateral import Piece
from kbs.model.pieces import pack_below, pack_chain
from tests.attest.azure.made import evidence, td_evidence
from tests.attest.snp.made import DATA, NOW, chip, hierarchy
from tests.attest.tdx.made import collateral, intel, platform
from tests.clients.test_evidence_azure_cli import _json as azure_json
from tests.kbs.collateral.test_bundle import KEY, OTHER, SIGNER
from tests.makers import nvidia
from tests.makers.kds import pem
from tests.makers.nvidia_rim import manifests
from tests.makers.quote import SGX, Form
from tests.makers.qvl import quote_collateral

NOW_MS = int(NOW.timestamp() * 1_000)
GPUS = nvidia.mint(now=NOW)
GPU = GPUS.device()


def _piece(name: str, data: bytes) -> Piece:
    return Piece(name=name, data=data, fetched_at=NOW_MS, good_until=NOW_MS + 86_400_000)


def _amd(*, crl: bytes | None = None) -> list[Piece]:
    vcek, ask, ark = chip().certificates
    return [
        _piece("amd/issuers/VCEK/Milan", pem(ask, ark)),
        _piece("amd/crl/VCEK/Milan", hierarchy().crl() if crl is None else crl),
        _piece("amd/vcek/Milan/aa/bb", vcek),
    ]


def _intel(given: TdxCollateral | None = None, tee: str = "TDX") -> list[Piece]:
    it = given or collateral(tee=tee)
    return [
        _piece(f"intel/tcb/{tee}/90c06f000000", pack_below(it.tcb_info_issuer_chain, it.tcb_info)),
        _piece(f"intel/qe/{tee}", pack_below(it.qe_identity_issuer_chain, it.qe_identity)),
        _piece("intel/pckcrl/platform", pack_below(it.pck_crl_issuer_chain, it.pck_crl)),
        _piece("intel/rootcrl", pack_below(it.tcb_info_issuer_chain, it.root_ca_crl)),
    ]


def _nvidia() -> list[Piece]:
    rims = [_piece(f"nvidia/rim/R{n}", data) for n, data in enumerate(manifests(GPUS)[:2])]
    lists = [_piece(f"nvidia/crl/l{n}", pack_chain((), der)) for n, der in enumerate(GPUS.crls())]
    answer = GPUS.ocsp(GPU.chain[1], GPU.chain[2])
    return [*rims, *lists, _piece("nvidia/ocsp/device/aa/1", pack_chain((), answer))]


@cache
def _fleet() -> tuple[Piece, ...]:
    """What a site has about everything it runs."""
    of_sgx = [piece for piece in _intel(tee="SGX") if piece.name in ("intel/qe/SGX", "intel/tcb/SGX/90c06f000000")]
    return (*_amd(), *_intel(), *of_sgx, *_nvidia(), _piece("arm/tomorrow", b"of a kind that is not known yet"))


def bundle(pieces: tuple[Piece, ...]) -> bytes:
    contents = contents_of(pieces)
    return join_bundle(SIGNER.note(bundle_text(SIGNER.origin, NOW_MS, contents)), contents)


class Run:
    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.capsys = capsys

    def file(self, name: str, data: bytes) -> str:
        path = self.folder / name
        path.write_bytes(data)
        return str(path)

    def text(self, kind: str, given: bytes, *more: object, now: dt.datetime = NOW) -> tuple[int, str, str]:
        files = ["--type", kind, "--evidence", self.file("evidence", EVIDENCE[kind]())]
        if kind == "nvidia":
            files += ["--chain", self.file("chain.pem", GPU.pem)]
        named = "--collateral", self.file("given", given)
        code = main(["evidence", "verify", *files, *named, *map(str, more)], Doors(now=now))
        out, err = self.capsys.readouterr()
        assert "Traceback" not in out + err
        return code, out, err

    def __call__(self, kind: str, given: bytes, *more: object) -> tuple[int, dict[str, Any]]:
        code, out, err = self.text(kind, given, *more, "--json")
        document = json.loads(out)
        assert isinstance(document, dict), err
        return code, document


EVIDENCE: dict[str, Callable[[], bytes]] = {
    "snp": lambda: chip().report(DATA),
    "tdx": lambda: platform().quote(DATA),
    "sgx": lambda: platform().quote(DATA, tee="SGX", form=Form(version=3, tee_type=SGX)),
    "azure-snp": lambda: azure_json(replace(evidence(), certificates=())),
    "azure-tdx": lambda: azure_json(td_evidence()),
    "nvidia": lambda: GPU.report(bytes(32)).hex().encode(),
}


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    anchors = Anchors(
        amd=hierarchy().anchors.amd, intel=intel().anchors.intel, nvidia=GPUS.anchors.nvidia, simulated=True
    )
    monkeypatch.setattr("attest.anchors.BUILT_IN", anchors)
    return Run(tmp_path, capsys)


@pytest.mark.parametrize("kind", EVIDENCE)
def test_one_bundle_is_enough_for_evidence_of_every_kind(run: Run, kind: str) -> None:
    code, found = run(kind, bundle(_fleet()))
    assert (code, found["verdict"]) == (0, "authentic")
    each = found["devices"] if kind == "nvidia" else [found]
    outcomes = {f["check"]: f["outcome"] for one in each for f in one["findings"]}
    assert {outcome for check, outcome in outcomes.items() if check != "REPORT_DATA_MISMATCH"} - {"passed"} == (
        {"skipped"} if kind == "nvidia" else set()
    ), outcomes  # of devices the nonce is not compared; lists are checked everywhere
    [told] = found["collateral_bundles"]
    assert (told["signature"], told["signed_by"], told["origin"]) == ("not checked", None, SIGNER.origin)
    code, text, _ = run.text(kind, bundle(_fleet()))
    assert (code, "its signature was not checked, since neither --trust nor --signed-by" in text) == (0, True)


@pytest.mark.parametrize("kind", EVIDENCE)
def test_a_signature_that_was_checked_is_said(run: Run, kind: str) -> None:
    code, found = run(kind, bundle(_fleet()), "--signed-by", KEY.vkey)
    assert (code, found["collateral_bundles"][0]["signature"]) == (0, "verified")
    assert found["collateral_bundles"][0]["signed_by"] == KEY.vkey
    assert "its signature is good" in run.text(kind, bundle(_fleet()), "--signed-by", KEY.vkey)[1]


@pytest.mark.parametrize("kind", EVIDENCE)
def test_somebody_elses_bundle_is_refused_where_a_key_was_named(run: Run, kind: str) -> None:
    code, found = run(kind, bundle(_fleet()), "--signed-by", OTHER.vkey)
    assert (code, found["verdict"], found["check"]) == (4, "refused", "NOTE_UNSIGNED")


def test_the_trust_file_of_the_site_names_the_key(run: Run) -> None:
    document = {
        "v": "sealgate.trust/1", "origin": "keys.example.com", "broker_ca": "-", "log_keys": [KEY.vkey],
        "tenant": "acme", "simulated": False,
    }  # fmt: skip
    trust = run.file("trust.json", json.dumps(document).encode())
    code, found = run("snp", bundle(_fleet()), "--trust", trust)
    assert (code, found.get("collateral_bundles", [{}])[0].get("signature")) == (0, "verified")


def test_a_good_signature_makes_nothing_true(run: Run) -> None:
    """Whoever gathered it may lie: a piece that its vendor did not sign counts for nothing."""
    forged = [replace(p, data=p.data[:-1] + bytes([p.data[-1] ^ 1])) for p in _intel()]
    code, found = run("tdx", bundle(tuple(forged)), "--signed-by", KEY.vkey)
    assert (code, found["verdict"]) == (4, "refused")
    code, found = run("snp", bundle(tuple(_amd(crl=hierarchy().crl([0x10001])))), "--signed-by", KEY.vkey)
    assert (code, found["check"]) == (4, "CERT_REVOKED")


@pytest.mark.parametrize("missing", ["intel/tcb/TDX/90c06f000000", "intel/qe/TDX", "intel/rootcrl"])
def test_half_a_family_is_none(run: Run, missing: str) -> None:
    code, found = run("tdx", bundle(tuple(piece for piece in _intel() if piece.name != missing)))
    assert (code, found["check"]) == (4, "COLLATERAL_MISSING")


def test_a_bundle_that_was_cut(run: Run) -> None:
    whole = bundle(_fleet())
    for damaged in (whole[:-1], whole[:200], whole + b"x"):
        code, found = run("snp", damaged)
        assert (code, found["check"] in {"BUNDLE_DIGEST", "BUNDLE_FORMAT", "NOTE_FORMAT"}) == (4, True)


def test_bundle_and_json_together(run: Run) -> None:
    more = run.file("intel.json", json.dumps(quote_collateral(collateral())).encode())
    code, found = run("tdx", bundle(tuple(_amd())), "--collateral", more)
    assert (code, len(found["collateral_bundles"])) == (0, 1)


# name: (kind, what is given, options, what the sentence says)
USAGE: dict[str, tuple[str, bytes, list[str], str]] = {
    "Intel's documents for another vendor": ("snp", b"{}", [], "JSON of Intel's documents is not for --type snp"),
    "Intel's documents for devices": ("nvidia", b"{}", [], "is not for --type nvidia"),
    "a key and no bundle": (
        "tdx",
        json.dumps(quote_collateral(collateral())).encode(),
        ["--signed-by", KEY.vkey],
        "say who signed a bundle",
    ),
    "a key and a trust file": ("snp", b"", ["--signed-by", KEY.vkey, "--trust", "t"], "not allowed with"),
}


@pytest.mark.parametrize("case", USAGE)
def test_usage(run: Run, case: str) -> None:
    kind, given, options, sentence = USAGE[case]
    code, _, err = run.text(kind, given, *options)
    assert (code, sentence in err) == (2, True), err
