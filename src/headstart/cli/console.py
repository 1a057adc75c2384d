"""Console output: results to stdout, progress and warnings to stderr."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence, Set
from contextlib import contextmanager
from itertools import zip_longest
from typing import Any, Final

import typer

from headstart.system.progress import ProgressBars, write_note
from headstart.system.progress import progress as shown
from headstart.system.serialization import json_text
from headstart.system.text import decoded, one_line, shortened, visible

_GAP: Final = "  "
_NARROWEST: Final = 40
"""Columns of a window below which nothing is broken further."""
_LEAST: Final = 12
"""Columns of a table's cell below which its text is not broken."""


def say(text: str) -> None:
    """Print lines of the result, with escapes for characters unsafe or unknown to the terminal."""
    typer.echo(printable(visible(text) if sys.stdout.isatty() else text))


def printable(text: str) -> str:
    """Return text with escapes for what the encoding of the output lacks."""
    encoding = sys.stdout.encoding or "utf-8"
    return decoded(text).encode(encoding, "backslashreplace").decode(encoding)


def note(text: str) -> None:
    """Print a line about the work in progress to stderr."""
    write_note(text)


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


def window_width() -> int | None:
    """Return the columns of the terminal that shows the result; None for a file or a pipe.

    The environment variable COLUMNS counts there, too.
    """
    columns, _ = shutil.get_terminal_size((0, 0))
    return max(columns, _NARROWEST) if columns else None


def columns(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    right: Iterable[int] = (),
    least: Iterable[int] = (),
) -> str:
    """Return a table as plain text that is no wider than the window.

    Args:
        header: The names of the columns.
        rows: Their cells.
        right: Indices of the columns that are aligned to the right.
        least: Indices of the columns to leave out, in this order, until the others fit; a line
            below the table says which are missing. Further ones are broken into lines.
    """
    lines = [
        list(header),
        *([one_line(printable(shortened(cell))) for cell in row] for row in rows),
    ]
    widths = [max(map(cell_width, column)) for column in zip(*lines, strict=True)]
    most = window_width()
    shown = list(range(len(header)))
    for index in least if most else ():
        if _width(widths, shown) <= (most or 0):
            break
        shown.remove(index)
    while most and _width(widths, shown) > most:
        widest = max(shown, key=lambda index: widths[index])
        if widths[widest] <= _LEAST:
            break
        widths[widest] -= 1
    text = "\n".join(
        line for cells in lines for line in _table_lines(cells, widths, shown, frozenset(right))
    )
    missing = [header[index] for index in range(len(header)) if index not in shown]
    if not missing:
        return text
    where = f"(in a wider window, and with --json: {', '.join(filter(None, missing))})"
    return "\n".join([text, *wrapped(where, most or len(where))])


def _width(widths: Sequence[int], shown: Sequence[int]) -> int:
    return sum(widths[index] for index in shown) + len(_GAP) * (len(shown) - 1)


def _table_lines(
    cells: Sequence[str], widths: Sequence[int], shown: Sequence[int], right: Set[int]
) -> Iterator[str]:
    """Yield the lines of a row, which are several if a cell is wider than its column."""
    parts = [wrapped(cells[index], widths[index]) or [""] for index in shown]
    for line in zip_longest(*parts, fillvalue=""):
        yield _GAP.join(
            padded(cell, widths[index], right=index in right)
            for index, cell in zip(shown, line, strict=True)
        ).rstrip()


def cell_width(text: str) -> int:
    """Return the columns that a text takes in a terminal: Chinese characters take two each."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def padded(text: str, width: int, *, right: bool = False) -> str:
    """Return a text filled up to `width` columns with spaces, which are before it if `right`."""
    spaces = " " * (width - cell_width(text))
    return spaces + text if right else text + spaces


def wrapped(text: str, width: int) -> list[str]:
    """Return the lines of a text that is broken at spaces, or anywhere if there are none."""
    if cell_width(text) <= width:
        return [text]
    if text.isascii():
        return textwrap.wrap(text, width, break_on_hyphens=False)
    from rich.console import Console
    from rich.text import Text  # textwrap counts characters, of which some take two columns

    lines = Text(text).wrap(Console(width=width), width)
    return [line.plain.strip() for line in lines]


def table(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    right: Iterable[int] = (),
    least: Iterable[int] = (),
) -> None:
    """Print a table; see `columns`."""
    say(columns(header, rows, right=right, least=least))


def facts(rows: Iterable[tuple[str, str | Sequence[str] | None]], *, width: int = 10) -> None:
    """Print lines with labels padded to `width`; a label without lines is not printed.

    Lines that are wider than the window are broken at spaces.
    """
    window = window_width()
    for label, value in rows:
        lines = [value] if isinstance(value, str) else value or ()
        texts = [one_line(shortened(line)) for line in lines]
        if window:
            texts = [part for text in texts for part in wrapped(text, window - width)]
        for number, text in enumerate(texts):
            say(("" if number else label).ljust(width) + text)


def paragraph(text: str) -> None:
    """Print a sentence, broken at spaces if it is wider than the window."""
    for line in wrapped(text, window_width() or len(text)):
        say(line)


def say_markdown(text: str) -> None:
    """Print Markdown as it is or, in a terminal, as a page."""
    if not sys.stdout.isatty():
        say(text)
        return
    from rich.console import Console
    from rich.markdown import Markdown
    from rich.theme import Theme

    # Its own style for code is a black box, also where the window is white.
    Console(theme=Theme({"markdown.code": "bold"})).print(Markdown(visible(text)))


@contextmanager
def progress() -> Iterator[ProgressBars]:
    """Provide progress bars that are removed at the end, even after an error."""
    with shown(verbose=True) as bars:
        yield bars


def silence_libraries() -> None:
    """Keep libraries from logging what headstart reports itself.

    Pillow logs damaged files, and huggingface_hub every attempt to go online,
    and PyTorch damaged programs.
    """
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    logging.getLogger("PIL").propagate = False
    logging.getLogger("torch.export").disabled = True
