"""sealgate.v1.Enrolment: people come in, and stay in. Rate limited, for the workload port is open to anybody."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp
from sealgate.v1 import enrolment_pb2 as pb

from kbs.access.enrol import enrol, login
from kbs.access.port import Access
from kbs.guard.bucket import Attempts
from kbs.model.credential import Credential, Possession
from kbs.model.enrolment import parse_code
from kbs.model.refusal import Refused, Unavailable
from kbs.release.port import Broker
from kbs.rpc.handler import Call, Method
from kbs.rpc.parse import parse
from kbs.store.errors import StoreUnavailable

__all__ = ["NAME", "methods"]

NAME = "sealgate.v1.Enrolment"
_MAX_BYTES = {"challenge": 57, "public_key": 256, "signature": 128}


def methods(broker: Broker, access: Access, attempts: Attempts) -> dict[str, Method]:
    """The service's methods. Refusals are counted with those of the other workload methods."""

    async def enrol_(data: bytes, call: Call) -> bytes:
        _admit(call)
        request = parse(pb.EnrolRequest, data)
        credential = await enrol(_code(request.code), _possession(request.possession), access)
        return pb.EnrolResponse(credential=_credential(credential)).SerializeToString()

    async def login_(data: bytes, call: Call) -> bytes:
        _admit(call)
        credential = await login(_possession(parse(pb.LoginRequest, data).possession), access)
        return pb.LoginResponse(credential=_credential(credential)).SerializeToString()

    def _admit(call: Call) -> None:
        if not attempts.take(call.peer(), broker.monotonic()):
            raise Refused("RATE_LIMITED")

    def counted(method: Method) -> Method:
        async def handle(data: bytes, call: Call) -> bytes:
            try:
                return await method(data, call)
            except StoreUnavailable as error:
                raise Unavailable("LOG_UNAVAILABLE") from error
            except Refused as error:
                if not isinstance(error, Unavailable):
                    broker.floods.count(error.reason, data)
                raise

        return handle

    return {"Enrol": counted(enrol_), "Login": counted(login_)}


def _possession(message: pb.Possession) -> Possession:
    for field, limit in _MAX_BYTES.items():
        if len(getattr(message, field)) > limit:
            got = f"{len(getattr(message, field))} bytes"
            raise Refused("REQUEST_MALFORMED", check=field, expected=f"at most {limit} bytes", got=got)
    return Possession(challenge=message.challenge, public_key=message.public_key, signature=message.signature)


def _code(text: str) -> bytes:
    try:
        return parse_code(text)
    except ValueError:
        expected = "32 letters and digits, in groups of four"
        raise Refused("REQUEST_MALFORMED", check="code", expected=expected, got=f"{len(text)} characters") from None


def _credential(credential: Credential) -> pb.Credential:
    ms = credential.expires
    return pb.Credential(
        principal=credential.principal,
        certificates=credential.certificates,
        expire_time=Timestamp(seconds=ms // 1_000, nanos=ms % 1_000 * 1_000_000),
    )
