"""What every room that reads evidence promises, as a test base: inherit from it and say how to judge bytes.

Only AttestError leaves a room, for whatever bytes; a shorter or longer document is refused; so is every flipped bit of
what is signed.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterable

import pytest

from attest.errors import AttestError

__all__ = ["EvidenceContract"]

_FLIPS = 600
_SEED = 20_260_501


class EvidenceContract:
    """Subclasses give `good` and `judge`, and may narrow which bits are signed and which lengths are tried.

    `padding` says that zeros may follow.
    """

    padding = False

    def good(self) -> bytes:
        """Bytes that `judge` accepts."""
        raise AssertionError("the subclass has no good bytes")

    def judge(self, data: bytes) -> object:
        """Returns if `data` is fine; raises AttestError if not."""
        raise AssertionError("the subclass judges nothing")

    def signed(self) -> range:
        """The bytes in which no bit may change."""
        return range(len(self.good()))

    def lengths(self) -> Iterable[int]:
        """The lengths at which the good bytes are cut."""
        return range(len(self.good()))

    def test_good_is_accepted(self) -> None:
        assert self.judge(self.good()) is not None

    def test_every_truncation_is_refused(self) -> None:
        good = self.good()
        for length in self.lengths():
            with pytest.raises(AttestError):
                self.judge(good[:length])

    @pytest.mark.parametrize(
        "more", [b"\0", b"\1", b"\0" * 23, b"\xff" * 24, b"\x01" * 4096], ids=lambda m: f"{len(m)}"
    )
    def test_appended_bytes(self, more: bytes) -> None:
        if self.padding and not any(more):
            assert self.judge(self.good() + more) is not None
            return
        with pytest.raises(AttestError):
            self.judge(self.good() + more)

    def test_a_flipped_bit_is_refused(self) -> None:
        """A sample of the bits, always the same, with the first and the last."""
        good, signed = self.good(), self.signed()
        bits = range(signed.start * 8, signed.stop * 8)
        chosen = {bits[0], bits[-1], *random.Random(_SEED).sample(bits, min(_FLIPS, len(bits)))}
        for bit in sorted(chosen):
            changed = bytearray(good)
            changed[bit // 8] ^= 1 << bit % 8
            with pytest.raises(AttestError):
                self.judge(bytes(changed))

    def test_noise_raises_nothing_else(self) -> None:
        """Whatever the bytes are: accepted, or an AttestError."""
        source = random.Random(_SEED)
        good = self.good()
        for _ in range(200):
            changed = bytearray(good)
            for _ in range(source.randint(1, 40)):
                changed[source.randrange(len(changed))] = source.randrange(256)
            for data in (bytes(changed), source.randbytes(source.randint(0, 2 * len(good)))):
                with contextlib.suppress(AttestError):  # any other exception fails the test
                    assert self.judge(data) is not None
