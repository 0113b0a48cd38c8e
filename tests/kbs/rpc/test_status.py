"""What a caller may learn from a refusal: every reason has its code, and a decision tells nothing but its ticket."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

import attest
import kbs
from attest.errors import AttestError, Malformed, NotAuthentic, NotBound, NotLogged
from kbs.model.refusal import Refused, Unavailable
from kbs.rpc.status import CHECKS, DOMAIN, REASONS, reason_of, status_of

KBS, ATTEST = Path(kbs.__file__).parent, Path(attest.__file__).parent
CODES = {
    "INVALID_ARGUMENT", "UNAUTHENTICATED", "PERMISSION_DENIED", "FAILED_PRECONDITION", "RESOURCE_EXHAUSTED",
    "UNAVAILABLE", "ABORTED", "NOT_FOUND", "ALREADY_EXISTS", "INTERNAL",
}  # fmt: skip
TELLING = {"INVALID_ARGUMENT", "UNAUTHENTICATED"}


def _told(error: AttestError | Refused) -> tuple[grpc.StatusCode, ErrorInfo, RetryInfo | None]:
    code, message, details = status_of(error)
    status = Status.FromString(details)
    assert (status.code, status.message) == (code.value[0], message)
    info, retry = ErrorInfo(), RetryInfo()
    assert status.details[0].Unpack(info)
    assert info.domain == DOMAIN == "sealgate"
    more = status.details[1:]
    assert len(more) == (code is grpc.StatusCode.UNAVAILABLE)
    return code, info, retry if more and more[0].Unpack(retry) else None


def _words(root: Path, *calls: str) -> Iterator[tuple[str, str]]:
    """(module, first argument) of every call by one of these names whose first argument is a plain text."""
    for module in sorted(root.rglob("*.py")):
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                function = node.func
                name = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
                if name in calls and isinstance(node.args[0].value, str):
                    yield module.name, node.args[0].value


def test_every_reason_has_a_code_and_a_sentence() -> None:
    for reason, (code, message) in REASONS.items():
        assert code.name in CODES, reason
        assert message[0].isupper(), reason
        assert message.endswith("."), reason
        assert reason == reason.upper()
    sentences = [message for _, message in REASONS.values()]
    assert len(set(sentences)) == len(sentences)


def test_every_reason_that_is_raised_is_in_the_table() -> None:
    raised = set(_words(KBS, "Refused", "Unavailable", "_violated"))
    assert len(raised) > 20
    assert {(module, word) for module, word in raised if word not in REASONS} == set()


def test_every_check_of_the_table_exists_and_has_a_reason() -> None:
    assert set(CHECKS.values()) <= set(REASONS)
    texts = {
        node.value
        for root in (ATTEST, KBS)
        for module in root.rglob("*.py")
        if module not in {KBS / "rpc" / "status.py", KBS / "rpc" / "errors_doc.py"}
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    composed = {"RIM_NOT_YET_VALID", "RIM_EXPIRED"}  # of the document's name and what is wrong with it
    assert set(CHECKS) - texts - composed == set()


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Malformed, "EVIDENCE_MALFORMED"),
        (NotAuthentic, "EVIDENCE_SIGNATURE_INVALID"),
        (NotBound, "BINDING_MISMATCH"),
        (NotLogged, "EVIDENCE_SIGNATURE_INVALID"),
    ],
)
def test_a_check_that_is_not_in_the_table_has_its_kinds_reason(kind: type[AttestError], reason: str) -> None:
    assert reason_of(kind("SOMETHING_NEW", "p", expected=1, got=2)) == reason
    for check, other in CHECKS.items():
        assert reason_of(kind(check, "p", expected=1, got=2)) == other


@pytest.mark.parametrize("check", [*CHECKS, "SNP_LENGTH"])
def test_a_failed_check_is_told_whole(check: str) -> None:
    code, info, retry = _told(NotAuthentic(check, "report.x", expected=b"\1", got="2"))
    assert dict(info.metadata) == {"check": check, "path": "report.x", "expected": "01", "got": "2"}
    assert code is REASONS[info.reason][0]
    assert (retry is not None) == (code is grpc.StatusCode.UNAVAILABLE)


OF_PEOPLE = {"ALREADY_EXISTS", "CATALOGUE_RULE", "ETAG_MISMATCH", "LEASE_OVER", "NOT_FOUND"}


@pytest.mark.parametrize("reason", REASONS)
def test_a_decision_tells_its_ticket_alone(reason: str) -> None:
    """Whatever the exception holds; but people who may list there are told what stands in the way of a change."""
    full = Refused(reason, ticket="0" * 32, check="POLICY_MEASUREMENT", expected="aa", got="the asset's name")
    code, info, _ = _told(full)
    keys = {"ticket", "check", "expected", "got"} if code.name in TELLING or reason in OF_PEOPLE else {"ticket"}
    assert info.metadata.keys() == keys
    assert info.reason == reason
    assert _told(Refused(reason))[1].metadata == {}


def test_access_denied_is_the_same_bytes_for_all_but_the_ticket() -> None:
    told = {status_of(Refused("ACCESS_DENIED", ticket="0" * 32, check=check, got=check))[2] for check in ("A", "B", "")}
    assert len(told) == 1


@pytest.mark.parametrize("reason", ["", "ALLOWED", "PASSWORD_WRONG", "access_denied", "ACCESS_DENIED "])
def test_a_reason_that_nobody_knows_is_a_defect_of_ours(reason: str) -> None:
    code, info, _ = _told(Refused(reason, ticket="0" * 32, check="c", expected="e", got="g"))
    assert (code, info.reason, dict(info.metadata)) == (grpc.StatusCode.INTERNAL, "INTERNAL", {"ticket": "0" * 32})


@pytest.mark.parametrize(("seconds", "shown"), [(1.0, (1, 0)), (0.25, (0, 250_000_000)), (90.5, (90, 500_000_000))])
def test_when_to_try_again(seconds: float, shown: tuple[int, int]) -> None:
    _, _, retry = _told(Unavailable("LOG_UNAVAILABLE", retry_after=seconds))
    assert retry is not None
    assert (retry.retry_delay.seconds, retry.retry_delay.nanos) == shown


def test_the_status_fits_into_trailing_metadata() -> None:
    """gRPC's default limit is 8 KB for all of it; longer values are cut where the error is made."""
    long = NotBound("REPORT_DATA_MISMATCH", "p" * 200, expected=bytes(5_000), got="ü" * 100_000)
    assert len(status_of(long)[2]) < 2_000
