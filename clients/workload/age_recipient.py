"""X-Wing key pairs as age writes and uses them: `age1pq1...` seals, `AGE-SECRET-KEY-PQ-1...` opens.

Sources: C2SP age (c2sp.org/age, read 2025-12), section "The MLKEM768-X25519 (i.e. X-Wing) hybrid post-quantum
recipient type"; draft-connolly-cfrg-xwing-kem section 5.2 (expansion of the seed); RFC 9180 section 6.1 (SealBase);
BIP 173 (Bech32, here without a length limit). The errors of everything sealed start here, in the lowest module::

    SealedError        a named check failed: check, path, expected, got; for a client, NotTrusted
    ├── NotSealed      not age v1, a key text, a manifest or a tree as specified
    ├── WrongKey       well-formed, but no stanza opens with this key
    ├── Tampered       cut, changed or moved
    └── NotListed      not the file that the manifest describes
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)

from attest.errors import AttestError
from clients.errors import NotTrusted

__all__ = ["ENC_SIZE", "KeyPair", "NotListed", "NotSealed", "Recipient", "SealedError", "Tampered", "WrongKey"]

ENC_SIZE = 1120

_SEED = 32
_ML_KEM_EK = 1184
_PUBLIC = _ML_KEM_EK + 32
_SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
_INFO = b"age-encryption.org/mlkem768x25519"
_IDENTITY_HRP = "AGE-SECRET-KEY-PQ-"
_RECIPIENT_HRP = "age1pq"
_MAX_TEXT = 2048  # characters; a recipient has 1959
_CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


class SealedError(NotTrusted):
    """A sealed file, key text or manifest failed a named check; values are shown as `attest` shows them."""

    def __init__(self, check: str, path: str, *, expected: object, got: object) -> None:
        shown = AttestError(check, path, expected=expected, got=got)
        super().__init__(check, f"{path}: expected {shown.expected}, got {shown.got}")
        self.path, self.expected, self.got = path, shown.expected, shown.got

    def within(self, place: str) -> Self:
        """The same failure, with `place` in front of its path."""
        return type(self)(self.check, f"{place}: {self.path}", expected=self.expected, got=self.got)


class NotSealed(SealedError):
    """The bytes are not age v1, a key text, a manifest or a tree as specified."""


class WrongKey(SealedError):
    """No stanza of the header opens with this key."""


class Tampered(SealedError):
    """The sealed file is cut, changed, or put together from pieces."""


class NotListed(SealedError):
    """The file is not the one that the manifest describes, or is in no manifest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """The public half: ML-KEM-768 encapsulation key (1184 bytes) || X25519 public key (32 bytes).

    Raises NotSealed SEALED_KEY_TEXT for bytes that are no such key.
    """

    public: bytes
    _key: MLKEM768X25519PublicKey = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.public) != _PUBLIC:
            raise _no_key("recipient", f"{_PUBLIC} bytes", f"{len(self.public)} bytes")
        try:
            ml_kem = MLKEM768PublicKey.from_public_bytes(self.public[:_ML_KEM_EK])
        except ValueError:
            raise _no_key("recipient", "an ML-KEM-768 encapsulation key", "coefficients out of range") from None
        x25519 = X25519PublicKey.from_public_bytes(self.public[_ML_KEM_EK:])
        object.__setattr__(self, "_key", MLKEM768X25519PublicKey(ml_kem, x25519))

    @classmethod
    def parse(cls, text: str) -> Recipient:
        """Read `age1pq1...`; raises NotSealed SEALED_KEY_TEXT."""
        return cls(public=_bech32_decode(_RECIPIENT_HRP, text, "recipient"))

    def text(self) -> str:
        """`age1pq1...`, 1959 characters."""
        return _bech32_encode(_RECIPIENT_HRP, self.public)

    def wrap(self, file_key: bytes) -> bytes:
        """`file_key` for this recipient: enc (1120 bytes) || ciphertext.

        The encapsulation draws its own randomness inside the library; nothing else here draws any.
        """
        try:
            return _SUITE.encrypt(file_key, self._key, _INFO)
        except ValueError:
            raise _no_key("recipient", "an X25519 key of full order", self.public[_ML_KEM_EK:]) from None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KeyPair:
    """A key version with its private half, the 32-byte X-Wing seed; not shown, compared or pickled.

    Raises NotSealed SEALED_KEY_TEXT unless the seed is 32 bytes.
    """

    seed: bytes
    recipient: Recipient = field(init=False)
    _key: MLKEM768X25519PrivateKey = field(init=False)

    def __post_init__(self) -> None:
        if len(self.seed) != _SEED:
            raise _no_key("identity", f"{_SEED} bytes", f"{len(self.seed)} bytes")
        expanded = hashlib.shake_256(self.seed).digest(96)
        ml_kem = MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
        x25519 = X25519PrivateKey.from_private_bytes(expanded[64:])
        public = ml_kem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()
        object.__setattr__(self, "recipient", Recipient(public=public))
        object.__setattr__(self, "_key", MLKEM768X25519PrivateKey(ml_kem, x25519))

    @classmethod
    def generate(cls, seed: bytes) -> KeyPair:
        """A new pair; `seed` MUST be 32 fresh bytes of a CSPRNG."""
        return cls(seed=seed)

    @classmethod
    def parse(cls, text: str) -> KeyPair:
        """Read `AGE-SECRET-KEY-PQ-1...`; raises NotSealed SEALED_KEY_TEXT, which never shows the text."""
        return cls(seed=_bech32_decode(_IDENTITY_HRP, text, "identity"))

    def text(self) -> str:
        """`AGE-SECRET-KEY-PQ-1...`, 77 characters: the secret itself."""
        return _bech32_encode(_IDENTITY_HRP, self.seed)

    def unwrap(self, wrapped: bytes) -> bytes | None:
        """What `wrap` was given, or None if it was for another key or changed; the two cannot be told apart."""
        try:
            return _SUITE.decrypt(wrapped, self._key, _INFO)
        except InvalidTag:
            return None

    def __repr__(self) -> str:
        return f"KeyPair({self.recipient.text()[:24]}...)"

    def __reduce__(self) -> str:
        raise TypeError("a KeyPair is not pickled")


