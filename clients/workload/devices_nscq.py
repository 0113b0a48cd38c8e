"""Evidence of NVSwitches through NSCQ (libnvidia-nscq), which NVIDIA installs with the fabric manager's driver branch.

Source: NVIDIA, nscq.h of NSCQ 2.0. Answers come by call-back, one for each NVSwitch, identifiers as 16 bytes. The
library is handed in; it is a C library, so that whatever it returns is copied before the call-back returns.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from attest.evidence import DeviceEvidence
from clients.errors import Unavailable
from clients.workload.devices import NONCE

__all__ = ["LIBRARIES", "Certificates", "NscqSwitches", "Report", "SessionResult", "SwitchesUnread", "Uuid"]

LIBRARIES = ("libnvidia-nscq.so.2", "libnvidia-nscq.so")
_KIND = "nvidia-switch"
_MOUNT_DEVICES = 1  # NSCQ_SESSION_CREATE_MOUNT_DEVICES
_UUIDS = b"/drv/nvswitch/{device}/uuid"
_REPORT, _CERTIFICATES = b"/config/attestation_report", b"/config/certificate"
_MEANINGS = {
    -1: "not implemented", -2: "invalid UUID", -3: "resource not mountable", -4: "overflow", -5: "unexpected value",
    -6: "unsupported driver", -7: "driver error", -8: "timeout", -127: "external error", -128: "unspecified error",
}  # fmt: skip


class SwitchesUnread(Unavailable):
    """The guest cannot read its NVSwitches. The text names the call that failed."""


class Uuid(ctypes.Structure):
    """nscq_uuid_t."""

    _fields_ = (("bytes", ctypes.c_uint8 * 16),)


class Report(ctypes.Structure):
    """nscq_attestation_report_t."""

    _fields_ = (("report_size", ctypes.c_uint32), ("report", ctypes.c_uint8 * 0x2000))


class Certificates(ctypes.Structure):
    """nscq_attestation_certificate_t."""

    _fields_ = (("cert_chain", ctypes.c_uint8 * 0x1400), ("cert_chain_size", ctypes.c_uint32))


class SessionResult(ctypes.Structure):
    """nscq_session_result_t."""

    _fields_ = (("rc", ctypes.c_int8), ("session", ctypes.c_void_p))


class _Label(ctypes.Structure):
    _fields_ = (("data", ctypes.c_char * 64),)


def _callback(value: Any) -> Any:
    """The type of a call-back whose answer is `value`: of which device, return code, answer, our own data."""
    return ctypes.CFUNCTYPE(None, ctypes.POINTER(Uuid), ctypes.c_int8, value, ctypes.c_void_p)


class NscqSwitches:
    """The door; `library` is a loaded libnvidia-nscq."""

    def __init__(self, library: Any) -> None:
        self._library = library

    def collect(self, nonce: bytes) -> tuple[DeviceEvidence, ...]:
        """Evidence of each NVSwitch over these 32 bytes, in the order of their UUIDs; raises SwitchesUnread.

        1. a session with the driver, with every device in it
        2. which NVSwitches there are
        3. the nonce, and with it each one's report and certificates
        """
        if len(nonce) != NONCE:
            raise ValueError(f"a device's nonce is {NONCE} bytes")
        with self._session() as session:  # 1
            labels = sorted(self._labels(session))  # 2
            if not labels:
                raise SwitchesUnread(f"nscq_session_path_observe {_UUIDS.decode()} found no NVSwitch")
            given = (ctypes.c_uint8 * NONCE)(*nonce)
            self._checked("nscq_session_set_input", session, 0, ctypes.byref(given), NONCE)  # 3
            return tuple(self._evidence(session, label) for label in labels)

    @contextmanager
    def _session(self) -> Iterator[Any]:
        create = self._function("nscq_session_create", SessionResult, ctypes.c_uint32)
        result = create(_MOUNT_DEVICES)
        _check("nscq_session_create", result.rc)
        session = ctypes.c_void_p(result.session)
        try:
            yield session
        finally:
            self._function("nscq_session_destroy", None, ctypes.c_void_p)(session)

    def _labels(self, session: Any) -> list[bytes]:
        found = self._observe(session, _UUIDS, ctypes.POINTER(Uuid), lambda uuid: bytes(uuid.contents.bytes))
        return [self._label(Uuid((ctypes.c_uint8 * 16)(*uuid))) for uuid in found]

    def _label(self, uuid: Uuid) -> bytes:
        label = _Label()
        self._checked("nscq_uuid_to_label", ctypes.byref(uuid), ctypes.byref(label), 0)
        return bytes(label.data)

    def _evidence(self, session: Any, label: bytes) -> DeviceEvidence:
        at = b"/" + label
        report = self._one(session, at + _REPORT, Report, lambda r: _cut(r.report, r.report_size))
        chain = self._one(session, at + _CERTIFICATES, Certificates, lambda c: _cut(c.cert_chain, c.cert_chain_size))
        return DeviceEvidence(kind=_KIND, report=report, chain=chain.rstrip(b"\0"))

    def _one(self, session: Any, path: bytes, value: Any, read: Callable[[Any], bytes]) -> bytes:
        found = self._observe(session, path, value, read)
        if len(found) != 1 or not found[0]:
            got = f"{len(found)} answers" if len(found) != 1 else "an answer of no or too many bytes"
            raise SwitchesUnread(f"nscq_session_path_observe {path.decode('ascii', 'replace')} gave {got}")
        return found[0]

    def _observe(self, session: Any, path: bytes, value: Any, read: Callable[[Any], bytes]) -> list[bytes]:
        """What `read` made of each answer. A call-back can raise nothing through C, so codes are looked at after."""
        answers: list[tuple[int, bytes]] = []

        def answer(_device: Any, code: int, given: Any, _data: Any) -> None:
            answers.append((code, read(given) if code >= 0 else b""))

        name = "nscq_session_path_observe"
        self._checked(name, session, path, _callback(value)(answer), None, 0)
        for code, _ in answers:
            _check(f"{name} {path.decode('ascii', 'replace')}", code)
        return [data for _, data in answers]

    def _checked(self, name: str, *arguments: Any) -> None:
        path = next((f" {a.decode('ascii', 'replace')}" for a in arguments if isinstance(a, bytes)), "")
        function = self._function(name, ctypes.c_int8)
        words = [ctypes.c_uint32(a) if isinstance(a, int) else a for a in arguments]
        _check(f"{name}{path}", function(*words))

    def _function(self, name: str, result: Any, *arguments: Any) -> Any:
        try:
            function = getattr(self._library, name)
        except AttributeError as error:
            raise SwitchesUnread(f"libnvidia-nscq has no {name}") from error
        function.restype = result
        if arguments:
            function.argtypes = arguments
        return function


def _cut(buffer: Any, size: int) -> bytes:
    """The bytes in use; none if the size cannot be."""
    return bytes(buffer)[:size] if 0 < size <= len(buffer) else b""


def _check(call: str, code: int) -> None:
    """Below 0 is an error, above it a warning, with which the answer is there all the same."""
    if code < 0:
        raise SwitchesUnread(f"{call} failed: {_MEANINGS.get(code, 'unknown error')} ({code})")
