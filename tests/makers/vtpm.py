"""A vTPM in memory, as the client's device: commands in, answers out, as the specification has them or spoiled.

Written from TCG "Trusted Platform Module Library", Parts 2 and 3, apart from the client that it tests.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from tests.makers import azure

__all__ = ["AK_ATTRIBUTES", "COMMANDS", "INDEX", "NV_ATTRIBUTES", "FakeVtpm", "answer"]

INDEX, AK = 0x01400001, 0x81000003
AK_ATTRIBUTES = 0x0005_0072  # fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, restricted, sign
NV_ATTRIBUTES = 0x6006_0006  # OWNERWRITE, AUTHWRITE, OWNERREAD, AUTHREAD, WRITTEN, PLATFORMCREATE
COMMANDS = {
    "NV_Read": 0x14E, "Quote": 0x158, "NV_ReadPublic": 0x169, "ReadPublic": 0x173, "GetCapability": 0x17A,
    "PCR_Read": 0x17E,
}  # fmt: skip
_NAMES = {code: name for name, code in COMMANDS.items()}
_HANDLE_1, _BAD_AUTH_1, _COMMAND_CODE, _NV_RANGE = 0x18B, 0x9A2, 0x143, 0x146
_PASSWORD = struct.pack(">IIHBH", 9, 0x40000009, 0, 0, 0)


def answer(parameters: bytes, *, code: int = 0, sessions: bool = False) -> bytes:
    """A whole answer around its parameters."""
    if sessions and not code:
        parameters = struct.pack(">I", len(parameters)) + parameters + bytes.fromhex("0000010000")
    return struct.pack(">HII", 0x8002 if sessions and not code else 0x8001, 10 + len(parameters), code) + parameters


def _2b(data: bytes) -> bytes:
    return struct.pack(">H", len(data)) + data


class FakeVtpm:
    """`report` lies in the NV index of the paravisor; `spoil` gets the command's name and answer, and may change it.

    `before` is called with each command's name before it is carried out: what else goes on in the guest.
    """

    def __init__(
        self,
        report: bytes | None,
        *,
        key: RSAPrivateKey | None = None,
        pcrs: Sequence[bytes] = azure.PCR_VALUES,
        ak: bool = True,
        ak_attributes: int = AK_ATTRIBUTES,
        nv_attributes: int = NV_ATTRIBUTES,
        nv_buffer: int = 1_024,
        owner_taken: bool = False,
        at_once: int = 8,
    ) -> None:
        self.report = report
        self.key = key or azure.attestation_key()
        self.pcrs = list(pcrs)
        self.ak = ak
        self.counter = 7
        self.asked: list[str] = []
        self.before: Callable[[str], object] = lambda name: None
        self.spoil: Callable[[str, bytes], bytes] = lambda name, given: given
        self._ak_attributes = ak_attributes
        self._nv_attributes = nv_attributes
        self._nv_buffer = nv_buffer
        self._owner_taken = owner_taken
        self._at_once = at_once

    def __call__(self, command: bytes) -> bytes:
        tag, size, code = struct.unpack_from(">HII", command)
        name = _NAMES.get(code, hex(code))
        self.asked.append(name)
        self.before(name)
        assert size == len(command)
        sessions = name in ("NV_Read", "Quote")
        assert tag == (0x8002 if sessions else 0x8001)
        body = command[10:]
        if sessions:
            handles = 8 if name == "NV_Read" else 4
            assert body[handles : handles + 13] == _PASSWORD
            body = body[:handles] + body[handles + 13 :]
        found = getattr(self, f"_{name.lower()}", lambda _: _COMMAND_CODE)(body)
        given = answer(b"", code=found) if isinstance(found, int) else answer(found, sessions=sessions)
        return self.spoil(name, given)

    def extend(self, number: int, value: bytes) -> None:
        """What a unit of the boot does."""
        self.pcrs[number] = value
        self.counter += 1

    def _nv_readpublic(self, body: bytes) -> bytes | int:
        if self.report is None or body != INDEX.to_bytes(4, "big"):
            return _HANDLE_1
        public = struct.pack(">IHIHH", INDEX, 0x000B, self._nv_attributes, 0, len(self.report))
        return _2b(public) + _2b(b"\0\x0b" + bytes(32))

    def _nv_read(self, body: bytes) -> bytes | int:
        handle, index, size, offset = struct.unpack(">IIHH", body)
        if index != INDEX or self.report is None:
            return _HANDLE_1
        if handle == 0x40000001 and self._owner_taken:
            return _BAD_AUTH_1
        if size > self._nv_buffer or offset + size > len(self.report):
            return _NV_RANGE
        return _2b(self.report[offset : offset + size])

    def _getcapability(self, body: bytes) -> bytes | int:
        assert body == struct.pack(">III", 6, 0x12C, 1)
        return struct.pack(">BIIII", 1, 6, 1, 0x12C, self._nv_buffer)

    def _readpublic(self, body: bytes) -> bytes | int:
        if not self.ak or body != AK.to_bytes(4, "big"):
            return _HANDLE_1
        numbers = self.key.public_key().public_numbers()
        modulus = numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8, "big")
        area = struct.pack(">HHIHHHHHI", 1, 0x000B, self._ak_attributes, 0, 0x10, 0x14, 0x0B, len(modulus) * 8, 0)
        return _2b(area + _2b(modulus)) + _2b(b"\0\x0b" + bytes(32)) + _2b(b"\0\x0b" + bytes(32))

    def _pcr_read(self, body: bytes) -> bytes | int:
        assert body[:7] == struct.pack(">IHB", 1, 0x000B, 3)
        asked = int.from_bytes(body[7:], "little")
        numbers = [number for number in range(24) if asked >> number & 1][: self._at_once]
        bits = sum(1 << number for number in numbers).to_bytes(3, "little")
        values = b"".join(_2b(self.pcrs[number]) for number in numbers)
        return struct.pack(">IIHB", self.counter, 1, 0x000B, 3) + bits + struct.pack(">I", len(numbers)) + values

    def _quote(self, body: bytes) -> bytes | int:
        if not self.ak or body[:4] != AK.to_bytes(4, "big"):
            return _HANDLE_1
        size = int.from_bytes(body[4:6], "big")
        nonce, rest = body[6 : 6 + size], body[6 + size :]
        assert rest == struct.pack(">HHIHB", 0x14, 0x0B, 1, 0x0B, 3) + b"\xff\xff\xff"
        made = azure.quote(nonce, pcrs=self.pcrs, key=self.key)
        return _2b(made.message) + struct.pack(">HH", 0x14, 0x0B) + _2b(made.signature)
