"""The group of all commands: its help, its suggestions, and defaults from a project file."""

from pathlib import Path
from typing import Any, Final

import typer
from typer.core import TyperGroup

from headstart.cli.commands import TOPICS, Commands, first_paragraph
from headstart.errors import UserError

_PROJECT_FILES: Final = (Path("headstart.toml"), Path("pyproject.toml"))
"""Where defaults of options may be, the first that has some counts."""
_FAULTS: Final = {"int_parsing": "is not a whole number", "float_parsing": "is not a number"}
"""What pydantic says about values, in other words, by the type of a fault."""
_SHORTER: Final = {
    "should be less than or equal to": "must be at most",
    "should be greater than or equal to": "must be at least",
}
"""Words of pydantic's other messages, and plainer ones."""


class CommandGroup(TyperGroup):
    """Shows commands by topic, suggests what exists, and reads defaults from a project file.

    Messages about option values, which come from pydantic, are reworded.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = Commands()  # type: ignore[assignment]

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands, in the order of the help."""
        del ctx
        return list(self.commands)

    def invoke(self, ctx: Any) -> Any:
        """Run a command with the defaults of the project file, if there is one."""
        project = None
        if any(file.is_file() for file in _PROJECT_FILES):
            from headstart.cli.project_file import project_defaults  # would delay the start

            project = project_defaults(_PROJECT_FILES, self.commands)
        if project is not None:
            ctx.default_map, ctx.obj = project.defaults, project
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            from pydantic import ValidationError  # Typer has imported it if it checked something

            error.message = error.message.removeprefix("Value error, ")
            if error.message.startswith("Input ") and isinstance(error.__cause__, ValidationError):
                fault = error.__cause__.errors()[0]
                reason = _FAULTS.get(fault["type"], error.message.removeprefix("Input "))
                for long, short in _SHORTER.items():
                    reason = reason.replace(long, short)
                error.message = f"{fault['input']!r} {reason}"
            if project is not None and error.ctx and error.param and error.ctx.parent:
                verb, name = error.ctx.info_name, error.param.name
                source = error.ctx.get_parameter_source(name)
                if source is not None and source.name == "DEFAULT_MAP":
                    reason = error.message.rstrip(".")
                    raise UserError(f"{project.entry(str(verb), name)}: {reason}") from error
            raise

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command; for a word of another tool, suggest the command that does this."""
        try:
            return super().resolve_command(ctx, args)
        except typer.BadParameter.__base__ as error:  # type: ignore[misc]
            from headstart.cli.suggestions import other_verb  # would delay the start

            if other := other_verb(args[0], self.commands):
                error.message = f"{error.message.rstrip('.')}; {other}"
            raise

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands under the headings of their topics, each with its whole summary."""
        del ctx
        # Aligned over all topics.
        widest = max(map(len, self.commands))
        for topic, names in TOPICS.items():
            with formatter.section(topic):
                formatter.write_dl([(name.ljust(widest), first_paragraph(name)) for name in names])
