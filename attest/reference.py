"""Reference values: what is trusted to run. Read once, strictly, when they are registered.

An SNP guest's MEASUREMENT covers what its launch was made of. A TD's MRTD covers the firmware alone; what the firmware
then started is in the RTMRs, so that a value for a TD without RTMR0 to 2 would trust whatever follows the firmware: it
is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from attest.errors import Malformed
from attest.profile import Claims
from attest.tdx.components import Component, differing, read_components
from attest.tdx.events import Event
from attest.tpm import PCRS

__all__ = ["COVERS", "Difference", "ReferenceSet", "ReferenceValue"]

COVERS = frozenset({"firmware", "kernel", "initrd", "cmdline"})
_MEASUREMENT = 48
_RTMRS = ("rtmr0", "rtmr1", "rtmr2", "rtmr3")
_PINNED = _RTMRS[:3]
_MAX_VALUES = 1_024
_HEX = frozenset("0123456789abcdef")
Register = bytes | tuple[Component, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A field in which the evidence differs from a reference value."""

    field: str
    expected: str
    got: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceValue:
    """One thing that is trusted to run. `covers` says what its measurements are made of besides the initial memory.

    `measurement` is MEASUREMENT or MRTD. `host_data`, if given, must equal HOST_DATA or MRCONFIGID; `rtmr0` to `rtmr3`
    the runtime registers of a TD, of which the first three have to be given, each as its value or, for a guest that
    brings its event log, as the components that it is made of. `pcrs` are those of the vTPM (bank SHA-256) that decide
    what a guest under a paravisor runs, of which RTMRs say nothing. `vcpus` is for people, since the
    measurement of an SNP guest holds the state of each of its processors.
    """

    name: str
    measurement: bytes
    covers: frozenset[str]
    host_data: bytes | None = None
    vcpus: int | None = None
    platform: str = "snp"
    rtmr0: Register | None = None
    rtmr1: Register | None = None
    rtmr2: Register | None = None
    rtmr3: Register | None = None
    pcrs: tuple[tuple[int, bytes], ...] = ()

    @property
    def second_fact(self) -> str:
        """What this value asks of the guest besides what is measured at its start, that tells parties apart."""
        if self.host_data is not None:
            return "HOST_DATA" if self.platform.endswith("snp") else "MRCONFIGID"
        return "RTMR3" if self.rtmr3 is not None else ""

    def asked(self) -> Iterator[tuple[str, Register]]:
        """What it asks besides the measurement: name and value of each field."""
        if self.host_data is not None:
            yield _PLATFORMS[self.platform][0], self.host_data
        for name in _RTMRS:
            if getattr(self, name) is not None:
                yield name, getattr(self, name)
        for number, value in self.pcrs:
            yield f"pcr[{number}]", value

    def differences(self, claims: Claims) -> Iterator[Difference]:
        """Where `claims` are not what this value says; none if it is met."""
        if self.platform != claims.platform:
            yield Difference(field="platform", expected=self.platform, got=claims.platform)
        if self.measurement != claims.measurement:
            yield _differs("measurement", self.measurement, claims.measurement)
        if self.host_data is not None and self.host_data != claims.host_data:
            yield _differs(_PLATFORMS[self.platform][0], self.host_data, claims.host_data)
        for number, pcr in self.pcrs:
            quoted = claims.paravisor.pcrs.get(number, b"") if claims.paravisor is not None else b""
            if quoted != pcr:
                yield _differs(f"pcr[{number}]", pcr, quoted)
        if claims.tdx is None or claims.paravisor is not None:
            return
        for name, got in zip(_RTMRS, claims.tdx.rtmrs, strict=True):
            expected: Register | None = getattr(self, name)
            if expected is None and name in _PINNED:
                yield Difference(field=name, expected="a value", got="none in the reference value")
            elif isinstance(expected, tuple):
                yield from _components_differ(int(name[-1]), expected, claims.tdx.events)
            elif expected is not None and expected != got:
                yield _differs(name, expected, got)


def _components_differ(
    register: int, components: tuple[Component, ...], events: tuple[Event, ...] | None
) -> Iterator[Difference]:
    if events is None:
        yield Difference(field=f"rtmr{register}", expected="an event log, to compare its components", got="none")
        return
    for field, wanted, got in differing(register, components, events):
        yield Difference(field=field, expected=wanted, got=got)


def _differs(field: str, expected: bytes, got: bytes) -> Difference:
    return Difference(field=field, expected=expected.hex(), got=got.hex())


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceSet:
    """Reference values under one name. An empty set trusts nothing: appraisal fails it as POLICY_UNSPECIFIED."""

    name: str
    values: tuple[ReferenceValue, ...]

    @classmethod
    def parse(cls, document: object) -> ReferenceSet:
        """`{"name", "values": [{"name", "measurement", "covers", "platform"?, ...}]}`.

        With platform `snp`, which is the default, `host_data` and `vcpus` may be added; with `tdx`, `rtmr0` to `rtmr2`
        have to be, and `rtmr3` and `mr_config_id` may; a register is its value, or a list of `{"name", "digests"}`
        with one component for each event that extends it. Under a paravisor (`azure-snp`, `azure-tdx`) `pcrs` has to
        be added, `{"4": value...}`. Bytes are lower-case hexadecimal. Raises Malformed
        REFERENCE_MALFORMED, or POLICY_UNSPECIFIED without values.
        """
        found = _keys(document, "references", required={"name", "values"}, optional=set())
        values = found["values"]
        if not isinstance(values, list) or len(values) > _MAX_VALUES:
            raise _malformed("references.values", f"a list of at most {_MAX_VALUES}", type(values).__name__)
        if not values:
            raise Malformed("POLICY_UNSPECIFIED", "references.values", expected="at least one value", got="none")
        parsed = tuple(_value(value, f"references.values[{number}]") for number, value in enumerate(values))
        if len({value.name for value in parsed}) != len(parsed):
            raise _malformed("references.values", "names that differ", ", ".join(value.name for value in parsed))
        return cls(name=_text(found["name"], "references.name"), values=parsed)


