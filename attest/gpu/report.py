"""The measurement report of a GPU or NVSwitch: an SPDM 1.1 GET_MEASUREMENTS request and its response.

Source: DMTF DSP0274 1.1, "GET_MEASUREMENTS request and MEASUREMENTS response messages", with a DMTF measurement in
every block. NVML hands over request and response in one; the signature covers every byte before it, from the first of
the request. All integers are little-endian, only the signature (r || s) is big-endian. Offsets are those that the
lengths inside say: nothing is counted from the end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from attest.errors import Malformed
from attest.gpu.opaque import Opaque, parse_gpu, parse_switch

__all__ = ["GPU", "MAX_TRAILING", "SWITCH", "Report", "parse"]

GPU, SWITCH = "nvidia-gpu", "nvidia-switch"
MAX_TRAILING = 1  # NVML's buffer may be one NUL longer than the report

_REQUEST = bytes.fromhex("11e001ff")
_NONCE = slice(4, 36)
_RESPONSE = bytes.fromhex("0011600000")  # SlotID, version, code, Param1, Param2
_RECORD = 45
_BLOCK, _VALUE = 55, 48
_MAX_OPAQUE, _SIGNATURE = 4_096, 96
_BLOCKS = {GPU: 64, SWITCH: 31}
_PARSERS: dict[str, Callable[[bytes], Opaque]] = {GPU: parse_gpu, SWITCH: parse_switch}


def _columns(blocks: int) -> tuple[tuple[int, bytes], ...]:
    """What stands at each offset of a block's head, over all blocks of a record: Index rises from 1, the rest is fixed.

    Index, MeasurementSpecification (DMTF), MeasurementSize, DMTFSpecMeasurementValueType, -Size.
    """
    head = bytes.fromhex("013300013000")
    return (0, bytes(range(1, blocks + 1))), *((1 + n, bytes([byte]) * blocks) for n, byte in enumerate(head))


_COLUMNS = {kind: _columns(blocks) for kind, blocks in _BLOCKS.items()}
_VALUES = {kind: tuple(range(7, blocks * _BLOCK, _BLOCK)) for kind, blocks in _BLOCKS.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A report as it is written; nothing of it is authentic until its signature was checked.

    `measurements[n]` is that of SPDM index n + 1, which a manifest calls n. `signed` are the bytes that were signed, as
    they were received; `trailing` counts the zero bytes after the signature, which nobody signed.
    """

    kind: str
    nonce: bytes
    measurements: tuple[bytes, ...]
    responder_nonce: bytes
    opaque: Opaque
    signed: bytes
    signature: tuple[int, int]
    trailing: int


def parse(data: bytes, kind: str, known: Mapping[tuple[str, bytes], Opaque] | None = None) -> Report:
    """The report in `data`, as a device of `kind` makes it; `known` opaque data, by kind and bytes, is not read again.

    Raises Malformed GPU_KIND, GPU_REPORT_LENGTH, GPU_REPORT_FORMAT, GPU_MEASUREMENTS, GPU_OPAQUE or GPU_TRAILING.
    """
    if kind not in _BLOCKS:
        raise Malformed("GPU_KIND", "device.kind", expected=" or ".join(_BLOCKS), got=kind)
    if data[:4] != _REQUEST:
        raise _format("report.request", f"{_REQUEST.hex()} (SPDM 1.1 GET_MEASUREMENTS, signed, all)", data[:4])
    if data[36:41] != _RESPONSE:
        raise _format("report.response", f"{_RESPONSE.hex()} (slot 0, SPDM 1.1 MEASUREMENTS)", data[36:41])
    blocks = _BLOCKS[kind]
    size = int.from_bytes(data[42:45], "little")
    if data[41] != blocks or size != blocks * _BLOCK:
        got = f"{data[41]} blocks in {size} bytes"
        raise _format("report.measurements", f"{blocks} blocks in {blocks * _BLOCK} bytes, as {kind} has", got)
    end = _RECORD + size
    opaque_at = end + 34
    length = int.from_bytes(data[opaque_at - 2 : opaque_at], "little")
    signature_at = opaque_at + length
    if length > _MAX_OPAQUE or len(data) < signature_at + _SIGNATURE:
        raise _length(f"at least {signature_at + _SIGNATURE} bytes, {length} of them opaque data", f"{len(data)} bytes")
    signature = data[signature_at : signature_at + _SIGNATURE]
    return Report(
        kind=kind,
        nonce=data[_NONCE],
        measurements=_measurements(data[_RECORD:end], kind),
        responder_nonce=data[end : end + 32],
        opaque=_opaque(kind, data[opaque_at:signature_at], known),
        signed=data[:signature_at],
        signature=(int.from_bytes(signature[:48], "big"), int.from_bytes(signature[48:], "big")),
        trailing=_trailing(data[signature_at + _SIGNATURE :]),
    )


def _opaque(kind: str, data: bytes, known: Mapping[tuple[str, bytes], Opaque] | None) -> Opaque:
    """A device says the same of itself in report after report: what was read once is the value of these bytes."""
    found = known.get((kind, data)) if known else None
    return _PARSERS[kind](data) if found is None else found


def _measurements(record: bytes, kind: str) -> tuple[bytes, ...]:
    for offset, column in _COLUMNS[kind]:
        found = record[offset::_BLOCK]
        if found != column:
            number = next(n for n, byte in enumerate(found) if byte != column[n])
            path = f"report.measurements[{number}]"
            head = record[number * _BLOCK : number * _BLOCK + 7]
            expected = f"index {number + 1}, a DMTF measurement of {_VALUE} bytes"
            raise Malformed("GPU_MEASUREMENTS", path, expected=expected, got=head)
    return tuple([record[at : at + _VALUE] for at in _VALUES[kind]])


def _trailing(rest: bytes) -> int:
    """The count of bytes after the signature: at most one, and zero. More might mean something to somebody."""
    if len(rest) > MAX_TRAILING or any(rest):
        expected = f"nothing after the signature, or {MAX_TRAILING} zero byte"
        raise Malformed("GPU_TRAILING", "report", expected=expected, got=rest)
    return len(rest)


def _format(path: str, expected: str, got: object) -> Malformed:
    return Malformed("GPU_REPORT_FORMAT", path, expected=expected, got=got)


def _length(expected: str, got: str) -> Malformed:
    return Malformed("GPU_REPORT_LENGTH", "report", expected=expected, got=got)
