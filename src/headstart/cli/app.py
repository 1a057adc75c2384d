"""The command-line application: commands, errors and exit codes."""

import os
import signal
import sys
import traceback
from functools import cache
from typing import Annotated, Any

import typer

from headstart.cli.command_group import CommandGroup
from headstart.cli.console import note
from headstart.cli.results_page import remember_command
from headstart.errors import HeadstartError, UserError
from headstart.system.memory import is_out_of_memory
from headstart.system.text import one_line

UsageError: Any = typer.BadParameter.__base__
"""A wrong use of the command line; Typer does not export it."""
INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 plus the number of the signal."""

app = typer.Typer(
    name="headstart",
    cls=CommandGroup,
    help="A folder of photos in, a tested image classifier out.",
    no_args_is_help=True,
    suggest_commands=False,  # `CommandGroup` does
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"headstart {version('headstart')}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback on errors.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """A folder of photos in, a tested image classifier out."""
    del debug, version  # the first is read by `main`, the second by its callback


def main() -> None:
    """Run the command line and exit: 0, 1 for a failure, 2 for a usage error, 130 for Ctrl-C."""
    # A caller may have closed either; no file opened later may get its descriptor.
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    try:
        code = run(sys.argv[1:])
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a second Ctrl-C ends it at once, silently
    except KeyboardInterrupt:
        code = INTERRUPTED
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run the command line, given without the program's name, and return the exit code."""
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    remember_command(arguments)
    try:
        if "" in arguments:  # which would name the current folder
            raise UserError("an argument is empty, perhaps an unset variable; give a value")
        code = _commands()(arguments, prog_name="headstart", standalone_mode=False) or 0
    except SystemExit as done:
        code = done.code if isinstance(done.code, int) else 1
    except BrokenPipeError:  # the reader of our output closed it, as `head` does
        sys.stderr.close()
        return 1
    except UsageError as error:
        say_usage(error)
        return int(error.exit_code)
    except Exception as error:  # noqa: BLE001 - every error ends as a message and an exit code
        if debug:
            traceback.print_exception(error)
        else:
            note(f"error: {_explained(error)}")
        if is_out_of_memory(error):
            return 1
        return error.exit_code if isinstance(error, HeadstartError) else 1
    if code == INTERRUPTED:
        note("stopped; finished work is in the cache, so the same command continues from there")
    return int(code)


@cache
def _commands() -> Any:
    """Return all commands with their options, which Typer would build again for each call."""
    return typer.main.get_command(app)


def say_usage(error: UsageError) -> None:
    """Print a wrong use of the command line in one line; without arguments, the help."""
    message = error.format_message()
    if message.startswith("Usage:"):
        typer.echo(message, err=True)
        return
    from headstart.cli import suggestions  # would delay the start

    if error.ctx and hasattr(error, "possibilities"):  # there is no such option
        own, commands = error.ctx.command, error.ctx.find_root().command.commands
        given, names = error.option_name, suggestions.options_of_command(own)
        instead = suggestions.argument_in_place(given, own) or suggestions.other_option(
            given, names, commands
        )
        message = f"{error.message}; {instead}" if instead else error.message
    if error.ctx:
        message = suggestions.too_many_arguments(message, error.ctx) or message
        message = suggestions.missing_option(message, error.ctx)
    message = suggestions.with_number(message)
    sentence = " ".join(message.split()).rstrip(".")
    command = error.ctx.info_name if error.ctx and error.ctx.parent else None
    note(
        f"error: {sentence[:1].lower()}{sentence[1:]} (see 'headstart "
        f"{f'{command} ' if command else ''}--help')"
    )


def _explained(error: Exception) -> str:
    """Return the message that is printed instead of a traceback."""
    if is_out_of_memory(error):
        return (
            "out of memory; close other programs, raise a limit that was set (ulimit -v), or use "
            "less data"
        )
    if isinstance(error, HeadstartError):
        return one_line(str(error))  # names of files and classes may contain line breaks
    if isinstance(error, RuntimeError) and "home directory" in str(error):  # pathlib's words
        return "there is no home folder; set HOME to a folder"
    if isinstance(error, OSError):
        return f"{error.strerror or error}; the output could not be written"
    return (
        f"{type(error).__name__}: {error}\nThis is a bug in headstart; --debug shows a traceback."
    )
