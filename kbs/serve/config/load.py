"""From TOML to frozen values. Everything that is wrong is found at once, each with its line and what would be right."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from kbs.serve.config.lines import lines_of
from kbs.serve.config.option import Wrong, option_of
from kbs.serve.config.sections import SECTIONS, Config

__all__ = ["ConfigInvalid", "Loaded", "load", "parse"]

_MAX_BYTES = 1 << 20
_AT = re.compile(r" \(at line (\d+), column \d+\)$")
_ROOTS = re.compile(r"(anchor|simulat|(vendor|amd|intel|nvidia|trusted?)_?root|^roots?$)", re.IGNORECASE)
_NO_ROOTS = "vendor roots are pinned in the code; no configuration adds to them, and none makes simulated ones count"


class ConfigInvalid(Exception):
    """The file cannot be used; its text has one line for each thing that is wrong: FILE:LINE: sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The values, and the bytes they were read from, so that other processes start with the same."""

    config: Config
    path: Path
    raw: bytes


@dataclass(frozen=True, slots=True)
class _Problem:
    line: int
    sentence: str


def load(path: Path) -> Loaded:
    """Reads the file, once. Raises ConfigInvalid."""
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ConfigInvalid(f"{path}: it cannot be read: {error.strerror}") from error
    return Loaded(config=parse(raw, path), path=path, raw=raw)


def parse(raw: bytes, path: Path) -> Config:
    """The values in these bytes; `path` is named in what is said, and relative paths start from its folder."""
    if len(raw) > _MAX_BYTES:
        raise ConfigInvalid(f"{path}:1: the file is larger than {_MAX_BYTES} bytes")
    try:
        document = tomllib.loads(raw.decode("utf-8"))
    except tomllib.TOMLDecodeError as error:
        said = str(error)
        at = _AT.search(said)
        raise ConfigInvalid(f"{path}:{at[1] if at else 1}: not TOML: {_AT.sub('', said)}") from error
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigInvalid(f"{path}:{line}: not UTF-8") from error
    where = lines_of(raw.decode("utf-8"))
    problems: list[_Problem] = list(_unknown("section", document, SECTIONS, where, ""))
    values = {
        name: _section(name, document.get(name, {}), path.absolute().parent, where, problems) for name in SECTIONS
    }
    if not problems:
        config = Config(**values)
        problems += [_Problem(where.get((section, key), 1), said) for section, key, said in _contradictions(config)]
        if not problems:
            return config
    problems.sort(key=lambda problem: problem.line)
    raise ConfigInvalid("\n".join(f"{path}:{problem.line}: {problem.sentence}" for problem in problems))


def _section(
    name: str, table: object, base: Path, where: Mapping[tuple[str, str], int], problems: list[_Problem]
) -> Any:
    """The section's value; None if something in it is wrong, which then is in `problems`."""
    line = where.get((name, ""), 1)
    if not isinstance(table, dict):
        problems.append(_Problem(where.get(("", name), line), f"{name} must be a section: [{name}]"))
        return None
    known = {each.name: each for each in fields(SECTIONS[name])}
    wrong = list(_unknown("key", table, known, where, name))
    values: dict[str, object] = {}
    for key, described in known.items():
        if key not in table:
            if described.default is MISSING:
                wrong.append(_Problem(line, f"[{name}] {key} is missing: {option_of(described).text}"))
            continue
        try:
            values[key] = option_of(described).read(table[key], base)
        except Wrong as error:
            got = f"; it is {_shown(table[key])}" if "secret" not in str(error) else ""
            wrong.append(_Problem(where.get((name, key), line), f"[{name}] {key} must be {error}{got}"))
    problems += wrong
    return None if wrong else SECTIONS[name](**values)


def _unknown(
    what: str, table: Mapping[str, object], known: Iterable[str], where: Mapping[tuple[str, str], int], section: str
) -> Iterator[_Problem]:
    names = list(known)
    for key in table:
        if key in names:
            continue
        place = (section, key) if section or not isinstance(table[key], dict) else (key, "")
        said = f"[{section}] has no {what} {key}" if section else f"there is no {what} [{key}]"
        near = difflib.get_close_matches(key, names, n=1, cutoff=0.5)
        if _ROOTS.search(key):
            said = f"{said}: {_NO_ROOTS}"
        elif near:
            said = f"{said}; the nearest is {near[0]}"
        else:
            said = f"{said}; there are {', '.join(names)}"
        yield _Problem(where.get(place, 1), said)


def _contradictions(config: Config) -> Iterator[tuple[str, str, str]]:
    """(section, key, sentence) of what is fine alone and wrong together."""
    listen, tls, custody = config.listen, config.tls, config.custody
    if listen.workload_port == listen.people_port != 0:
        yield (
            "listen",
            "people_port",
            "[listen] workload_port and people_port are the same; they differ in who may come in",
        )
    if config.collateral.pcs_key is not None and not config.collateral.pcs.startswith("https://"):
        yield (
            "collateral",
            "pcs_key",
            "[collateral] pcs_key is a secret, and pcs is not https: it would be sent in clear",
        )
    if config.web.port and config.web.port in {listen.workload_port, listen.people_port}:
        yield "web", "port", "[web] port is one of [listen]'s"
    given = [name for name in ("certificate", "key", "ca") if getattr(tls, name) is not None]
    if given and len(given) < 3:
        missing = ", ".join({"certificate", "key", "ca"} - set(given))
        yield "tls", given[0], f"[tls] needs certificate, key and ca together; missing: {missing}"
    if not given and not listen.names:
        yield (
            "listen",
            "",
            "[listen] names is missing: without [tls] the broker issues its own certificate for these names",
        )
    if given and listen.names:
        yield "listen", "names", "[listen] names has no effect beside [tls], whose certificate has its own names"
    if custody.kind == "passphrase" and custody.passphrase is None:
        yield "custody", "kind", '[custody] kind "passphrase" needs passphrase: where it comes from'
    if custody.kind == "file" and custody.passphrase is not None:
        yield "custody", "passphrase", '[custody] passphrase has no effect with kind "file"'
    if len(custody.recovery) == 1:
        yield "custody", "recovery", "[custody] recovery needs at least two keys: one that is lost must not be the last"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
