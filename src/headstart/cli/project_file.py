"""Defaults of options in headstart.toml, or in [tool.headstart] of pyproject.toml.

A table for each command, with options as on the command line but without the dashes in front:

    [fit]
    backbone = "efficientnet-lite2"
    holdout = 0.2

Options on the command line win.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from headstart.cli.home_folder import with_home
from headstart.errors import UserError

_PYTHON_PROJECT: Final = "pyproject.toml"
_TOOL: Final = "tool.headstart"
_CONSENT: Final = {
    "allow-code": "lets a network run code",
    "force": "may replace files",
    "clear": "deletes the cache",
    "by": "may move files",
}
"""Options that someone must give on purpose, not a file that came with the photos."""


@dataclass(frozen=True, slots=True)
class Project:
    """The defaults of a project file.

    Attributes:
        file: Its name, and the table that contains those of headstart, for messages.
        defaults: By command and parameter, the value as it would be given on the command line.
        keys: By command and parameter, the name in the file.
    """

    file: str
    defaults: Mapping[str, dict[str, Any]]
    keys: Mapping[str, dict[str, str]]

    def entry(self, verb: str, parameter: str) -> str:
        """Name an entry for messages."""
        return f"{self.file}, [{verb}] {self.keys[verb][parameter]}"

    def text(self, verb: str, parameters: Iterable[str]) -> str:
        """Return the file and the values that some parameters have from it."""
        values = self.defaults[verb]
        shown = [f"{self.keys[verb][name]} = {values[name]}" for name in parameters]
        return f"{self.file}: {', '.join(shown)}"


def project_defaults(files: Iterable[Path], commands: Mapping[str, Any]) -> Project | None:
    """Read the first of some files that has defaults; None if none has.

    Args:
        files: headstart.toml and pyproject.toml, which need not exist.
        commands: All commands by name.

    Raises:
        UserError: The file cannot be read, or contains something that does not exist.
    """
    for path in files:
        name = path.name
        try:
            content = path.read_bytes() if path.is_file() else b""
        except OSError as error:
            raise UserError(f"cannot read {name}: {error.strerror or error}") from error
        if name == _PYTHON_PROJECT and _TOOL.encode() not in content:
            continue  # before anything is imported
        if content:
            return _parsed(name, content, commands)
    return None


def _parsed(name: str, content: bytes, commands: Mapping[str, Any]) -> Project | None:
    import tomllib

    try:
        found: Any = tomllib.loads(content.decode("utf-8-sig"))
    except ValueError as error:  # also if it is not UTF-8
        raise UserError(f"{name} is not valid TOML: {error}") from error
    file = name
    if name == _PYTHON_PROJECT:
        found, file = found.get("tool", {}).get("headstart"), f"{name} ({_TOOL})"
        if found is None:
            return None
    if not isinstance(found, dict):
        raise UserError(f"{file} is {found!r}; give a table of a command, such as [{_TOOL}.fit]")
    defaults: dict[str, dict[str, Any]] = {}
    keys: dict[str, dict[str, str]] = {}
    for verb, entries in found.items():
        if verb not in commands or not isinstance(entries, dict):
            raise UserError(
                f"{file} has {verb!r}, which is not a table of a command"
                f"{_instead(verb, commands)}; tables are named as commands, such as [fit]"
            )
        defaults[verb], keys[verb] = {}, {}
        options = _options(commands[verb])
        for key, value in entries.items():
            option = options.get(key.replace("_", "-"))
            where = f"{file}, [{verb}] {key}"
            if key.replace("_", "-") in _CONSENT:
                reason = _CONSENT[key.replace("_", "-")]
                raise UserError(f"{where}: this {reason}, so give it on the command line")
            if option is None:
                known = ", ".join(one for one in options if one not in _CONSENT)
                raise UserError(
                    f"{where}: there is no such option{_instead(key, options)}; {verb} has {known}"
                )
            defaults[verb][option.name] = _value(where, option, value)
            keys[verb][option.name] = key
    return Project(file, defaults, keys)


def _options(command: Any) -> dict[str, Any]:
    """Return the options of a command by their name without dashes."""
    return {
        one.opts[0].lstrip("-"): one
        for one in command.params
        if one.param_type_name == "option" and one.opts[0] != "--help"
    }


def _instead(name: str, known: Mapping[str, Any]) -> str:
    close = get_close_matches(name.replace("_", "-"), known, 1)
    return f" (did you mean {close[0]}?)" if close else ""


def _value(where: str, option: Any, value: Any) -> Any:
    """Return a value as the command line would give it.

    Raises:
        UserError: It has another type than the option.
    """
    if option.is_flag:
        if not isinstance(value, bool):
            raise UserError(f"{where} is {value!r}; give true or false")
        return value
    values = value if isinstance(value, list) and option.multiple else [value]
    if not all(isinstance(one, str | int | float) and not isinstance(one, bool) for one in values):
        several = " or a list of them" if option.multiple else ""
        raise UserError(f"{where} is {value!r}; give a text or a number{several}")
    # As the arguments of a program are decoded: file names, too, where the locale is not UTF-8.
    texts = [with_home(os.fsdecode(str(one).encode())) for one in values]
    return texts if option.multiple else texts[0]
