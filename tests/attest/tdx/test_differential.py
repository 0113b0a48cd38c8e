"""Two verifiers of one specification: dcap-qvl and ours agree, or the table says why not."""

from __future__ import annotations

import datetime as dt

import pytest

from attest.anchors import BUILT_IN
from attest.tdx.claims import TcbStatus
from attest.tdx.collateral_json import read_collateral
from attest.tdx.verify import verify_quote
from clients.cli.evidence_forms import decoded
from tests.attest.tdx.differential import DIFFERENCES, answer_to, cases, judged, ours
from tests.attest.tdx.made import intel
from tests.attest.tdx.test_vectors import CASES, FOLDER
from tests.makers.qvl import ask
from tests.vectors import needs_vectors

MADE = cases()
STATUSES = set(TcbStatus.__members__)


def test_there_are_enough_and_no_stale_difference() -> None:
    assert len(MADE) >= 140
    assert MADE.keys() >= DIFFERENCES.keys()


@pytest.mark.parametrize("case", MADE)
def test_generated(case: str) -> None:
    made = MADE[case]()
    answer, oracle = ours(made), ask(made.quote, made.collateral, intel().root.der, made.now)
    agree = (answer if answer in STATUSES else None) == oracle.status
    assert agree is (case not in DIFFERENCES), f"ours {answer}, dcap-qvl {oracle.status or oracle.sentence}"
    if not agree:
        accepted = DIFFERENCES[case].split(":")[0]
        assert accepted == ("accepted" if answer in STATUSES else "refused")


# What dcap-qvl refuses while it verifies, and a profile here; and one set of collateral that it cannot read.
REASONS = {
    "SEPT_VE_DISABLE is not enabled": "TD_SEPT_VE",
    "Invalid MR service TD": "TD_SERVICE_TD",
    "Debug mode is enabled": "DEBUG",
    "No matching TCB level found": "TCB_NOT_SUPPORTED",
    "Failed to verify certificate chain": "CERT_NOT_YET_VALID",
    "missing field `sgxtcbcomponents`": "TCB info of version 2, which dcap-qvl does not read",
}


@needs_vectors(len(CASES))
@pytest.mark.parametrize("case", CASES)
def test_captured(case: str) -> None:
    path, run = CASES[case]
    quote = decoded((FOLDER / path).read_bytes())
    given = read_collateral((FOLDER / "tdx/derived/bundles" / run["bundle"]).read_bytes())
    now, recorded = dt.datetime.fromtimestamp(run["now"], dt.UTC), run["dcap_qvl"]
    if recorded["ok"]:
        found = verify_quote(quote, [given], BUILT_IN, now=now, revocation_required=True)
        assert judged(found) == recorded["status"]
        assert list(found.claims.tcb_verdict.advisories) == sorted(recorded["adv"])
        root = (FOLDER / "tdx/Phala-Network-dcap-qvl/TrustedRootCA.der").read_bytes()
        assert ask(quote, given, root, now).status == recorded["status"]
        return
    reason = next(why for sentence, why in REASONS.items() if sentence in recorded["error"])
    answer = answer_to(quote, [given], BUILT_IN, now)
    if reason.startswith("TCB info of version 2"):
        assert answer in (STATUSES | {"SGX_DEBUG"})
    elif path.endswith("SPR_E4.dat"):
        assert answer == "QUOTE_TRAILING"
    else:
        assert reason in answer
