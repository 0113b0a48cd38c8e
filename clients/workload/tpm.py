"""The few commands of a TPM 2.0 that evidence is made of: read an NV index, a public area and PCRs, and quote them.

Source: TCG "Trusted Platform Module Library", Part 3: TPM2_GetCapability (30.2), TPM2_NV_ReadPublic (31.6),
TPM2_NV_Read (31.13), TPM2_ReadPublic (12.4), TPM2_PCR_Read (22.4), TPM2_Quote (18.4); structures in Part 2.
"""

from __future__ import annotations

import struct

from attest.reader import Reader
from attest.tpm import PCRS
from clients.errors import Unavailable
from clients.workload.tpm_codes import AUTH, HANDLE
from clients.workload.tpm_wire import TpmRefused, TpmWire, sized, structure, u16, u32

__all__ = ["FIXED_TPM", "RESTRICTED", "SIGN", "Tpm"]

FIXED_TPM, RESTRICTED, SIGN = 1 << 1, 1 << 16, 1 << 18  # TPMA_OBJECT

_NV_READ, _QUOTE, _NV_READ_PUBLIC, _READ_PUBLIC, _GET_CAPABILITY, _PCR_READ = 0x14E, 0x158, 0x169, 0x173, 0x17A, 0x17E
_OWNER = 0x40000001
_PROPERTIES, _NV_BUFFER_MAX = 6, 0x12C
_OWNERREAD, _AUTHREAD, _WRITTEN = 1 << 17, 1 << 18, 1 << 29  # TPMA_NV
_RSA, _SHA256, _NULL, _RSASSA = 0x0001, 0x000B, 0x0010, 0x0014
_MAX_INDEX = 16_384  # bytes of an index that is read
_MIN_CHUNK, _MAX_CHUNK = 64, 2_048  # bytes at once: what a TPM has to give, and what is taken of it
_TRIES = 5
_DIGEST = 32
_EXPONENT = 65_537


class Tpm:
    """A TPM 2.0; every method raises Unavailable, or TpmRefused with the code that the TPM gave."""

    def __init__(self, wire: TpmWire) -> None:
        self._wire = wire

    def has_index(self, index: int) -> bool:
        """Whether there is such an NV index."""
        try:
            self._index(index)
        except TpmRefused as error:
            if error.base == HANDLE:
                return False
            raise
        return True

    def nv_read(self, index: int) -> bytes:
        """All of an NV index, as its owner, or where ownership was taken as whoever knows its empty password."""
        attributes, size = self._index(index)
        if not attributes & _WRITTEN or not 0 < size <= _MAX_INDEX:
            what = f"{size} bytes" if attributes & _WRITTEN else "nothing, for it was never written"
            raise Unavailable(f"the TPM's NV index {index:#010x} holds {what}; 1 to {_MAX_INDEX} were expected")
        if attributes & _OWNERREAD:
            try:
                return self._read_as(_OWNER, index, size)
            except TpmRefused as error:
                if error.base not in AUTH or not attributes & _AUTHREAD:
                    raise
        if not attributes & _AUTHREAD:
            raise Unavailable(f"the TPM lets neither its owner nor a user read its NV index {index:#010x}")
        return self._read_as(index, index, size)

    def public(self, handle: int) -> tuple[int, int]:
        """Of an RSA key whose exponent is 65537: its modulus, and its attributes (TPMA_OBJECT)."""
        area = self._wire.ask(_READ_PUBLIC, _three, handle.to_bytes(4, "big"))[0]
        return structure(_READ_PUBLIC, area, _public)

    def pcrs(self) -> tuple[bytes, ...]:
        """All PCRs of the SHA-256 bank at one moment."""
        for _ in range(_TRIES):
            found = self._pcrs()
            if found is not None:
                return found
        raise Unavailable(f"the TPM's PCRs changed {_TRIES} times while they were read", retry_after=1.0)

    def quote(self, handle: int, nonce: bytes) -> tuple[bytes, bytes]:
        """A quote over all PCRs of the SHA-256 bank: TPMS_ATTEST, and the signature (RSASSA, SHA-256)."""
        parameters = struct.pack(">H", len(nonce)) + nonce + struct.pack(">HH", _RSASSA, _SHA256) + _selection(_ALL)
        attest, algorithm, digest, signature = self._wire.ask(
            _QUOTE, _signed, handle.to_bytes(4, "big"), parameters, authorised=True
        )
        if (algorithm, digest) != (_RSASSA, _SHA256):
            raise Unavailable(f"the TPM signed its quote with {algorithm:#x} over {digest:#x}, not RSASSA over SHA-256")
        return attest, signature

    def _index(self, index: int) -> tuple[int, int]:
        """Attributes (TPMA_NV) and size of an NV index."""
        area, _name = self._wire.ask(
            _NV_READ_PUBLIC, lambda reader: (sized(reader), sized(reader)), index.to_bytes(4, "big")
        )
        found, attributes, size = structure(_NV_READ_PUBLIC, area, _nv_public)
        if found != index:
            raise Unavailable(f"the TPM was asked about its NV index {index:#010x}, and answered about {found:#010x}")
        return attributes, size

    def _read_as(self, handle: int, index: int, size: int) -> bytes:
        chunk, data = min(self._chunk(), _MAX_CHUNK), b""
        handles = struct.pack(">II", handle, index)
        while len(data) < size:
            wanted = min(chunk, size - len(data))
            where = struct.pack(">HH", wanted, len(data))
            piece = self._wire.ask(_NV_READ, sized, handles, where, authorised=True)
            if len(piece) != wanted:
                raise Unavailable(f"the TPM gave {len(piece)} bytes of {index:#010x} where {wanted} were asked for")
            data += piece
        return data

    def _chunk(self) -> int:
        """How much of an index can be read at once."""
        kind, count, name, value = self._wire.ask(
            _GET_CAPABILITY, _one_property, parameters=struct.pack(">III", _PROPERTIES, _NV_BUFFER_MAX, 1)
        )
        if (kind, count, name) != (_PROPERTIES, 1, _NV_BUFFER_MAX) or value < _MIN_CHUNK:
            raise Unavailable("the TPM does not say how much of an NV index can be read at once")
        return value

    def _pcrs(self) -> tuple[bytes, ...] | None:
        """None if they changed meanwhile. The TPM gives eight or fewer at once, and says which."""
        missing, found, counters = _ALL, dict[int, bytes](), set[int]()
        while missing:
            counter, given, values = self._wire.ask(_PCR_READ, _pcr_values, parameters=_selection(missing))
            numbers = [number for number in range(PCRS) if given >> number & 1]
            if given & ~missing or len(values) != len(numbers) or any(len(value) != _DIGEST for value in values):
                raise Unavailable("the TPM gave other PCRs than it was asked for")
            if not numbers:
                raise Unavailable("the TPM has no PCRs of 32 bytes in a SHA-256 bank, or not all 24 of them")
            found |= dict(zip(numbers, values, strict=True))
            counters.add(counter)
            missing &= ~given
        return tuple(found[number] for number in range(PCRS)) if len(counters) == 1 else None


