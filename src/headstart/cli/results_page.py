"""What a command adds to its results: the command line that made them, and their page."""

import shlex
from collections.abc import Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Final

from headstart.cli.console import note

PAGE: Final = "report.html"
_given: ContextVar[tuple[str, ...]] = ContextVar("arguments", default=())


def remember_command(arguments: Sequence[str]) -> None:
    """Keep the command line, given without the program's name, for the results it leads to."""
    _given.set(tuple(arguments))


def record_command(folder: Path) -> bool:
    """Write the command line into a folder of results, and remove the page of earlier ones.

    Returns:
        Whether there was a page.
    """
    from headstart.pages.rendering import is_page
    from headstart.reporting.results_folder import ResultsFolder

    outdated = is_page(folder / PAGE)
    if outdated:
        (folder / PAGE).unlink()
    ResultsFolder(folder).write_command(shlex.join(["headstart", *_given.get()]))
    return outdated


def record_model_command(folder: Path) -> None:
    """Write the command line beside a model, and say if the page of an earlier one was removed."""
    if record_command(folder):
        page = folder / PAGE
        note(f"{page} was about the model that this one replaces, so it was removed")


def write_results_page(folder: Path) -> None:
    """Write the command line and the page of a folder of results."""
    from headstart.pages.rendering import write_page
    from headstart.reporting.report_page import report_page

    record_command(folder)
    write_page(report_page(folder), folder / PAGE)
