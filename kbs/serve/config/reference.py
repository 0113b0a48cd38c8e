"""The reference of the configuration, made from the sections themselves: `config explain`, docs/configuration.md."""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

from kbs.serve.config.option import SecretRef, option_of
from kbs.serve.config.sections import SECTIONS, Config

__all__ = ["described", "effective", "explain", "nearest", "render"]

_HEAD = """# Configuration

Made from the sections in `kbs/serve/config/sections.py` (`python -m kbs.serve.config.reference`); do not edit.

One TOML file, named on the command line, read once when a command starts. Unknown keys, wrong units and contradictions
stop the start with file, line and the nearest known key. Relative paths start from the file's folder. Secrets are
references: `file:PATH` (mode 0600), `credential:NAME` (a systemd credential of the unit), and for a passphrase also
`fd:N` (an open descriptor) and `terminal`. No environment variable changes what the broker does; systemd's
`CREDENTIALS_DIRECTORY` only says where a credential is that the file asks for by name. Vendor roots cannot be
configured.

    sealgate-broker config check --config FILE
    sealgate-broker config show --config FILE
    sealgate-broker config explain [SECTION[.KEY]]
"""


def render() -> str:
    """The whole reference as Markdown."""
    return _HEAD + "".join(f"\n{_markdown(name)}" for name in SECTIONS)


def explain(what: str) -> str | None:
    """What is said of a section or of SECTION.KEY, for a terminal; of everything for an empty text. None: no such."""
    section, _, key = what.partition(".")
    names = [name for name in SECTIONS if not section or name == section]
    if not names or (key and key not in {each.name for each in fields(SECTIONS[section])}):
        return None
    return "\n\n".join("\n".join(_lines(name, key)) for name in names)


def described(what: str) -> list[dict[str, str]]:
    """The same for programs: section, key, default and meaning of each key; empty if there is no such."""
    section, _, key = what.partition(".")
    return [
        {"section": name, "key": each.name, "default": _default(each), "meaning": option_of(each).text}
        for name, kind in SECTIONS.items()
        for each in fields(kind)
        if section in {"", name} and key in {"", each.name}
    ]


def nearest(what: str) -> str:
    """The section, or the SECTION.KEY, that is spelled most like this; empty if none is."""
    known = [*SECTIONS, *(f"{each['section']}.{each['key']}" for each in described(""))]
    return next(iter(difflib.get_close_matches(what, known, n=1)), "")


def effective(config: Config) -> dict[str, dict[str, object]]:
    """Every value that counts, defaults included; secrets are references here as everywhere."""
    return {
        name: {each.name: _plain(getattr(getattr(config, name), each.name)) for each in fields(kind)}
        for name, kind in SECTIONS.items()
    }


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, Path | SecretRef) else value


def _lines(section: str, only: str) -> Iterator[str]:
    yield f"[{section}]  {inspect.getdoc(SECTIONS[section])}"
    for each in fields(SECTIONS[section]):
        if not only or each.name == only:
            yield f"  {each.name} ({_default(each)})\n      {option_of(each).text}"


def _markdown(section: str) -> str:
    head = f"## [{section}]\n\n{inspect.getdoc(SECTIONS[section])}\n\n| key | default | meaning |\n|---|---|---|\n"
    rows = (f"| `{each.name}` | {_default(each)} | {option_of(each).text} |\n" for each in fields(SECTIONS[section]))
    return head + "".join(rows)


def _default(each: Field[Any]) -> str:
    """The default as it would be written, with an example where that says more."""
    example = option_of(each).example
    if each.default is MISSING:
        return f"required, for example `{example}`"
    if each.default is None or each.default == ():
        return f"none, for example `{example}`" if example else "none"
    if isinstance(each.default, str):
        return f'`"{each.default}"`'
    return f"`{each.default}` ms, for example `{example}`" if example else f"`{each.default}`"


if __name__ == "__main__":
    sys.stdout.write(render())
