"""Key versions, as an operator asks for them: the public half for whoever seals, and secrets that come in sealed."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PublicKey, Suite
from sealgate.v1 import key_versions_pb2 as pb
from sealgate.v1.change_pb2 import Change

from attest.binding import bind
from clients.errors import NotTrusted, Usage
from clients.transport import Channel
from clients.workload.age_recipient import Recipient

__all__ = ["MAX_SECRET", "create", "get", "import_secret", "listed", "public_document", "seal_import", "step"]

_SERVICE = "/sealgate.v1.KeyVersions/"
_SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_ML_KEM, _PUBLIC = 1_184, 1_216
MAX_SECRET = 4_096


def create(channel: Channel, asset: str) -> pb.KeyVersion:
    """The next version of an asset's key; raises Denied, Unavailable."""
    change = channel.call(f"{_SERVICE}CreateKeyVersion", pb.CreateKeyVersionRequest(parent=asset), Change)
    return get(channel, change.name)


def get(channel: Channel, name: str) -> pb.KeyVersion:
    """One version, `.../keyVersions/newest` for the one that is released now; raises Denied, Unavailable."""
    return channel.call(f"{_SERVICE}GetKeyVersion", pb.GetKeyVersionRequest(name=name), pb.KeyVersion)


def listed(channel: Channel, asset: str) -> list[pb.KeyVersion]:
    """Every version of an asset's key, oldest first."""
    found: list[pb.KeyVersion] = []
    request = pb.ListKeyVersionsRequest(parent=asset, page_size=1_000)
    while True:
        page = channel.call(f"{_SERVICE}ListKeyVersions", request, pb.ListKeyVersionsResponse)
        found += page.key_versions
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


def step(channel: Channel, verb: str, name: str) -> Change:
    """Disable, Enable or Destroy one version."""
    request = getattr(pb, f"{verb}KeyVersionRequest")(name=name)
    return channel.call(f"{_SERVICE}{verb}KeyVersion", request, Change)


def import_secret(channel: Channel, origin: str, asset: str, secret: bytes) -> pb.KeyVersion:
    """Brings a secret in as the next version of an asset of kind secret. It leaves this process sealed."""
    if not 1 <= len(secret) <= MAX_SECRET:
        raise Usage(f"a secret has 1 to {MAX_SECRET} bytes, this one has {len(secret)}")
    awaiting = create(channel, asset)
    if awaiting.state != pb.KEY_VERSION_STATE_AWAITING_IMPORT:
        raise NotTrusted("IMPORT", f"{awaiting.name} is a key pair of the broker's own: {asset} is not of kind secret")
    sealed = seal_import(awaiting.public_key, origin, awaiting.name, secret)
    request = pb.ImportKeyVersionRequest(name=awaiting.name, etag=awaiting.etag, sealed=sealed)
    channel.call(f"{_SERVICE}ImportKeyVersion", request, Change)
    return get(channel, awaiting.name)


def seal_import(public_key: bytes, origin: str, key_name: str, secret: bytes) -> bytes:
    """`secret` for the pair of that one version of that one deployment: enc || ct of HPKE base mode."""
    if len(public_key) != _PUBLIC:
        raise NotTrusted("IMPORT", f"the broker's public key has {len(public_key)} bytes, not {_PUBLIC}")
    ml_kem = MLKEM768PublicKey.from_public_bytes(public_key[:_ML_KEM])
    x25519 = X25519PublicKey.from_public_bytes(public_key[_ML_KEM:])
    info = bind("sealgate/v1/import", origin, key_name)
    return _SUITE.encrypt(secret, MLKEM768X25519PublicKey(ml_kem, x25519), info=info)


def public_document(version: pb.KeyVersion) -> dict[str, object]:
    """What `sealgate seal` needs: asset, version, suite, and the public key as age writes it."""
    if version.suite != "MLKEM768-X25519":
        raise Usage(f"{version.name} was imported: there is nothing to seal to")
    recipient = Recipient(public=version.public_key).text()
    asset = version.name.rpartition("/keyVersions/")[0]
    return {"asset": asset, "version": version.version, "suite": version.suite, "public_key": recipient}
