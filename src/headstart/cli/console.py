"""Where text goes: results to stdout, progress and warnings to stderr."""

from __future__ import annotations

import ctypes
import json
import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

    from headstart.types import ProgressCallback


_UPPER: Final = {code: f"\\u{code:04x}" for code in range(127, 160)}
_CONTROLS: Final = {
    code: f"\\x{code:02x}" for code in (*range(32), *_UPPER) if chr(code) not in "\t\n"
}
"""A file's name may hold what moves a terminal's cursor or hides a line."""
_ALL: Final = _CONTROLS | {ord("\n"): "\\n", ord("\t"): "\\t"}


def one_line(text: str) -> str:
    """A name, or a line with names in it: what would break or rewrite the line is an escape."""
    return text.translate(_ALL)


def say(text: str) -> None:
    """Lines of the result; what a terminal cannot or must not show becomes an escape."""
    encoding = sys.stdout.encoding or "utf-8"
    text = text.translate(_CONTROLS) if sys.stdout.isatty() else text
    typer.echo(text.encode(encoding, "backslashreplace").decode(encoding))


def note(text: str) -> None:
    """A line about what is going on."""
    typer.echo(f"headstart: {text.translate(_CONTROLS)}", err=True)


def warn(texts: Iterable[str]) -> None:
    """Lines about what went less than well."""
    for text in texts:
        note(f"warning: {one_line(text)}")


def print_json(document: Any) -> None:
    """The one document of `--json`; numbers that are not finite are refused."""
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:  # a file's name that is no text, or a terminal without Unicode
        text = json.dumps(document, indent=2, allow_nan=False)
    typer.echo(text.translate(_UPPER))


def table(header: list[str], rows: Iterable[list[str]], *, right: set[int] | None = None) -> None:
    """Columns, as wide as they need to be; plain text, so that it can be cut and searched.

    Args:
        header: names of the columns.
        rows: cells.
        right: columns that are aligned to the right.
    """
    lines = [header, *([one_line(cell) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    for line in lines:
        cells = [
            cell.rjust(width) if column in (right or ()) else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        say("  ".join(cells).rstrip())


_NEWS = 30.0
"""Seconds between lines about progress where there is no terminal, as in a log."""


class ProgressBars:
    """Progress bars with rate and time left, on a terminal; elsewhere a line now and then.

    One display holds them all, because a terminal has only one; it and each bar appear with the
    first news, so that nothing flickers where there is nothing to wait for.
    """

    def __init__(self) -> None:
        self._display: RichProgress | None = None
        self._told = time.monotonic()

    def bar(self, what: str, unit: str, *, scale: int = 1) -> ProgressCallback:
        """A bar to be told of (done, total).

        Args:
            what: stands before it.
            unit: what is counted.
            scale: both numbers are divided by it.
        """
        task = None

        def update(done: int, total: int) -> None:
            nonlocal task
            done, total = done // scale, total // scale
            if not sys.stderr.isatty():
                if time.monotonic() - self._told >= _NEWS:
                    self._told = time.monotonic()
                    counted = "" if what == unit else f" {unit}"
                    note(f"{what}: {done:,} of {total:,}{counted}")
                return
            display = self._shown()
            if task is None:  # what was done before says nothing of the rate
                task = display.add_task(what, total=total, completed=done, rate="")
                return
            speed = next(one.speed for one in display.tasks if one.id == task)
            rate = f"{speed:,.0f} {unit}/s" if speed else ""
            display.update(task, completed=done, total=total, rate=rate)

        return update

    def close(self) -> None:
        """Remove them all from the terminal."""
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
    """Bars that are gone when done, whatever ends the work."""
    bars = ProgressBars()
    try:
        yield bars
    finally:
        bars.close()


def hush_libraries() -> None:
    """Keep libraries from writing to stderr about what we report ourselves.

    Pillow and libtiff do so about broken files, huggingface_hub about each attempt to go online.
    """
    import PIL

    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    logging.getLogger("PIL").propagate = False
    package = Path(PIL.__file__).parent
    # Where the wheels keep the library, on Linux and on macOS. It can only be asked in C.
    for folder in (package.parent / "pillow.libs", package / ".dylibs"):
        for library in folder.glob("libtiff*"):
            with suppress(OSError, AttributeError):
                tiff = ctypes.CDLL(str(library))
                for setter in (tiff.TIFFSetErrorHandler, tiff.TIFFSetWarningHandler):
                    setter.argtypes, setter.restype = [ctypes.c_void_p], ctypes.c_void_p
                    setter(None)
