"""Names and keys of logs and witnesses: the verifier key ("vkey") and our own signer.

Sources: C2SP signed-note v1.0.0, sections "Signatures" and "Verifier keys"; C2SP tlog-cosignature v1.1.0-rc.1 for types
0x04 and 0x06. A vkey is `<name>+<key id, 8 hex digits>+<base64(type || public key)>`. The key id in it is never
believed but recomputed: published vkeys with a wrong one exist.
"""

from __future__ import annotations

import enum
import hashlib
import re
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from attest.errors import Malformed
from attest.tlog import ed25519
from attest.tlog.fields import format_base64, parse_base64

__all__ = ["KeyType", "SignerKey", "VerifierKey", "is_key_name"]

_MAX_NAME = 255
_KEY_ID = re.compile("[0-9a-f]{8}")


class KeyType(enum.IntEnum):
    """Signature type identifier bytes that we verify; every other is unknown, and its lines are ignored."""

    ED25519 = 0x01
    ED25519_COSIGNATURE = 0x04
    ML_DSA_44_COSIGNATURE = 0x06


_KEY_SIZE = {KeyType.ED25519: 32, KeyType.ED25519_COSIGNATURE: 32, KeyType.ML_DSA_44_COSIGNATURE: 1312}


def is_key_name(name: str) -> bool:
    """Whether `name` may stand in a signature line: not empty, no `+`, no Unicode space, no control character.

    At most 255 bytes of UTF-8, since that is what a 0x06 cosignature can hold.
    """
    if not name or "+" in name or any(each.isspace() or each < " " for each in name):
        return False
    try:
        return len(name.encode("utf-8")) <= _MAX_NAME
    except UnicodeEncodeError:
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifierKey:
    """A public key under a name. Raises Malformed VKEY_NAME or VKEY_KEY."""

    name: str
    type: KeyType
    key: bytes

    def __post_init__(self) -> None:
        if not is_key_name(self.name):
            raise Malformed("VKEY_NAME", "vkey.name", expected="no space, no plus, 1 to 255 bytes", got=repr(self.name))
        size = _KEY_SIZE[self.type]
        if len(self.key) != size:
            raise Malformed("VKEY_KEY", "vkey.key", expected=f"{size} bytes", got=f"{len(self.key)} bytes")
        if self.type is not KeyType.ML_DSA_44_COSIGNATURE and (why := ed25519.weakness(self.key)) is not None:
            raise Malformed("VKEY_KEY", "vkey.key", expected="an Ed25519 public key", got=why)

    @property
    def key_id(self) -> bytes:
        """The first 4 bytes of SHA-256(name || 0x0A || type || key)."""
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([self.type]) + self.key).digest()[:4]

    @property
    def vkey(self) -> str:
        """The key in the form that `parse` reads."""
        return f"{self.name}+{self.key_id.hex()}+{format_base64(bytes([self.type]) + self.key)}"

    @classmethod
    def parse(cls, vkey: str) -> VerifierKey:
        """Read a vkey. Raises Malformed VKEY_FORMAT, VKEY_TYPE, VKEY_NAME, VKEY_KEY or VKEY_ID."""
        name, _, rest = vkey.partition("+")
        claimed, _, encoded = rest.partition("+")
        data = parse_base64(encoded)
        if _KEY_ID.fullmatch(claimed) is None or not data:
            raise Malformed("VKEY_FORMAT", "vkey", expected="name+8 hex digits+base64(type, key)", got=vkey)
        if data[0] not in _KEY_SIZE:
            known = ", ".join(f"0x{each:02x}" for each in KeyType)
            raise Malformed("VKEY_TYPE", "vkey.type", expected=f"one of {known}", got=f"0x{data[0]:02x}")
        key = cls(name=name, type=KeyType(data[0]), key=data[1:])
        if key.key_id.hex() != claimed:
            raise Malformed(
                "VKEY_ID", "vkey.id", expected=f"{key.key_id.hex()}, computed from name and key", got=claimed
            )
        return key


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SignerKey:
    """An Ed25519 key (type 0x01) under a name. Signing is deterministic, so the same text gives the same bytes.

    Neither `repr` nor `str` shows the private half.
    """

    name: str
    private_key: Ed25519PrivateKey = field(repr=False)
    public: VerifierKey = field(init=False)  # under the same name; made once, since checking a key costs ten signatures

    def __post_init__(self) -> None:
        if not is_key_name(self.name):
            raise Malformed(
                "VKEY_NAME", "signer.name", expected="no space, no plus, 1 to 255 bytes", got=repr(self.name)
            )
        key = self.private_key.public_key().public_bytes_raw()
        public = VerifierKey(name=self.name, type=KeyType.ED25519, key=key)
        object.__setattr__(self, "public", public)

    @classmethod
    def from_seed(cls, name: str, seed: bytes) -> SignerKey:
        """The signer of a 32-byte seed (RFC 8032 section 5.1.5). Raises Malformed VKEY_NAME or VKEY_KEY."""
        if len(seed) != 32:
            raise Malformed("VKEY_KEY", "signer.seed", expected="32 bytes", got=f"{len(seed)} bytes")
        return cls(name=name, private_key=Ed25519PrivateKey.from_private_bytes(seed))

    @classmethod
    def parse(cls, skey: str) -> SignerKey:
        """Read what `skey` gives. Raises Malformed SKEY_FORMAT, which shows nothing of it, VKEY_NAME or VKEY_KEY."""
        private, _, rest = skey.partition("+KEY+")
        name, _, encoded = rest.partition("+")
        claimed, _, encoded = encoded.partition("+")
        data = parse_base64(encoded)
        if private != "PRIVATE" or not data or data[0] != KeyType.ED25519:
            raise Malformed("SKEY_FORMAT", "skey", expected="PRIVATE+KEY+name+id+base64(1, seed)", got="another text")
        signer = cls.from_seed(name, data[1:])
        if signer.public.key_id.hex() != claimed:
            raise Malformed("SKEY_FORMAT", "skey.id", expected="the id of name and key", got="another")
        return signer

    def skey(self) -> str:
        """The private half as a line that `parse` reads, in the convention of Go's note package. A secret."""
        seed = bytes([KeyType.ED25519]) + self.private_key.private_bytes_raw()
        return f"PRIVATE+KEY+{self.name}+{self.public.key_id.hex()}+{format_base64(seed)}"

    @property
    def verifier_key(self) -> str:
        """The vkey of the public half, as it stands in trust files."""
        return self.public.vkey

    def sign(self, text: bytes) -> bytes:
        """The 64-byte signature over `text`."""
        return self.private_key.sign(text)
