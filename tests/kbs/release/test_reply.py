"""What is stored for a repeat reads back as it was."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from attest.errors import AttestError
from kbs.model.refusal import Refused
from kbs.model.release import Grant, Lease, WrappedKey
from kbs.release.reply import decode, encode_grant, encode_refusal

NAMES = st.from_regex(r"tenants/[a-z]{1,20}/assets/[a-z0-9]{1,20}/keyVersions/[1-9][0-9]{0,3}", fullmatch=True)
KEYS = st.builds(
    WrappedKey, key_name=NAMES, wrapped=st.binary(max_size=1_300), content_digest=st.sampled_from([b"", bytes(32)])
)
TIMES = st.integers(0, 2**53 - 1)
LEASES = st.none() | st.builds(Lease, lease_id=st.text("0123456789abcdef", max_size=32), start=TIMES, end=TIMES)


@settings(max_examples=100, deadline=None)
@given(
    grant=st.builds(
        Grant,
        keys=st.lists(KEYS, max_size=16).map(tuple),
        lease=LEASES,
        result=st.text("abc.-_", max_size=90),
        audience=st.text("abc:/.", max_size=20),
    )
)
def test_a_grant(grant: Grant) -> None:
    stored = encode_grant(grant)
    assert decode(stored) == grant
    assert encode_grant(decode(stored)) == stored


def test_a_refusal() -> None:
    with pytest.raises(Refused) as refused:
        decode(encode_refusal("ACCESS_DENIED", "0" * 32))
    assert (refused.value.reason, refused.value.ticket) == ("ACCESS_DENIED", "0" * 32)
    assert (refused.value.check, refused.value.expected, refused.value.got) == ("", "", "")


def test_the_largest_grant_fits() -> None:
    keys = [
        WrappedKey(
            key_name=f"tenants/{'t' * 63}/assets/{'a' * 61}{n:02}/keyVersions/{2**31}",
            wrapped=bytes(1_120 + 32 + 16),
            content_digest=bytes(32),
        )
        for n in range(16)
    ]
    grant = Grant(keys=tuple(keys), lease=Lease(lease_id="f" * 32, start=0, end=2**53 - 1))
    assert decode(encode_grant(grant)) == grant


@pytest.mark.parametrize("stored", [b"", b"{}x", b"[]", b'{"keys": []}'])
def test_what_is_no_reply(stored: bytes) -> None:
    with pytest.raises(AttestError):
        decode(stored)
