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


def remove_outdated_page(folder: Path) -> None:
    """Remove the page of the model that a new one has replaced, and say so."""
    from headstart.pages.rendering import is_page

    page = folder / PAGE
    if is_page(page):
        page.unlink()
        note(f"{page} was about the model that this one replaces, so it was removed")


def write_results_page(folder: Path) -> None:
    """Write the command line and the page of a folder of results."""
    from headstart.pages.rendering import write_page
    from headstart.reporting.report_page import report_page
    from headstart.reporting.results_folder import ResultsFolder

    ResultsFolder(folder).write_command(shlex.join(["headstart", *_given.get()]))
    write_page(report_page(folder), folder / PAGE)
