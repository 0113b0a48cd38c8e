"""Documents that people write as YAML (or JSON, which is YAML): read strictly, every mistake with file and line.

No key twice, no key that nobody knows, no alias, no float, and no digest that YAML took for a number. What a document
is of follows from its name. docs/catalogue.md describes every field.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import yaml
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from sealgate.v1 import catalog_pb2 as pb

from clients.errors import Usage

__all__ = ["TYPES", "Type", "Wanted", "read_documents", "read_files", "type_of"]

_MAX_BYTES = 4 << 20
_MAX_DEPTH = 32
_STATES = ("draft", "active", "deprecated", "revoked")
_JSON = frozenset({"definition", "values"})
_FLOAT = "tag:yaml.org,2002:float"
_TAGS = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "bool", "null", "timestamp"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Type:
    """One kind of resource: its message, the field that requests have it in, and what its methods are called after."""

    one: str
    field: str
    collection: str
    message: type[Any]


# In the order in which they are made; what is to be gone goes in the reverse.
TYPES: tuple[Type, ...] = (
    Type(one="Tenant", field="tenant", collection="", message=pb.Tenant),
    Type(one="Profile", field="profile", collection="profiles", message=pb.Profile),
    Type(one="ReferenceSet", field="reference_set", collection="referenceSets", message=pb.ReferenceSet),
    Type(one="Device", field="device", collection="devices", message=pb.Device),
    Type(one="Asset", field="asset", collection="assets", message=pb.Asset),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One document: where it stands, and what is to be there, or with `delete` not any more."""

    where: str
    type: Type
    message: Any
    delete: bool

    @property
    def name(self) -> str:
        """The resource's name."""
        return str(self.message.name)


def type_of(name: str) -> Type | None:
    """What a resource of that name is, or None."""
    parts = name.split("/")
    collection = parts[2] if len(parts) == 4 else "" if len(parts) == 2 else None
    return next((t for t in TYPES if t.collection == collection), None) if parts[0] == "tenants" else None


def read_documents(files: Mapping[str, str]) -> list[Wanted]:
    """Every document of the files, by file name, in the order in which they can be made; raises Usage."""
    found = [wanted for name, text in files.items() for wanted in _file(name, text)]
    if not found:
        raise Usage(f"{', '.join(files)}: there is no document in it")
    seen: dict[str, str] = {}
    for wanted in found:
        if wanted.name in seen:
            raise Usage(f"{wanted.where}: {wanted.name} stands at {seen[wanted.name]} already")
        seen[wanted.name] = wanted.where
    rank = {kind.one: number for number, kind in enumerate(TYPES)}
    kept = sorted((w for w in found if not w.delete), key=lambda w: rank[w.type.one])
    gone = sorted((w for w in found if w.delete), key=lambda w: -rank[w.type.one])
    return kept + gone


