"""What the operator's log says when a call could not be answered, and what the caller learns of it: the reason."""

from __future__ import annotations

import logging
from typing import Any

import pytest

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
