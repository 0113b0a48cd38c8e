"""Drafts of reference values. A draft says where it is from; nothing becomes trusted by being drafted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sealgate.v1 import catalog_pb2 as pb
from sealgate.v1.change_pb2 import Change
from sealgate.v1.decisions_pb2 import ExplainDecisionResponse

from attest.reference import COVERS
from clients.errors import Denied, NotTrusted, Usage
from clients.operator.catalog import get, to_document, write
from clients.transport import Channel

__all__ = ["draft", "into", "named_by", "step", "warning"]

_STATES = {
    "activate": pb.REFERENCE_STATE_ACTIVE,
    "deprecate": pb.REFERENCE_STATE_DEPRECATED,
    "revoke": pb.REFERENCE_STATE_REVOKED,
}


def draft(
    answer: ExplainDecisionResponse, *, name: str, value_name: str, covers: Sequence[str], shared: bool
) -> dict[str, object]:
    """A reference-set document (`sealgate.reference-set/1` without its version) from a refused boot.

    Raises Usage for a `covers` that is none, NotTrusted NO_MEASUREMENT if the decision holds no measurement.
    """
    unknown = sorted(set(covers) - COVERS)
    if unknown or not covers:
        raise Usage(f"--covers takes one or more of {', '.join(sorted(COVERS))}, not {', '.join(unknown) or 'nothing'}")
    if not any(answer.measurement):
        raise NotTrusted("NO_MEASUREMENT", "the decision behind this ticket holds no measurement")
    value = {
        "name": value_name,
        "platform": answer.platform,
        "measurement": answer.measurement.hex(),
        "covers": sorted(set(covers)),
    }
    return {"name": name, "state": "active", "shared": shared, "values": [value]}


def warning(answer: ExplainDecisionResponse) -> str:
    """What whoever uses the draft must know."""
    simulated = " The machine was simulated." if answer.simulated else ""
    return (
        f"This draft comes from an unproven machine: entry {answer.index} refused it ({answer.reason}). Its "
        "measurement says what booted there, not that it is what you built. Compute the digest from your own "
        "firmware, kernel, initrd and command line (sealgate measure snp) and compare before you register it."
        f"{simulated}"
    )


def into(channel: Channel, made: Mapping[str, Any]) -> dict[str, Any]:
    """The drafted set; if there is one of that name, that one with the drafted value added, upon its etag."""
    present = _present(channel, str(made["name"]))
    if present is None:
        return dict(made)
    [value] = made["values"]
    if any(each["name"] == value["name"] for each in present["values"]):
        raise Usage(f"{made['name']} has a value {value['name']} already; take another --value-name")
    return present | {"values": [*present["values"], value]}


def named_by(channel: Channel, asset: str, name: str) -> dict[str, Any]:
    """The asset as it is, with the set among its references; upon its etag, so that nothing else is overwritten."""
    document = to_document(get(channel, asset))
    return document | {"references": list(dict.fromkeys([*document["references"], name]))}


def _present(channel: Channel, name: str) -> dict[str, Any] | None:
    try:
        return to_document(get(channel, name))
    except Denied as error:
        if error.details.get("reason") == "NOT_FOUND":
            return None
        raise


def step(channel: Channel, name: str, verb: str, sunset: str = "") -> Change:
    """Activates, deprecates or revokes a set, upon the etag that it has; raises Usage for a sunset that is no time."""
    references = get(channel, name)
    references.state = _STATES[verb]
    references.ClearField("sunset_time")
    if verb == "deprecate":
        try:
            moment = datetime.fromisoformat(sunset)
        except ValueError as error:
            raise Usage(f"--sunset takes a time such as 2027-03-31 or 2027-03-31T12:00:00Z, not {sunset!r}") from error
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        references.sunset_time.FromDatetime(aware.astimezone(UTC).replace(tzinfo=None))
    return write(channel, references, new=False)
