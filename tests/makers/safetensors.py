"""A small safetensors file: header length, JSON header, tensors."""

from __future__ import annotations

import json
import struct

__all__ = ["make", "read_header"]


def make(tensors: int = 4, floats: int = 4_096) -> bytes:
    """`tensors` F32 tensors of `floats` values each, the same on every run."""
    size = floats * 4
    header = {
        f"layer.{n}.weight": {"dtype": "F32", "shape": [floats], "data_offsets": [n * size, (n + 1) * size]}
        for n in range(tensors)
    }
    text = json.dumps(header, separators=(",", ":")).encode()
    text = text.ljust(-(-len(text) // 8) * 8)
    data = b"".join(struct.pack("<f", n % 97 / 97) for n in range(tensors * floats))
    return len(text).to_bytes(8, "little") + text + data


def read_header(data: bytes) -> dict[str, dict[str, object]]:
    """The JSON header; raises ValueError if the file is not one."""
    length = int.from_bytes(data[:8], "little")
    header: dict[str, dict[str, object]] = json.loads(data[8 : 8 + length])
    last = max(int(entry["data_offsets"][1]) for entry in header.values())  # type: ignore[index]
    if len(data) != 8 + length + last:
        raise ValueError("the tensors do not fill the file")
    return header