_ALL = (1 << PCRS) - 1


def _selection(bits: int) -> bytes:
    """TPML_PCR_SELECTION: one bank, SHA-256."""
    return struct.pack(">IHB", 1, _SHA256, PCRS // 8) + bits.to_bytes(PCRS // 8, "little")


def _three(reader: Reader) -> tuple[bytes, bytes, bytes]:
    """A public area, its name and its qualified name."""
    return sized(reader), sized(reader), sized(reader)


def _signed(reader: Reader) -> tuple[bytes, int, int, bytes]:
    """TPM2B_ATTEST and TPMT_SIGNATURE of an RSA key."""
    return sized(reader), u16(reader), u16(reader), sized(reader)


def _nv_public(reader: Reader) -> tuple[int, int, int]:
    """TPMS_NV_PUBLIC: index, attributes, size."""
    index = u32(reader)
    u16(reader)  # nameAlg
    attributes = u32(reader)
    sized(reader)  # authPolicy
    return index, attributes, u16(reader)


def _one_property(reader: Reader) -> tuple[int, int, int, int]:
    """TPMS_CAPABILITY_DATA of one property: which kind, how many, its name, its value."""
    reader.u8()  # moreData: that there are others
    return u32(reader), u32(reader), u32(reader), u32(reader)


def _pcr_values(reader: Reader) -> tuple[int, int, list[bytes]]:
    """The update counter, which PCRs, and their values; a bank that is not there is no bank, or one without PCRs."""
    counter, banks, given = u32(reader), u32(reader), 0
    if banks:
        kind, size = u16(reader), reader.u8()
        if (banks, kind, size) != (1, _SHA256, PCRS // 8):
            raise Unavailable(f"the TPM gave PCRs of {banks} banks, the first {kind:#x}, where SHA-256 was asked for")
        given = int.from_bytes(reader.take(size), "little")
    count = u32(reader)
    if count > PCRS:
        raise Unavailable(f"the TPM gave {count} PCRs at once")
    return counter, given, [sized(reader) for _ in range(count)]


def _public(reader: Reader) -> tuple[int, int]:
    """TPMT_PUBLIC of an RSA key: modulus, attributes."""
    kind = u16(reader)
    if kind != _RSA:
        raise Unavailable(f"the TPM's key is of type {kind:#x}, not RSA")
    u16(reader)  # nameAlg
    attributes = u32(reader)
    sized(reader)  # authPolicy
    if u16(reader) != _NULL:  # symmetric: keyBits and mode follow
        reader.take(4)
    if u16(reader) != _NULL:  # scheme: its hash follows
        reader.take(2)
    u16(reader)  # keyBits, which the modulus says
    exponent = u32(reader) or _EXPONENT
    if exponent != _EXPONENT:
        raise Unavailable(f"the TPM's key has the exponent {exponent}, not {_EXPONENT}")
    return int.from_bytes(sized(reader), "big"), attributes
