"""`sealgate completion`: what a shell needs to complete the command, written from the command's own parsers."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clients.cli.main import Doors

__all__ = ["Command", "Option", "register", "walk"]

_EPILOG = """examples:
  sealgate completion bash > ~/.local/share/bash-completion/completions/sealgate
  sealgate completion zsh > ~/.zfunc/_sealgate
  sealgate completion fish > ~/.config/fish/completions/sealgate.fish"""
_SHELLS = ("bash", "zsh", "fish")


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option of a command: its spellings, and what may follow it. `values` None: it takes none."""

    flags: tuple[str, ...]
    help: str
    values: tuple[str, ...] | None
    file: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command by its path, such as `sealgate keys get`; `words` may follow it: commands below it, or choices."""

    path: str
    help: str
    words: tuple[str, ...]
    options: tuple[Option, ...]
    files: bool
    parser: argparse.ArgumentParser


def register(subparsers: Any) -> None:
    """Adds the command."""
    parser = subparsers.add_parser(
        "completion",
        help="write completion for bash, zsh or fish",
        description="Writes a script that completes commands, options and files.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shell", choices=_SHELLS, help="which shell")
    parser.add_argument("--json", action="store_true", help="print the commands and options instead, as JSON")
    parser.set_defaults(run=_run)


def walk(parser: argparse.ArgumentParser, path: str = "", told: str = "") -> Iterator[Command]:
    """Every command below `parser`, itself first."""
    path = path or parser.prog
    options, words, files = [], [], False
    below: list[tuple[argparse.ArgumentParser, str, str]] = []
    for action in parser._actions:  # noqa: SLF001  # argparse has no other way to look at a parser
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}  # noqa: SLF001
            for name, child in action.choices.items():
                words.append(name)
                below.append((child, f"{path} {name}", helps.get(name, "")))
        elif action.option_strings:
            options.append(_option(action))
        else:
            words += [str(choice) for choice in action.choices or ()]
            files = files or action.type is Path
    yield Command(
        path=path, help=told, words=tuple(words), options=tuple(options), files=files, parser=parser
    )  # fmt: skip
    for child, name, help_text in below:
        yield from walk(child, name, help_text)


def _option(action: argparse.Action) -> Option:
    values = None if action.nargs == 0 else tuple(str(choice) for choice in action.choices or ())
    text = "" if action.help in {None, argparse.SUPPRESS} else str(action.help)
    return Option(flags=tuple(action.option_strings), help=text, values=values, file=action.type is Path)


def _run(args: argparse.Namespace, doors: Doors) -> int:
    from clients.cli.main import full_parser  # noqa: PLC0415  # every command is loaded here, and only here

    del doors
    commands = list(walk(full_parser()))
    if args.json:
        told = [
            {"command": c.path, "words": c.words, "options": [f for o in c.options for f in o.flags]} for c in commands
        ]
        print(json.dumps(told))
    else:
        print({"bash": bash, "zsh": zsh, "fish": fish}[args.shell](commands), end="")
    return 0


def bash(commands: list[Command]) -> str:
    """A function that finds the command it is in, then offers its words, options or files."""
    name = commands[0].path
    paths = "|".join(f'"{c.path}"' for c in commands[1:])
    values = "".join(_bash_values(c) for c in commands)
    words = "".join(_bash_words(c) for c in commands)
    return f"""# {name} completion for bash; written by `{name} completion bash`
_{name}() {{
    local cur="${{COMP_WORDS[COMP_CWORD]}}" prev="${{COMP_WORDS[COMP_CWORD-1]}}" path="{name}" word words files=
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case "$path $word" in
            {paths}) path="$path $word" ;;
        esac
    done
    COMPREPLY=()
    case "$path $prev" in
{values}    esac
    case "$path" in
{words}    esac
    COMPREPLY=( $(compgen -W "$words" -- "$cur") )
    [[ -n "$files" && "$cur" != -* ]] && COMPREPLY+=( $(compgen -f -- "$cur") )
    return 0
}}
complete -o filenames -F _{name} {name}
"""


def _bash_values(command: Command) -> str:
    """The lines for what follows an option that takes a value."""
    lines = []
    for option in command.options:
        if option.values is None:
            continue
        where = "|".join(f'"{command.path} {flag}"' for flag in option.flags)
        what = ""
        if option.values:
            what = f'COMPREPLY=( $(compgen -W {shlex.quote(" ".join(option.values))} -- "$cur") ); '
        elif option.file:
            what = 'COMPREPLY=( $(compgen -f -- "$cur") ); '
        lines.append(f"        {where}) {what}return 0 ;;\n")
    return "".join(lines)


def _bash_words(command: Command) -> str:
    flags = [flag for option in command.options for flag in option.flags if flag.startswith("--")]
    files = " files=1" if command.files else ""
    return f'        "{command.path}") words={shlex.quote(" ".join([*command.words, *flags]))}{files} ;;\n'


def zsh(commands: list[Command]) -> str:
    """zsh runs the function written for bash, by its own bashcompinit."""
    name = commands[0].path
    return f"#compdef {name}\nautoload -U +X bashcompinit && bashcompinit\n{bash(commands)}"


def fish(commands: list[Command]) -> str:
    """One `complete` line for each word and option, under the condition that its command is the one being typed."""
    name = commands[0].path
    paths = " ".join(shlex.quote(c.path) for c in commands[1:])
    lines = [
        f"# {name} completion for fish; written by `{name} completion fish`",
        f"function __{name}_at",
        f"    set -l at {name}",
        "    for word in (commandline -opc)[2..-1]",
        f'        contains -- "$at $word" {paths}; and set at "$at $word"',
        "    end",
        '    test "$at" = "$argv"',
        "end",
        f"complete -c {name} -f",
    ]
    helps = {c.path: c.help for c in commands}
    for command in commands:
        at = f"complete -c {name} -n {shlex.quote(f'__{name}_at {command.path}')}"
        told = {word: _described(helps.get(f"{command.path} {word}", "")) for word in command.words}
        lines += [f"{at} -a {shlex.quote(word)}{text}" for word, text in told.items()]
        if command.files:
            lines.append(f"{at} -F")
        lines += [at + _fish_option(option) for option in command.options]
    return "\n".join(lines) + "\n"


def _fish_option(option: Option) -> str:
    flags = "".join(f" -l {f[2:]}" if f.startswith("--") else f" -s {f[1:]}" for f in option.flags)
    if option.values is not None:
        flags += " -r" + (f" -a {shlex.quote(' '.join(option.values))}" if option.values else "")
        flags += " -F" if option.file else ""
    return flags + _described(option.help)


def _described(text: str) -> str:
    return f" -d {shlex.quote(text.replace('%%', '%'))}" if text else ""
