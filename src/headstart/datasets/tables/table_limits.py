"""How large a table may be: two million images fit in, and memory stays below 1.5 GB."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from headstart.errors import DataError

MOST_BYTES: Final = 400_000_000
"""Bytes of a table of text, and of the text in a column of Parquet."""
MOST_ROWS: Final = 3_000_000
MOST_COLUMNS: Final = 10_000
MOST_CELLS: Final = 30_000_000
MOST_JSON_VALUES: Final = 12_000_000
MOST_JSON_OBJECTS: Final = 4_000_000
_MOST_TEXT: Final = 800_000_000  # bytes of decoded text, with up to 4 for each character
_LONGEST_LINE: Final = 10_000_000  # characters
_MOST_LINES: Final = 10_000_000
_WIDE: Final = re.compile(rb"[\xf0-\xff]")  # in UTF-8, of a character such as an emoji
_BREAK: Final = re.compile(r"\r\n|\r|\n")


def check_bytes(path: Path, data: bytes) -> None:
    """Refuse text that would take too much memory.

    Raises:
        DataError: It is too long, or is wide and long.
    """
    if len(data) > MOST_BYTES:
        raise too_many(path, "more than {:,} bytes of text", MOST_BYTES)
    if 4 * len(data) > _MOST_TEXT and _WIDE.search(data):
        limit = _MOST_TEXT // 4
        raise too_many(path, "more than {:,} bytes of text with emoji or the like", limit)


def too_many(path: Path, what: str, limit: int) -> DataError:
    """Return the error about a table that is too large; `what` has a place for the limit."""
    return DataError(f"{path} has {what.format(limit)}; divide it, or keep the columns needed")


def check_count(path: Path, count: int, most: int, what: str) -> None:
    """Refuse a table with more than so many rows, columns, or the like.

    Raises:
        DataError: There are more.
    """
    if count > most:
        raise too_many(path, f"more than {{:,}} {what}", most)


def text_lines(path: Path, text: str) -> Iterator[str]:
    """Yield the lines of a text with their ends, without a list of them.

    Raises:
        DataError: There are too many, or one is too long.
    """
    start = 0
    for number, found in enumerate(_BREAK.finditer(text), start=1):
        _check_line(path, number, found.start() - start)
        yield text[start : found.end()]
        start = found.end()
    if start < len(text):
        _check_line(path, 1, len(text) - start)
        yield text[start:]


def _check_line(path: Path, number: int, length: int) -> None:
    check_count(path, number, _MOST_LINES, "lines")
    if length > _LONGEST_LINE:
        raise too_many(path, "a line of more than {:,} characters", _LONGEST_LINE)
