"""Drafts of reference values. A draft says where it is from; nothing becomes trusted by being drafted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sealgate.v1 import catalog_pb2 as pb
from sealgate.v1.change_pb2 import Change
from sealgate.v1.decisions_pb2 import ExplainDecisionResponse

from attest.reference import COVERS
from clients.errors import Denied, NotTrusted, Usage
from clients.operator.catalog import get, to_document, write
from clients.transport import Channel

__all__ = ["draft", "into", "missing", "named_by", "step", "warning"]

_STATES = {
    "activate": pb.REFERENCE_STATE_ACTIVE,
    "deprecate": pb.REFERENCE_STATE_DEPRECATED,
    "revoke": pb.REFERENCE_STATE_REVOKED,
}

# What tells jobs of one image apart; PCRs that a guest resets as it likes; what a value cannot do without.
_OF_ONE_JOB = frozenset({"host_data", "mr_config_id", "rtmr3"})
_RESETTABLE = frozenset({"16", "23"})
_WITHOUT_EVIDENCE = {
    "snp": "host_data",
    "tdx": "rtmr0 to rtmr2, without which no value is registered",
    "azure-snp": "pcrs, without which no value is registered",
    "azure-tdx": "pcrs, without which no value is registered",
}


def draft(
    answer: ExplainDecisionResponse, *, name: str, value_name: str, covers: Sequence[str], shared: bool
) -> dict[str, object]:
    """A reference-set document (`sealgate.reference-set/1` without its version) from a refused boot.

    It holds whatever of the evidence a value of this platform can hold: `host_data`, `mr_config_id` and `rtmr3` where
    they were used at all, RTMR0 to 2 of a TD, and of a paravisor's PCRs those that the assets' profiles ask for, or
    all that no guest can reset where none asks. What is missing says `missing`. Raises Usage for a `covers` that is
    none, NotTrusted NO_MEASUREMENT if the decision holds no measurement.
    """
    unknown = sorted(set(covers) - COVERS)
    if unknown or not covers:
        raise Usage(f"--covers takes one or more of {', '.join(sorted(COVERS))}, not {', '.join(unknown) or 'nothing'}")
    if not any(answer.measurement):
        raise NotTrusted("NO_MEASUREMENT", "the decision behind this ticket holds no measurement")
    registers = dict(_registers(answer))
    pcrs = {number: registers.pop(number) for number in list(registers) if number.isdigit()}
    value = {
        "name": value_name,
        "platform": answer.platform,
        "measurement": answer.measurement.hex(),
        "covers": sorted(set(covers)),
        **registers,
        **({"pcrs": pcrs} if pcrs else {}),
    }
    return {"name": name, "state": "active", "shared": shared, "values": [value]}


def missing(answer: ExplainDecisionResponse) -> str:
    """What a value of this platform can hold and the draft does not, each with why; empty if there is nothing."""
    told = [f"{register.name}: not in the evidence" for register in answer.registers if not register.value]
    if not answer.registers and answer.platform in _WITHOUT_EVIDENCE:
        told.append(f"{_WITHOUT_EVIDENCE[answer.platform]}: the evidence is not kept any more")
    if answer.platform == "snp":
        told.append("vcpus: no report says how many processors it was measured for")
    return "; ".join(told)


def _registers(answer: ExplainDecisionResponse) -> Iterator[tuple[str, str]]:
    """Name and value of each that is drafted; of a PCR its number."""
    told = any(register.required for register in answer.registers)
    for register in answer.registers:
        name = register.name.removeprefix("pcr[").removesuffix("]")
        if register.required:
            wanted = bool(register.value)
        elif name.isdigit():
            wanted = not told and name not in _RESETTABLE
        else:
            wanted = any(register.value)  # what nobody gave at launch, or extended, tells nothing
        if wanted:
            yield name, register.value.hex()


def warning(answer: ExplainDecisionResponse) -> str:
    """What whoever uses the draft must know."""
    simulated = " The machine was simulated." if answer.simulated else ""
    left_out = f" It does not hold {missing(answer)}." if missing(answer) else ""
    jobs = [name for name, _ in _registers(answer) if name in _OF_ONE_JOB]
    one_job = f" It holds {', '.join(jobs)}: take out what only this job has." if jobs else ""
    how = " (sealgate measure snp)" if answer.platform == "snp" else ""
    return (
        f"This draft comes from an unproven machine: entry {answer.index} refused it ({answer.reason}). Its "
        "measurement says what booted there, not that it is what you built. Compute the digest from your own "
        f"firmware, kernel, initrd and command line{how} and compare before you register it."
        f"{one_job}{left_out}{simulated}"
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
