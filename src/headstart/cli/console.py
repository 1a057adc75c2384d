"""Where text goes: results to stdout, progress and warnings to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import typer

Progress = Callable[[int, int], None]


def say(text: str) -> None:
    """A line of the result."""
    typer.echo(text)


def warn(texts: Iterable[str]) -> None:
    """Lines about what went less than well."""
    for text in texts:
        typer.echo(f"headstart: warning: {text}", err=True)


def print_json(document: Any) -> None:
    """The one document of `--json`; numbers that are not finite are refused."""
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))


def table(header: list[str], rows: Iterable[list[str]], *, right: set[int] | None = None) -> None:
    """Columns, as wide as they need to be; plain text, so that it can be cut and searched.

    Args:
        header: names of the columns.
        rows: cells.
        right: columns that are aligned to the right.
    """
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    for line in lines:
        cells = [
            cell.rjust(width) if column in (right or ()) else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        say("  ".join(cells).rstrip())


@contextmanager
def bar(what: str, unit: str) -> Iterator[Progress]:
    """A progress bar with rate and time left, on a terminal; gone when done."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        Remaining(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None, rate="")

        def update(done: int, total: int) -> None:
            speed = progress.tasks[0].speed
            rate = f"{speed:,.0f} {unit}/s" if speed else ""
            progress.update(task, completed=done, total=total, rate=rate)

        yield update


@contextmanager
def downloading(name: str) -> Iterator[Callable[[int, int | None], None]]:
    """A progress bar for bytes."""
    with bar(f"downloading {name}", "MB") as update:
        megabyte = 1_000_000
        yield lambda done, total: update(done // megabyte, (total or 0) // megabyte)
