"""How a command line offers a setting: help, bounds, panel, known values.

A setting is written once: name, type and default where a dataclass or function declares it, the
help in that docstring ("Attributes:" of a dataclass, "Options:" of a function), and everything
else in an `Option`:

    epochs: Annotated[int, Option(low=1, high=1_000)] = 10

This module does not depend on the command line; `headstart.cli.parameters` builds the options.
"""

import inspect
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, Final, get_args, get_type_hints

from headstart.errors import UserError

_SECTION: Final = re.compile(r"^(?:Attributes|Options):\n((?:\n| .*\n?)+)", re.MULTILINE)
_ENTRY: Final = re.compile(r"^    (\w+): (.*(?:\n {5,}.*)*)", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """The command-line properties of a setting.

    Attributes:
        help: One or two sentences for `--help`; by default the setting's entry under
            "Attributes:" or "Options:" in the docstring.
        low: The smallest number allowed; None for no lower bound.
        high: The largest number allowed; None for no upper bound.
        panel: A heading in `--help`; None puts the option among the main ones.
        unset: What a default of None means, such as "the network's input size".
        flag: The option's name, such as "--from"; by default the setting's name with dashes.
        metavar: The name of an argument in `--help`; by default the setting's own in capitals.
        folder: Whether a path must not be a file.
        unreadable: Whether a path may be one that cannot be read.
        choices: Returns the names that are allowed, such as a registry's keys. It is called when a
            value is checked, so that names added from outside the package count.
        known: Returns names that a shell may complete; others are allowed, too.
        convert: Is called with the value, None included, and returns the one to use.
    """

    help: str = ""
    low: float | None = None
    high: float | None = None
    panel: str | None = None
    unset: str | None = None
    flag: str | None = None
    metavar: str | None = None
    folder: bool = False
    unreadable: bool = False
    choices: Callable[[], Iterable[str]] | None = None
    known: Callable[[], Iterable[str]] | None = None
    convert: Callable[[Any], Any] | None = None


Advanced = partial(Option, panel="Advanced")
"""An `Option` that most users do not need."""


@cache
def options_of(settings: Any) -> dict[str, tuple[Any, Option]]:
    """Return the type and option of every setting of a dataclass or function, by name."""
    hints = get_type_hints(settings, include_extras=True)
    hints.pop("return", None)
    helps = _helps(settings)
    found = {}
    for name, hint in hints.items():
        kind, *notes = get_args(hint) if hasattr(hint, "__metadata__") else (hint,)
        option = next((one for one in notes if isinstance(one, Option)), Option())
        found[name] = (kind, option if option.help else replace(option, help=helps.get(name, "")))
    return found


def summary(documented: Any) -> str:
    """Return a docstring without the section about options."""
    return _SECTION.sub("", inspect.getdoc(documented) or "").strip()


def check_bounds(settings: Any) -> None:
    """Check that numbers are within the bounds of their options.

    Raises:
        UserError: with the setting, its value and the allowed range.
    """
    for name, (_, option) in options_of(settings.__class__).items():
        value = getattr(settings, name)
        if value is None or option.low is None or option.high is None:
            continue
        if not option.low <= value <= option.high:
            raise UserError(
                f"{name.replace('_', '-')} is {value}; give a number from {option.low:g} to "
                f"{option.high:g}"
            )


def _helps(documented: Any) -> dict[str, str]:
    section = _SECTION.search(inspect.getdoc(documented) or "")
    entries = _ENTRY.findall(section.group(1)) if section else ()
    return {name: " ".join(text.split()) for name, text in entries}
