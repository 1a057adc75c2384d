"""Console output: results to stdout, progress and warnings to stderr."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from headstart.system.serialization import json_text
from headstart.system.text import one_line, shortened, visible

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

    from headstart.types import ProgressCallback


def say(text: str) -> None:
    """Print lines of the result, with escapes for characters unsafe or unknown to the terminal."""
    encoding = sys.stdout.encoding or "utf-8"
    text = visible(text) if sys.stdout.isatty() else text
    typer.echo(text.encode(encoding, "backslashreplace").decode(encoding))


def note(text: str) -> None:
    """Print a line about the work in progress to stderr."""
    typer.echo(f"headstart: {visible(shortened(text))}", err=True)


def warn(texts: Iterable[str]) -> None:
    """Print warnings to stderr, one line each."""
    for text in texts:
        note(f"warning: {one_line(text)}")


def json_document(value: Any) -> str:
    """Return a value as JSON that any terminal can show."""
    text = json_text(value)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:  # a file name that is not text, or a terminal without Unicode
        text = json_text(value, ascii_only=True)
    return visible(text)


def print_json(value: Any) -> None:
    """Print the one document of `--json`: anything that `to_json` converts."""
    typer.echo(json_document(value))


def columns(
    header: Sequence[str], rows: Iterable[Sequence[str]], *, right: Iterable[int] = ()
) -> str:
    """Return a table as plain text; the columns at the indices `right` are aligned to the right."""
    lines = [header, *([one_line(shortened(cell)) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def table(
    header: Sequence[str], rows: Iterable[Sequence[str]], *, right: Iterable[int] = ()
) -> None:
    """Print a table; see `columns`."""
    say(columns(header, rows, right=right))


def facts(rows: Iterable[tuple[str, str | Sequence[str] | None]], *, width: int = 10) -> None:
    """Print lines with labels padded to `width`; a label without lines is not printed."""
    for label, value in rows:
        lines = [value] if isinstance(value, str) else value or ()
        for number, line in enumerate(lines):
            say(("" if number else label).ljust(width) + one_line(shortened(line)))


_LOG_INTERVAL = 30.0
"""Seconds between lines about progress if stderr is not a terminal, such as in a log."""


class ProgressBars:
    """Progress bars with rate and time left on a terminal; elsewhere an occasional line.

    One display shows all bars, because a terminal has room for one. It and every bar appear with
    the first update, so that nothing flickers when there is nothing to wait for.
    """

    def __init__(self) -> None:
        self._display: RichProgress | None = None
        self._logged = time.monotonic()

    def bar(self, what: str, unit: str, *, scale: int = 1) -> ProgressCallback:
        """Return a callback that shows (done, total) divided by `scale`, and `unit` per second."""
        task = None

        def update(done: int, total: int) -> None:
            nonlocal task
            done, total = done // scale, total // scale
            if not sys.stderr.isatty():
                if time.monotonic() - self._logged >= _LOG_INTERVAL:
                    self._logged = time.monotonic()
                    counted = "" if what == unit else f" {unit}"
                    note(f"{what}: {done:,} of {total:,}{counted}")
                return
            display = self._shown()
            if task is None:  # work of an earlier run says nothing about the rate
                task = display.add_task(what, total=total, completed=done, rate="")
                return
            speed = next(one.speed for one in display.tasks if one.id == task)
            rate = f"{speed:,.0f} {unit}/s" if speed else ""
            display.update(task, completed=done, total=total, rate=rate)

        return update

    def close(self) -> None:
        """Remove all bars from the terminal."""
        if self._display:
            self._display.stop()

    def _shown(self) -> RichProgress:
        if self._display is None:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as RichProgress

            self._display = RichProgress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._display.start()
        return self._display


@contextmanager
def progress() -> Iterator[ProgressBars]:
    """Provide progress bars that are removed at the end, even after an error."""
    bars = ProgressBars()
    try:
        yield bars
    finally:
        bars.close()


def silence_libraries() -> None:
    """Keep libraries from logging what headstart reports itself.

    Pillow logs damaged files, and huggingface_hub every attempt to go online,
    and PyTorch damaged programs.
    """
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    logging.getLogger("PIL").propagate = False
    logging.getLogger("torch.export").disabled = True
