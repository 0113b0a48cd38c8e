"""Claims of every kind of TEE, and what a release asks of them: a profile, and reference values of what may run.

Documents are read once, when they are registered: unknown keys, wrong lengths and contradictions raise Malformed with
their path. Nothing here is written to afterwards.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from attest.errors import Malformed, NotBound
from attest.snp.claims import SnpClaims
from attest.snp.profile import SnpProfile
from attest.tlog.canonical import parse_canonical

__all__ = ["COVERS", "Claims", "Profile", "ReferenceSet", "ReferenceValue", "bound_init_data"]

COVERS = frozenset({"firmware", "kernel", "initrd", "cmdline"})
_MEASUREMENT = {"snp": 48}
_MAX_VALUES = 1_024
_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """Everything that verification established. `platform` is `snp`; `simulated` roots are never real ones.

    `init_data` are the members of the object that the host gave at launch, if its digest was found in the evidence
    (`bound_init_data`); None where none was given. Only then are they claims.
    """

    platform: str
    simulated: bool
    snp: SnpClaims
    init_data: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The requirements of a release, by TEE. `init_data` lists, by key, the values that bound init-data may have."""

    snp: SnpProfile
    init_data: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @classmethod
    def parse(cls, document: object) -> Profile:
        """`{"snp": {...}, "init_data"?: {key: [value...]}}`, where every key of `snp` is optional.

        Raises Malformed PROFILE_MALFORMED or PROFILE_CONTRADICTION.
        """
        if not isinstance(document, Mapping) or set(document) - {"init_data"} != {"snp"}:
            got = ", ".join(map(str, document)) if isinstance(document, Mapping) else type(document).__name__
            raise Malformed(
                "PROFILE_MALFORMED", "profile", expected="the key snp, and perhaps init_data", got=got or "none"
            )
        return cls(snp=SnpProfile.parse(document["snp"]), init_data=_init_data(document.get("init_data", {})))


def _init_data(document: Any) -> Mapping[str, frozenset[str]]:
    if not isinstance(document, Mapping):
        got = type(document).__name__
        raise Malformed("PROFILE_MALFORMED", "profile.init_data", expected="an object", got=got)
    for key, values in document.items():
        fine = isinstance(values, list) and values and all(isinstance(value, str) for value in values)
        if not fine:
            path = f"profile.init_data.{key}"
            raise Malformed(
                "PROFILE_MALFORMED", path, expected="a list of texts that is not empty", got=repr(values)[:80]
            )
    return {str(key): frozenset(values) for key, values in document.items()}


def bound_init_data(raw: bytes, host_data: bytes) -> Mapping[str, object] | None:
    """The members of init-data whose SHA-256 is HOST_DATA; None for empty `raw`.

    Raises NotBound INIT_DATA_UNBOUND, and Malformed ENTRY_FORMAT or ENTRY_CANONICAL for what is no canonical object.
    """
    if not raw:
        return None
    digest = hashlib.sha256(raw).digest()
    if digest != host_data:
        raise NotBound("INIT_DATA_UNBOUND", "report.host_data", expected=digest, got=host_data)
    return parse_canonical(raw)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceValue:
    """One thing that is trusted to run. `covers` says what its measurement is made of besides the initial memory.

    `host_data`, if given, must equal HOST_DATA; `vcpus` is for people, since the measurement of a guest holds the state
    of each of its processors.
    """

    name: str
    measurement: bytes
    covers: frozenset[str]
    host_data: bytes | None = None
    vcpus: int | None = None
    platform: str = "snp"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceSet:
    """Reference values under one name. An empty set trusts nothing: appraisal fails it as POLICY_UNSPECIFIED."""

    name: str
    values: tuple[ReferenceValue, ...]

    @classmethod
    def parse(cls, document: object) -> ReferenceSet:
        """`{"name", "values": [{"name", "measurement", "covers", "host_data"?, "vcpus"?, "platform"?}]}`.

        Bytes are lower-case hexadecimal. Raises Malformed REFERENCE_MALFORMED, or POLICY_UNSPECIFIED without values.
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
    document = _keys(
        value, path, required={"name", "measurement", "covers"}, optional={"host_data", "vcpus", "platform"}
    )
    platform = document.get("platform", "snp")
    if not isinstance(platform, str) or platform not in _MEASUREMENT:
        raise _malformed(f"{path}.platform", f"one of {', '.join(_MEASUREMENT)}", repr(platform))
    host_data, vcpus = document.get("host_data"), document.get("vcpus")
    if vcpus is not None and (type(vcpus) is not int or not 0 < vcpus <= 4_096):
        raise _malformed(f"{path}.vcpus", "a whole number from 1 to 4096", repr(vcpus))
    return ReferenceValue(
        name=_text(document["name"], f"{path}.name"),
        measurement=_hex(document["measurement"], _MEASUREMENT[platform], f"{path}.measurement"),
        covers=_covers(document["covers"], f"{path}.covers"),
        host_data=None if host_data is None else _hex(host_data, 32, f"{path}.host_data"),
        vcpus=vcpus,
        platform=platform,
    )


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
