"""Verbs, and what becomes of an error."""

from __future__ import annotations

import os
import signal
import sys
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from headstart.cli import (
    attack,
    catalog,
    compare,
    explain,
    features,
    finetune,
    imagine,
    prediction,
    robustness,
    training,
    transfer,
)
from headstart.cli.console import note
from headstart.errors import HeadstartError

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 and the number of the signal."""


class _Verbs(TyperGroup):
    """Says what was wrong with an option in our words: Typer passes on pydantic's."""

    def invoke(self, ctx: Any) -> Any:
        """Run the verb."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            from pydantic import ValidationError  # Typer has it only where it checks something

            error.message = error.message.removeprefix("Value error, ")
            if error.message.startswith("Input ") and isinstance(error.__cause__, ValidationError):
                value = error.__cause__.errors()[0]["input"]
                error.message = f"{value!r} will not do: {error.message.removeprefix('Input ')}"
            raise


app = typer.Typer(
    name="headstart",
    cls=_Verbs,
    help="A folder of photos in, a tested image classifier out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for verb in (
    training.fit,
    training.evaluate,
    finetune.finetune,
    compare.compare,
    prediction.predict,
    prediction.classify,
    transfer.transfer,
    robustness.robustness,
    features.features,
    attack.attack,
    explain.explain,
    imagine.imagine,
    catalog.info,
    catalog.backbones,
    catalog.datasets,
    catalog.cache,
):
    app.command()(verb)


def _version(wanted: bool) -> None:
    if wanted:
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
    """Run the command line and exit: 0, 1 for a failure, 2 for a user's mistake, 130 for Ctrl-C."""
    # A caller may have closed either; what opens a file next must not be given its number.
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    try:
        code = run(sys.argv[1:])
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a second Ctrl-C ends it at once, in silence
    except KeyboardInterrupt:
        code = INTERRUPTED
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run the command line.

    Args:
        arguments: without the program's name. `--debug` may stand anywhere.

    Returns:
        The exit code.
    """
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        app(arguments)
    except SystemExit as done:  # how Typer ends, mistakes in options and Ctrl-C included
        code = done.code if isinstance(done.code, int) else 1
        if code == INTERRUPTED:
            _say("stopped; what was computed is kept, and the same command goes on from there")
        return code
    except HeadstartError as error:
        if debug:
            raise
        return _say(f"error: {error}", error.exit_code)
    except BrokenPipeError:  # the reader of our output left, as `head` does
        sys.stderr.close()
        return 1
    except MemoryError:
        if debug:
            raise
        return _say("error: the memory does not suffice; close other programs or use less data")
    except OSError as error:
        if debug:
            raise
        return _say(f"error: {error.strerror or error}; nothing more could be written")
    except Exception as error:  # a user is shown a sentence, not a traceback
        if debug:
            raise
        kind = type(error).__name__
        return _say(f"error: {kind}: {error}\nThis is a bug in headstart; --debug shows where.", 1)
    return 0


def _say(text: str, code: int = 1) -> int:
    note(text)
    return code
