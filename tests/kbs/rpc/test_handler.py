"""What the operator's log says when a call could not be answered, and what the caller learns of it: the reason."""

from __future__ import annotations

import logging
from typing import Any, cast

import pytest

from attest.errors import Malformed
from kbs.model.refusal import Refused, Unavailable
from kbs.rpc.handler import Call, _guarded
from kbs.store.errors import StoreUnavailable


class Aborted(Exception):
    """What grpc raises from `abort`."""


class Context:
    """One TLS 1.3 call."""

    def auth_context(self) -> dict[str, list[bytes]]:
        return {"ssl_tls_version": [b"TLSv1.3"]}

    def set_trailing_metadata(self, metadata: object) -> None:
        self.metadata = metadata

    async def abort(self, _code: object, message: str) -> None:
        raise Aborted(message)


@pytest.mark.parametrize(
    ("error", "cause", "logged"),
    [
        (Unavailable("LOG_UNAVAILABLE"), StoreUnavailable("COMMIT failed: disk is full"), True),
        (Unavailable("LOG_UNAVAILABLE"), None, False),
        (Refused("INVALID_REQUEST"), ValueError("what the caller sent"), False),
    ],
    ids=["unavailable with a cause", "unavailable without one", "refused"],
)
async def test_the_cause_is_the_operators(
    error: Refused, cause: Exception | None, logged: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def method(_data: bytes, _call: Call) -> bytes:
        raise error from cause

    context: Any = Context()
    with caplog.at_level(logging.ERROR, "sealgate.rpc"), pytest.raises(Aborted) as told:
        await _guarded("ReleaseKeys", method)(b"", context)
    lines = ["ReleaseKeys was answered with LOG_UNAVAILABLE: COMMIT failed: disk is full"] if logged else []
    assert [record.getMessage() for record in caplog.records] == lines
    assert "disk" not in str(told.value) + str(context.metadata)


async def test_what_is_missing_to_judge_is_said_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """Any caller can bring it about, as often as they like; the operator is to mend it."""
    failed = ["CRL_EXPIRED", "CRL_EXPIRED", "CRL_MISSING", "REPORT_DATA_MISMATCH"]
    checks = iter(failed)

    async def method(_data: bytes, _call: Call) -> bytes:
        raise Malformed(next(checks), "crls", expected="a list", got="none")

    handle, context = _guarded("ReleaseKeys", method), Context()
    with caplog.at_level(logging.ERROR, "sealgate.rpc"):
        for _ in failed:
            with pytest.raises(Aborted):
                await handle(b"", cast("Any", context))
    said = [record.getMessage().partition(": crls")[0] for record in caplog.records]
    assert said == [
        f"ReleaseKeys was answered with COLLATERAL_UNAVAILABLE: {c}" for c in ("CRL_EXPIRED", "CRL_MISSING")
    ]
