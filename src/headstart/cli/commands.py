"""The commands by topic; a module is imported, and options are built, when a command is asked for.

`headstart predict` would otherwise wait for the options of all other commands.
"""

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any, Final

import typer

from headstart.cli.parameters import Command, with_options
from headstart.system.option import summary

TOPICS: Final[Mapping[str, tuple[str, ...]]] = {
    "Everyday": ("audit", "fit", "evaluate", "predict", "classify", "info"),
    "Choosing": ("compare", "transfer", "finetune", "backbones"),
    "Looking inside": ("explain", "features", "attack", "imagine", "robustness", "classes"),
    "Handing over": ("report", "export", "verify", "serve", "watch"),
    "Learning": ("quiz",),
    "Housekeeping": ("datasets", "cache"),
}
"""The commands by topic, in the order of `headstart --help`."""
_HOMES: Final = {
    "backbones": "catalog",
    "cache": "catalog",
    "classes": "catalog",
    "classify": "predict",
    "datasets": "catalog",
    "info": "catalog",
    "verify": "export",
}
"""The modules of the commands that share one."""


class Commands(Mapping[str, Any]):
    """All commands by name."""

    def __init__(self) -> None:
        self._topics = {name: topic for topic, names in TOPICS.items() for name in names}
        self._built: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        topic = self._topics[name]
        if name not in self._built:
            # Typer builds all commands of an application at once, so each is one of its own.
            alone = typer.Typer(add_completion=False, rich_markup_mode=None)
            function = _function(name)
            alone.command(name, cls=Command, help=summary(function), rich_help_panel=topic)(
                with_options(function)
            )
            self._built[name] = typer.main.get_command(alone)
        return self._built[name]

    def __contains__(self, name: object) -> bool:
        return name in self._topics

    def __iter__(self) -> Iterator[str]:
        return iter(self._topics)

    def __len__(self) -> int:
        return len(self._topics)


def first_paragraph(name: str) -> str:
    """Return what a command does, in one line."""
    paragraph, *_ = summary(_function(name)).split("\n\n")
    return " ".join(paragraph.split())


def _function(name: str) -> Callable[..., Any]:
    module = import_module(f"headstart.cli.{_HOMES.get(name, name)}")
    return getattr(module, name)  # type: ignore[no-any-return]