def _no_key(path: str, expected: object, got: object) -> NotSealed:
    return NotSealed("SEALED_KEY_TEXT", path, expected=expected, got=got)


def _polymod(symbols: Iterable[int]) -> int:
    checksum = 1
    for symbol in symbols:
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ symbol
        for bit, generator in enumerate(_GENERATOR):
            if top >> bit & 1:
                checksum ^= generator
    return checksum


def _expand(hrp: str) -> list[int]:
    """The prefix as the checksum sees it: lower case whatever the case of the text."""
    prefix = hrp.lower().encode("ascii")
    return [byte >> 5 for byte in prefix] + [0] + [byte & 31 for byte in prefix]


def _bech32_encode(hrp: str, data: bytes) -> str:
    """BIP 173; the text has the case of `hrp`."""
    bits = len(data) * 8
    value = int.from_bytes(data, "big") << -bits % 5
    count = (bits + 4) // 5
    symbols = [value >> 5 * at & 31 for at in range(count - 1, -1, -1)]
    checksum = _polymod([*_expand(hrp), *symbols, *[0] * 6]) ^ 1
    symbols += [checksum >> 5 * at & 31 for at in range(5, -1, -1)]
    text = "".join(_CHARSET[symbol] for symbol in symbols)
    return f"{hrp}1{text.upper() if hrp.isupper() else text}"


def _bech32_decode(hrp: str, text: str, path: str) -> bytes:
    """The inverse of `_bech32_encode`; no message repeats any part of `text` after the prefix.

    The caller checks the length, and with it that the padding is shorter than a letter.
    """
    if not text.startswith(f"{hrp}1") or len(text) > _MAX_TEXT:
        raise _no_key(path, f"{hrp}1... of at most {_MAX_TEXT} characters", "another prefix, case or length")
    charset = _CHARSET.upper() if hrp.isupper() else _CHARSET
    symbols = [charset.find(each) for each in text[len(hrp) + 1 :]]
    if -1 in symbols:
        at = len(hrp) + 1 + symbols.index(-1)
        raise _no_key(path, "letters of the Bech32 alphabet in one case", f"another at {at}")
    if len(symbols) < 6 or _polymod([*_expand(hrp), *symbols]) != 1:
        raise _no_key(path, "a Bech32 checksum that holds", "one that does not: a letter is wrong or missing")
    value = 0
    for symbol in symbols[:-6]:
        value = value << 5 | symbol
    length, padding = divmod((len(symbols) - 6) * 5, 8)
    if value & (1 << padding) - 1:
        raise _no_key(path, f"{padding} padding bits, all zero", "one that is not")
    return (value >> padding).to_bytes(length, "big")
