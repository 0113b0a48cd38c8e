"""TCB_VERSION: layouts by product, comparison by component."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attest.snp.tcb import LAYOUT, decode, encode, product_of, shortfalls, shown
from tests.attest.refusal import refused


@pytest.mark.parametrize(
    ("product", "raw", "parts"),
    [
        ("Milan", "04000000000018db", {"bl": 4, "tee": 0, "snp": 24, "ucode": 219}),
        ("Genoa", "0a00000000001754", {"bl": 10, "tee": 0, "snp": 23, "ucode": 84}),
        ("Turin", "0101010400000051", {"fmc": 1, "bl": 1, "tee": 1, "snp": 4, "ucode": 81}),
    ],
)
def test_layouts(product: str, raw: str, parts: dict[str, int]) -> None:
    assert decode(product, bytes.fromhex(raw), path="it").components() == parts
    assert encode(product, parts).hex() == raw
    assert raw in shown(product, bytes.fromhex(raw))


@pytest.mark.parametrize("product", LAYOUT)
def test_reserved_bytes_must_be_zero(product: str) -> None:
    for position in set(range(8)) - {position for position, _ in LAYOUT[product].positions}:
        raw = bytearray(8)
        raw[position] = 1
        with refused("SNP_RESERVED"):
            decode(product, bytes(raw), path="it")


@pytest.mark.parametrize(
    ("family", "model", "product"),
    [
        (0x19, 0x00, "Milan"), (0x19, 0x0F, "Milan"), (0x19, 0x10, "Genoa"), (0x19, 0x1F, "Genoa"),
        (0x19, 0xA0, "Genoa"), (0x19, 0xAF, "Genoa"), (0x1A, 0x00, "Turin"), (0x1A, 0x11, "Turin"),
    ],
)  # fmt: skip
def test_products(family: int, model: int, product: str) -> None:
    assert product_of(family, model) == product


@pytest.mark.parametrize(("family", "model"), [(0x17, 0x31), (0x19, 0x20), (0x19, 0xB0), (0x1A, 0x12), (0x1A, 0x50)])
def test_unknown_products(family: int, model: int) -> None:
    """Venice (0x1A, 0x50) has no pinned root."""
    with refused("PRODUCT_UNKNOWN"):
        product_of(family, model)


def test_p12_a_higher_microcode_does_not_make_up_for_anything() -> None:
    tcb = decode("Milan", bytes([4, 0, 0, 0, 0, 0, 8, 255]), path="it")
    minimum = {"bl": 3, "snp": 24, "ucode": 115}
    assert shortfalls(tcb, minimum) == ("snp",)
    assert int.from_bytes(tcb.raw, "little") > int.from_bytes(encode("Milan", {"tee": 0, **minimum}), "little")


def test_a_component_that_is_missing_is_below_any_minimum() -> None:
    assert shortfalls(decode("Milan", bytes(8), path="it"), {"fmc": 0}) == ("fmc",)


@given(st.sampled_from(sorted(LAYOUT)), st.lists(st.integers(0, 255), min_size=5, max_size=5))
def test_encoding_is_reversible(product: str, values: list[int]) -> None:
    parts = dict(zip(LAYOUT[product].names, values, strict=False))
    assert decode(product, encode(product, parts), path="it").components() == parts
    assert shortfalls(decode(product, encode(product, parts), path="it"), parts) == ()
