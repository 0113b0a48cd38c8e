"""A libnvidia-nscq in memory: C's functions, which call back through ctypes as the real library does.

Call-backs are called with the structures of nscq.h, so that a wrong layout is seen. `fails` are return codes by call,
or by path of an observation.
"""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from clients.workload.devices_nscq import Certificates, Report, SessionResult, Uuid
from tests.makers.nvidia import Device

__all__ = ["FakeNscq"]

_SESSION = 0x5E5510


def _uuid(switch: Device) -> bytes:
    return hashlib.sha256(switch.pdi).digest()[:16]


def _plain(value: Any) -> Any:
    """As C receives it: a number."""
    return value.value if isinstance(value, ctypes._SimpleCData) else value


class FakeNscq:
    """`answers` replaces how many answers an observation of a report gives; `lacks` are functions it does not have."""

    def __init__(
        self,
        switches: Sequence[Device],
        *,
        fails: Mapping[str, int] | None = None,
        answers: int = 1,
        report_size: int | None = None,
        lacks: str = "",
    ) -> None:
        self._switches = {_label(_uuid(switch)): switch for switch in switches}
        self._fails = dict(fails or {})
        self._answers = answers
        self._report_size = report_size
        self._nonce = b""
        self.sessions: list[int] = []
        for name in ("session_create", "session_destroy", "uuid_to_label", "session_set_input", "session_path_observe"):
            if name != lacks:
                setattr(self, f"nscq_{name}", _function(getattr(self, f"_{name}")))

    def _session_create(self, flags: int) -> SessionResult:
        code = self._fails.get("nscq_session_create", 0)
        if code < 0 or flags != 1:
            return SessionResult(rc=code or -5, session=None)
        self.sessions.append(_SESSION)
        return SessionResult(rc=code, session=_SESSION)

    def _session_destroy(self, session: Any) -> None:
        self.sessions.remove(_plain(session))

    def _uuid_to_label(self, uuid: Any, label: Any, _flags: Any) -> int:
        text = _label(bytes(ctypes.cast(uuid, ctypes.POINTER(Uuid)).contents.bytes))
        ctypes.memmove(label, text + b"\0", len(text) + 1)
        return self._fails.get("nscq_uuid_to_label", 0)

    def _session_set_input(self, session: Any, _flags: Any, data: Any, size: Any) -> int:
        if _plain(session) not in self.sessions:
            return -5
        self._nonce = bytes(ctypes.cast(data, ctypes.POINTER(ctypes.c_uint8 * _plain(size))).contents)
        return self._fails.get("nscq_session_set_input", 0)

    def _session_path_observe(self, session: Any, path: bytes, answer: Any, data: Any, _flags: Any) -> int:
        if _plain(session) not in self.sessions:
            return -5
        code = self._fails.get(path.decode().rpartition("/")[2], 0)
        if path == b"/drv/nvswitch/{device}/uuid":
            for switch in self._switches.values():
                uuid = Uuid((ctypes.c_uint8 * 16)(*_uuid(switch)))
                answer(ctypes.pointer(uuid), code, ctypes.pointer(uuid), data)
            return self._fails.get("nscq_session_path_observe", 0)
        label, _, what = path.removeprefix(b"/").partition(b"/")
        switch = self._switches[label]
        uuid = Uuid((ctypes.c_uint8 * 16)(*_uuid(switch)))
        value = self._report(switch) if what == b"config/attestation_report" else _certificates(switch)
        for _ in range(self._answers if what == b"config/attestation_report" else 1):
            answer(ctypes.pointer(uuid), code, value, data)
        return 0

    def _report(self, switch: Device) -> Report:
        report = switch.report(self._nonce)
        value = Report(report_size=len(report) if self._report_size is None else self._report_size)
        value.report[: len(report)] = report
        return value


def _function(method: Callable[..., Any]) -> Callable[..., Any]:
    """A function that takes restype and argtypes, as those of a C library do."""

    def function(*arguments: Any) -> Any:
        return method(*arguments)

    return function


def _label(uuid: bytes) -> bytes:
    return f"SWX-{uuid.hex().upper()}".encode()


def _certificates(switch: Device) -> Certificates:
    value = Certificates(cert_chain_size=len(switch.pem) + 1)  # with the zero byte of a C text
    value.cert_chain[: len(switch.pem)] = switch.pem
    return value
