"""A person's side of enrolment and login: a key that never leaves this machine, and proof of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.hazmat.primitives.serialization import load_pem_private_key as load_pem
from sealgate.v1 import enrolment_pb2 as pb
from sealgate.v1.key_release_pb2 import GetChallengeRequest, GetChallengeResponse

from clients.errors import NotTrusted, Usage
from clients.transport import Channel
from clients.trust import Trust
from kbs.model.credential import ENROL, LOGIN, possession_message
from kbs.model.enrolment import code_digest, parse_code

__all__ = ["Certified", "PersonKey", "enrol", "login"]

_SERVICE = "/sealgate.v1.Enrolment"


class PersonKey:
    """A person's P-256 key. Not shown."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key

    @classmethod
    def generate(cls) -> PersonKey:
        """A new key."""
        return cls(ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def load(cls, pem: bytes, *, name: str) -> PersonKey:
        """A key as `pem` wrote it; raises Usage."""
        try:
            key = load_pem(pem, None)
        except (ValueError, TypeError) as error:
            raise Usage(f"{name} is not a private key in PEM") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise Usage(f"{name} is not a P-256 key")
        return cls(key)

    def pem(self) -> bytes:
        """The private key, PKCS#8; for a file of mode 0600."""
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def public(self) -> bytes:
        """DER SubjectPublicKeyInfo."""
        return self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def sign(self, message: bytes) -> bytes:
        """ECDSA with SHA-256, DER."""
        return self._key.sign(message, ec.ECDSA(SHA256()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Certified:
    """Who the key is now: pseudonym, certificate chain in PEM, and when it ends."""

    principal: str
    chain: bytes
    ends: datetime


def enrol(channel: Channel, trust: Trust, code: str, key: PersonKey) -> Certified:
    """Makes `key` the person's whom the code was given to. Raises Denied, Unavailable, NotTrusted, Usage."""
    try:
        digest = code_digest(trust.origin, parse_code(code))
    except ValueError as error:
        raise Usage(str(error)) from error
    request = pb.EnrolRequest(code=code.strip(), possession=_possession(channel, trust, ENROL, digest, key))
    return _certified(channel.call(f"{_SERVICE}/Enrol", request, pb.EnrolResponse).credential, key)


def login(channel: Channel, trust: Trust, key: PersonKey) -> Certified:
    """A fresh certificate for an enrolled key. Raises Denied, Unavailable, NotTrusted."""
    request = pb.LoginRequest(possession=_possession(channel, trust, LOGIN, b"", key))
    return _certified(channel.call(f"{_SERVICE}/Login", request, pb.LoginResponse).credential, key)


def _possession(channel: Channel, trust: Trust, action: str, digest: bytes, key: PersonKey) -> pb.Possession:
    method = "/sealgate.v1.KeyRelease/GetChallenge"
    response = channel.call(method, GetChallengeRequest(), GetChallengeResponse)
    if response.origin != trust.origin:
        raise NotTrusted("ORIGIN", f"the trust file is for {trust.origin}, this broker says it is {response.origin!r}")
    message = possession_message(action, trust.origin, response.challenge, digest, key.public())
    return pb.Possession(challenge=response.challenge, public_key=key.public(), signature=key.sign(message))


def _certified(credential: pb.Credential, key: PersonKey) -> Certified:
    """What was issued, if it is for this key."""
    try:
        chain = [x509.load_der_x509_certificate(each) for each in credential.certificates]
        public = chain[0].public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, IndexError) as error:
        raise NotTrusted("CERTIFICATE", "the broker answered with something that is no certificate") from error
    if public != key.public():
        raise NotTrusted("CERTIFICATE", "the broker answered with a certificate for another key")
    return Certified(
        principal=credential.principal,
        chain=b"".join(each.public_bytes(Encoding.PEM) for each in chain),
        ends=credential.expire_time.ToDatetime(tzinfo=UTC),
    )
