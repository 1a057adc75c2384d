"""The reference of the commands, as their `--help` says it."""

from __future__ import annotations

import html
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer

from headstart.cli.app import app


def command_reference() -> str:
    """Return every command with all its options, as Markdown.

    Returns:
        A heading for each command, its description, and a definition list for each panel.
    """
    group: Any = typer.main.get_command(app)
    parent = typer.Context(group, info_name="headstart")
    sections = []
    for name, command in group.commands.items():
        context = typer.Context(command, info_name=name, parent=parent)
        panels = _Panels()
        command.format_options(context, panels)
        usage = " ".join(command.collect_usage_pieces(context))
        description = html.escape(inspect.cleandoc(command.help), quote=False)
        sections.append(
            f"## {name}\n\n{description}\n\n"
            f"```text\nheadstart {name} {usage}\n```\n\n" + "\n".join(panels.sections)
        )
    return "\n".join(sections)


class _Panels:
    """What `--help` writes to, of Click's formatter; collects Markdown.

    Attributes:
        sections: a title and a definition list for each panel.
    """

    def __init__(self) -> None:
        self.sections: list[str] = []

    @contextmanager
    def section(self, title: str) -> Iterator[None]:
        """Begin a panel."""
        self.sections.append(f"**{title}**\n")
        yield

    def write_dl(self, records: list[tuple[str, str]]) -> None:
        """Write the names of options and what they do."""
        for names, text in records:
            meaning = html.escape(" ".join(text.split()), quote=False)
            self.sections.append(f"`{names}`\n:   {meaning}\n")
