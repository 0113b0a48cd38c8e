"""The SGX extension of a PCK certificate, read as its profile says: each value of the wrong kind is refused."""

from __future__ import annotations

import pytest

from attest.tdx.pck import SGX_EXTENSION, read_pck
from attest.x509 import load_certificate
from tests.attest.refusal import refused
from tests.attest.tdx.made import platform
from tests.makers.intel import Sgx

LEAF = load_certificate(platform().pck.der, path="pck")
GOOD = Sgx().der()
ARC = bytes.fromhex("060a2a864886f84d010d01")  # an OID of one arc more
LONGER = bytes.fromhex("060b2a864886f84d010d01")  # and of two


def _changed(old: bytes, new: bytes) -> bytes:
    """The extension with one value in the place of another of the same length."""
    assert (GOOD.count(old), len(old)) == (1, len(new))
    return GOOD.replace(old, new)


def test_good_is_read() -> None:
    found = read_pck(LEAF._replace(extensions={SGX_EXTENSION: GOOD}))
    assert (found.sgx_type, found.dynamic_platform, found.cached_keys, found.smt_enabled) == (1, True, True, True)
    assert found.platform_instance_id == b"\x22" * 16
    off = read_pck(LEAF._replace(extensions={SGX_EXTENSION: Sgx(flags=(False, True, False)).der()}))
    assert (off.dynamic_platform, off.cached_keys, off.smt_enabled) == (False, True, False)
    part = read_pck(LEAF._replace(extensions={SGX_EXTENSION: Sgx(flags=(True,)).der()}))
    assert (part.dynamic_platform, part.cached_keys, part.smt_enabled) == (True, None, None)
    bare = read_pck(LEAF._replace(extensions={SGX_EXTENSION: Sgx(instance=b"", flags=()).der()}))
    assert (bare.platform_instance_id, bare.dynamic_platform) == (b"", None)


WRONG: dict[str, bytes] = {
    "nothing": b"",
    "no SEQUENCE": b"\x31" + GOOD[1:],
    "a byte behind": GOOD + b"\0",
    "two": GOOD + GOOD,
    "a PPID that is a text": _changed(ARC + b"\x01\x04", ARC + b"\x01\x0c"),
    "an FMSPC that is a number": _changed(ARC + b"\x04\x04", ARC + b"\x04\x02"),
    "a TCB that is a SET": _changed(ARC + b"\x02\x30", ARC + b"\x02\x31"),
    "a type that is a number": _changed(ARC + b"\x05\x0a", ARC + b"\x05\x02"),
    "a PCESVN that is a text": _changed(LONGER + b"\x02\x11\x02", LONGER + b"\x02\x11\x04"),
    "a PCESVN of 17 bits": Sgx(pcesvn=1 << 16).der(),
    "a component below nothing": _changed(LONGER + b"\x02\x01\x02\x01\x03", LONGER + b"\x02\x01\x02\x01\xff"),
    "a configuration that is no SEQUENCE": _changed(ARC + b"\x07\x30", ARC + b"\x07\x31"),
    "a flag that is a number": _changed(LONGER + b"\x07\x01\x01", LONGER + b"\x07\x01\x02"),
    "a flag that is neither true nor false": _changed(
        LONGER + b"\x07\x03\x01\x01\xff", LONGER + b"\x07\x03\x01\x01\x01"
    ),
    "an instance of 15 bytes": Sgx(instance=bytes(15)).der(),
    "a PCEID of 3 bytes": Sgx(pceid=bytes(3)).der(),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_with_an_extension(case: str) -> None:
    with refused("PCK_EXTENSION"):
        read_pck(LEAF._replace(extensions={SGX_EXTENSION: WRONG[case]}))


def test_a_certificate_with_an_extension_twice_says_nothing() -> None:
    with refused("PCK_EXTENSION"):
        read_pck(LEAF._replace(duplicate=SGX_EXTENSION))