def read_files(paths: list[Path], stdin: str | None = None) -> dict[str, str]:
    """The texts of files, `-` for standard input; raises Usage."""
    texts = {}
    for path in paths:
        if str(path) == "-" and stdin is not None:
            texts["standard input"] = stdin
            continue
        try:
            data = path.read_bytes()
            texts[str(path)] = data.decode("utf-8")
        except OSError as error:
            raise Usage(f"{path} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise Usage(f"{path} is not UTF-8 text") from error
        if len(data) > _MAX_BYTES:
            raise Usage(f"{path} has more than {_MAX_BYTES} bytes")
    return texts


def _file(name: str, text: str) -> Iterator[Wanted]:
    try:
        for node in yaml.compose_all(text, Loader=yaml.SafeLoader):
            if node is not None:
                yield _document(_Reading(name), node)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise Usage(f"{name}:{line}: {error.problem or error.context}") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise Usage(f"{name}: {str(error).splitlines()[0]}") from error


class _Reading:
    """One file, and the line of every value read from it."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.lines: dict[str, int] = {}
        self._seen: set[int] = set()

    def wrong(self, path: str, sentence: str) -> Usage:
        line = self.lines.get(path, self.lines.get("", 1))
        return Usage(f"{self.file}:{line}: {path + ' ' if path else ''}{sentence}")

    def value(self, node: yaml.Node, path: str, depth: int = 0) -> Any:
        """A node as dict, list, str, int, bool, None or datetime."""
        self.lines.setdefault(path, node.start_mark.line + 1)
        if id(node) in self._seen or depth > _MAX_DEPTH:
            raise self.wrong(path, "is an alias of another value, or too deep; write it out")
        self._seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, depth)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(each, f"{path}[{n}]", depth + 1) for n, each in enumerate(node.value)]
        return self._scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: str, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else ""
            inner = f"{path}.{key}" if path else key
            self.lines[inner] = key_node.start_mark.line + 1
            if not key or key == "<<":
                raise self.wrong(inner, "is not a key")
            if key in found:
                raise self.wrong(inner, "stands there twice")
            found[key] = self.value(value_node, inner, depth + 1)
        return found

    def _scalar(self, node: yaml.Node, path: str) -> Any:
        if node.tag == _FLOAT:
            raise self.wrong(path, f"is a fraction to YAML ({node.value}); whole numbers only, and digests in quotes")
        if node.tag not in _TAGS:
            raise self.wrong(path, f"has the tag {node.tag}, which is not used here")
        try:
            return yaml.SafeLoader("").construct_object(node, deep=True)
        except (ValueError, yaml.YAMLError) as error:
            raise self.wrong(path, f"cannot be read: {error}") from error


def _document(reading: _Reading, node: yaml.Node) -> Wanted:
    value = reading.value(node, "")
    if not isinstance(value, dict):
        raise reading.wrong("", "a document is a mapping with a name")
    name = value.get("name")
    kind = type_of(name) if isinstance(name, str) else None
    if kind is None:
        collections = ", ".join(t.collection for t in TYPES if t.collection)
        raise reading.wrong("name", f"must be tenants/T or tenants/T/COLLECTION/ID of {collections}; it is {name!r}")
    delete = value.pop("delete", False)
    if type(delete) is not bool:
        raise reading.wrong("delete", "must be true or false")
    if delete and not value.keys() <= {"name", "etag"}:
        raise reading.wrong("delete", "stands with a name and perhaps an etag alone")
    message = kind.message()
    for key, each in value.items():
        _set(reading, message, key, each)
    return Wanted(where=f"{reading.file}:{reading.lines['']}", type=kind, message=message, delete=delete)


def _set(reading: _Reading, message: Message, key: str, value: Any) -> None:
    """One member into its field, whose type says what it must be."""
    field = _fields(message).get(key)
    if field is None:
        known = ", ".join([*_fields(message), "delete"])
        raise reading.wrong(key, f"is not a field of {message.DESCRIPTOR.name}; these are: {known}")
    if field.name in _JSON:
        setattr(message, field.name, json.dumps(_plain(reading, value, key), ensure_ascii=False))
    elif field.message_type is not None:
        getattr(message, field.name).CopyFrom(_time(reading, value, key))
    elif field.enum_type is not None:
        if value not in _STATES:
            raise reading.wrong(key, f"must be one of {', '.join(_STATES)}; it is {value!r}")
        setattr(message, field.name, _STATES.index(value) + 1)
    elif field.is_repeated:
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise reading.wrong(key, "must be a list of texts")
        getattr(message, field.name).extend(value)
    else:
        _scalar(reading, message, field, key, value)


def _scalar(reading: _Reading, message: Message, field: FieldDescriptor, key: str, value: Any) -> None:
    kinds: Mapping[int, tuple[type, str]] = {
        FieldDescriptor.CPPTYPE_STRING: (str, "a text"),
        FieldDescriptor.CPPTYPE_BOOL: (bool, "true or false"),
        FieldDescriptor.CPPTYPE_INT32: (int, "a whole number"),
        FieldDescriptor.CPPTYPE_INT64: (int, "a whole number"),
    }
    kind, words = kinds[field.cpp_type]
    if type(value) is not kind:
        quoted = ", in quotes" if kind is str and isinstance(value, int | date) else ""
        raise reading.wrong(key, f"must be {words}{quoted}; it is {value!r}")
    try:
        setattr(message, field.name, value)
    except (ValueError, UnicodeEncodeError) as error:
        raise reading.wrong(key, f"cannot be {value!r}") from error


def _plain(reading: _Reading, value: Any, path: str) -> Any:
    """Whatever JSON can say; a date is a text to whoever wrote it."""
    if isinstance(value, dict):
        return {key: _plain(reading, each, f"{path}.{key}") for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(reading, each, f"{path}[{n}]") for n, each in enumerate(value)]
    if value is not None and not isinstance(value, str | int | bool):
        raise reading.wrong(path, "is a date to YAML; put it in quotes")
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**53:
        raise reading.wrong(path, "is a number to YAML; put digests in quotes")
    return value


def _time(reading: _Reading, value: Any, key: str) -> Timestamp:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            value = None
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    if not isinstance(value, datetime):
        raise reading.wrong(key, "must be a time such as 2027-03-31T00:00:00Z")
    made = Timestamp()
    made.FromDatetime(value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value)
    return made


def _fields(message: Message) -> dict[str, Any]:
    """The fields as documents name them."""
    return {"sunset" if f.name == "sunset_time" else f.name: f for f in message.DESCRIPTOR.fields}
