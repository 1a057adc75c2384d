"""Options of commands from signatures, settings dataclasses and docstrings; their `--help`."""

import functools
import inspect
import re
from collections.abc import Callable, Iterable
from dataclasses import MISSING, fields, is_dataclass
from itertools import pairwise
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand

from headstart.cli.console import note
from headstart.cli.home_folder import with_home
from headstart.system.option import Option, options_of

_REWORDED: Final = (
    (re.compile(r"<list\[(.*)\]>"), lambda match: f"<{match[1].lower()}>"),
    (re.compile(" range>"), ">"),
    (re.compile(r"([\d.e+-]+)<=x<=([\d.e+-]+)"), r"\1 to \2"),
    (re.compile(r"x>=([\d.e+-]+)"), r"at least \1"),
)
"""How Typer writes types and bounds, and how `--help` does."""


def with_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Return a command in the form that Typer reads.

    Keyword-only parameters become options, the others arguments. A settings dataclass among the
    parameters is replaced by an option for each of its fields, except those that are also
    parameters of the command; the command receives the settings as one object.
    """
    own = inspect.signature(command).parameters
    parameters: list[inspect.Parameter] = []
    groups: dict[str, tuple[type, list[str]]] = {}
    for name, (kind, option) in options_of(command).items():
        if isinstance(kind, type) and is_dataclass(kind):
            defaults = {one.name: one.default for one in fields(kind) if one.name not in own}
            groups[name] = (kind, list(defaults))
            parameters += [
                _parameter(field, *options_of(kind)[field], default, inspect.Parameter.KEYWORD_ONLY)
                for field, default in defaults.items()
            ]
        else:
            parameters.append(_parameter(name, kind, option, own[name].default, own[name].kind))

    @functools.wraps(command)
    def run(**values: Any) -> Any:
        for group, (settings, names) in groups.items():
            values[group] = settings(**{name: values.pop(name) for name in names})
        return command(**values)

    parameters.sort(key=lambda one: one.kind)
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run


def _parameter(name: str, kind: Any, option: Option, default: Any, place: Any) -> inspect.Parameter:
    if default is MISSING:
        default = inspect.Parameter.empty
    is_option = place is inspect.Parameter.KEYWORD_ONLY
    note = _option(name, kind, default, option) if is_option else _argument(name, option)
    return inspect.Parameter(name, place, default=default, annotation=Annotated[kind, note])


def _argument(name: str, option: Option) -> Any:
    return typer.Argument(
        help=option.help,
        metavar=option.metavar or name.upper(),
        show_default=False,
        readable=not option.unreadable,
    )


def _option(name: str, kind: Any, default: Any, option: Option) -> Any:
    flag = name.replace("_", "-")
    # A flag that is on by default, or undecided, also needs a name to turn it off.
    negated = f"/--no-{flag}" if default is True or kind == (bool | None) else ""
    return typer.Option(
        option.flag or f"--{flag}{negated}",
        help=option.help,
        min=option.low,
        max=option.high,
        file_okay=not option.folder,
        rich_help_panel=option.panel,
        show_default=option.unset or True,
        callback=_one_of(option.choices) if option.choices else option.convert,
        autocompletion=_completion(option.choices or option.known),
    )


def _completion(names: Callable[[], Iterable[str]] | None) -> Callable[[], list[str]] | None:
    return None if names is None else lambda: list(names())


def _one_of(choices: Callable[[], Iterable[str]]) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        known = list(choices())
        for name in value if isinstance(value, list) else [value]:
            if name is not None and name not in known:
                names = ", ".join(repr(one) for one in known)
                raise typer.BadParameter(f"{name!r} is not one of {names}.")
        return value

    check.choices = choices  # type: ignore[attr-defined]
    return check


class Command(TyperCommand):
    """A command whose `--help` groups options by panel, in plain text."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the options, none of which is taken for the value of the one before it."""
        args = [with_home(one) for one in args]
        self._turn_off(ctx, args)
        valued = [one for one in self.get_params(ctx) if getattr(one, "is_flag", True) is False]
        names = {name for one in self.get_params(ctx) for name in (*one.opts, *one.secondary_opts)}
        needing = {name for one in valued for name in one.opts}
        for name, value in pairwise(args):
            if name in needing and value in names and value.startswith("--"):
                raise typer.BadParameter(f"it has no value before {value}", ctx, param_hint=name)
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter.__base__ as error:  # type: ignore[misc]
            error.ctx = error.ctx or ctx  # an option without its value has none
            raise

    def _turn_off(self, ctx: Any, args: list[str]) -> None:
        """Let --no-NAME undo a flag that a project file turned on."""
        for one in self.params:
            negated = f"--no-{one.opts[0].lstrip('-')}"
            if negated in args and (ctx.default_map or {}).get(one.name) is True:
                del ctx.default_map[one.name]
                args.remove(negated)

    def invoke(self, ctx: Any) -> None:
        """Run the command, say which defaults a project file set, and what may come next."""
        if project := ctx.obj:
            sources = {name: ctx.get_parameter_source(name) for name in ctx.params}
            used = [name for name, one in sources.items() if one and one.name == "DEFAULT_MAP"]
            if used:
                note(f"defaults from {project.text(self.name, used)}")
        found = super().invoke(ctx)
        if ctx.params.get("as_json"):
            return
        from headstart.cli.next_steps import next_step  # would delay the start

        if step := next_step(str(self.name), ctx.params, found):
            note(str(step))

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments, the main options, and then the options of every other panel."""
        panels: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is None:
                continue
            names, text = record
            for pattern, plain in _REWORDED:
                names, text = pattern.sub(plain, names), pattern.sub(plain, text)
            if choices := getattr(parameter.callback, "choices", None):
                names = names.replace("<str>", f"<{'|'.join(choices())}>")
            if isinstance(unset := getattr(parameter, "show_default", None), str):
                text = text.replace(f"default: ({unset})", f"default: {unset}")
            main = "Arguments" if parameter.param_type_name == "argument" else "Options"
            panel = getattr(parameter, "rich_help_panel", None) or main
            panels.setdefault(panel, []).append((names, text))
        for panel, records in panels.items():
            if records:
                with formatter.section(panel):
                    formatter.write_dl(records)