# By platform: the member for what the host gave at launch, its size, and what else is required or optional.
_PLATFORMS: Mapping[str, tuple[str, int, frozenset[str], frozenset[str]]] = {
    "snp": ("host_data", 32, frozenset(), frozenset({"vcpus"})),
    "tdx": ("mr_config_id", 48, frozenset(_PINNED), frozenset({"rtmr3"})),
    "azure-snp": ("host_data", 32, frozenset({"pcrs"}), frozenset()),
    "azure-tdx": ("mr_config_id", 48, frozenset({"pcrs"}), frozenset()),
}


def _malformed(path: str, expected: str, got: object) -> Malformed:
    return Malformed("REFERENCE_MALFORMED", path, expected=expected, got=got)


def _keys(document: object, path: str, *, required: set[str], optional: set[str]) -> Mapping[str, Any]:
    if not isinstance(document, Mapping):
        raise _malformed(path, "an object", type(document).__name__)
    unknown, missing = set(document) - required - optional, required - set(document)
    if unknown or missing:
        got = ", ".join([f"{key} unknown" for key in map(str, unknown)] + [f"{key} missing" for key in missing])
        raise _malformed(path, f"keys among {', '.join(sorted(required | optional))}", got)
    return document


def _value(value: object, path: str) -> ReferenceValue:
    platform = value.get("platform", "snp") if isinstance(value, Mapping) else "snp"
    if not isinstance(platform, str) or platform not in _PLATFORMS:
        raise _malformed(f"{path}.platform", f"one of {', '.join(_PLATFORMS)}", repr(platform))
    host_data, size, required, optional = _PLATFORMS[platform]
    document = _keys(
        value, path,
        required={"name", "measurement", "covers", *required},
        optional={"platform", host_data, *optional},
    )  # fmt: skip
    vcpus, given = document.get("vcpus"), document.get(host_data)
    if vcpus is not None and (type(vcpus) is not int or not 0 < vcpus <= 4_096):
        raise _malformed(f"{path}.vcpus", "a whole number from 1 to 4096", repr(vcpus))
    rtmrs = {name: _register(document[name], f"{path}.{name}") for name in _RTMRS if name in document}
    return ReferenceValue(
        name=_text(document["name"], f"{path}.name"),
        measurement=_hex(document["measurement"], _MEASUREMENT, f"{path}.measurement"),
        covers=_covers(document["covers"], f"{path}.covers"),
        host_data=None if given is None else _hex(given, size, f"{path}.{host_data}"),
        vcpus=vcpus,
        platform=platform,
        pcrs=_pcrs(document["pcrs"], f"{path}.pcrs") if "pcrs" in document else (),
        **rtmrs,
    )


def _pcrs(value: Any, path: str) -> tuple[tuple[int, bytes], ...]:
    """`{"4": hexadecimal of 32 bytes, ...}`, at least one."""
    numbers = {str(number): number for number in range(PCRS)}
    if not isinstance(value, Mapping) or not value or not value.keys() <= numbers.keys():
        got = ", ".join(map(str, value)) if isinstance(value, Mapping) else type(value).__name__
        raise _malformed(path, f"an object of PCRs from 0 to {PCRS - 1}, not empty", got or "none")
    return tuple(sorted((numbers[name], _hex(each, 32, f"{path}.{name}")) for name, each in value.items()))


def _register(value: Any, path: str) -> Register:
    if not isinstance(value, list):
        return _hex(value, 48, path)
    try:
        return read_components(value)
    except ValueError as error:
        raise _malformed(path, "the components of a register", str(error)) from error


def _text(value: Any, path: str) -> str:
    if not isinstance(value, str) or not value:
        raise _malformed(path, "a text that is not empty", repr(value))
    return value


def _hex(value: Any, size: int, path: str) -> bytes:
    if not isinstance(value, str) or len(value) != 2 * size or not set(value) <= _HEX:
        raise _malformed(path, f"{size} bytes in lower-case hexadecimal", repr(value))
    return bytes.fromhex(value)


def _covers(value: Any, path: str) -> frozenset[str]:
    fine = isinstance(value, list) and bool(value) and all(isinstance(each, str) for each in value)
    if not fine or not set(value) <= COVERS or len(set(value)) != len(value):
        raise _malformed(path, f"a list, not empty, each once, among {', '.join(sorted(COVERS))}", repr(value))
    return frozenset(value)
