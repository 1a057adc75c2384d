"""Console output: results to stdout, progress and warnings to stderr."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer

from headstart.system.progress import ProgressBars, write_note
from headstart.system.progress import progress as shown
from headstart.system.serialization import json_text
from headstart.system.text import one_line, shortened, visible


def say(text: str) -> None:
    """Print lines of the result, with escapes for characters unsafe or unknown to the terminal."""
    encoding = sys.stdout.encoding or "utf-8"
    text = visible(text) if sys.stdout.isatty() else text
    typer.echo(text.encode(encoding, "backslashreplace").decode(encoding))


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
