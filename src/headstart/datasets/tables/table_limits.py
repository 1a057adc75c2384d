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
MOST_JSON_COMMAS: Final = 12_000_000  # about as many values
MOST_JSON_OBJECTS: Final = 4_000_000
_MOST_TEXT: Final = 800_000_000  # bytes of decoded text, with up to 4 for each character
_LONGEST_LINE: Final = 10_000_000  # characters
_MOST_LINES: Final = 10_000_000
_WIDE: Final = re.compile(rb"[\xf0-\xff]")  # in UTF-8, of a character such as an emoji
_LINE: Final = re.compile(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+")
_ADVICE: Final = "divide it, or keep the columns needed"


def check_bytes(path: Path, data: bytes) -> None:
    """Refuse text that would take too much memory.

    Raises:
        DataError: It is too long, or is wide and long.
    """
    check_count(path, len(data), MOST_BYTES, "bytes of text")
    if 4 * len(data) > _MOST_TEXT and _WIDE.search(data):
        what = "bytes of text with emoji or the like"
        check_count(path, len(data), _MOST_TEXT // 4, what, f"remove these, or {_ADVICE}")


def check_count(path: Path, count: int, most: int, what: str, advice: str = _ADVICE) -> None:
    """Refuse a table with more than so many rows, columns, or the like.

    Raises:
        DataError: There are more.
    """
    if count > most:
        raise DataError(f"{path} has more than {most:,} {what}; {advice}")


def text_lines(path: Path, text: str) -> Iterator[str]:
    """Yield the lines of a text with their ends, without a list of them.

    Raises:
        DataError: There are too many, or one is too long.
    """
    for number, found in enumerate(_LINE.finditer(text), start=1):
        check_count(path, number, _MOST_LINES, "lines")
        length = found.end() - found.start()
        what = f"characters in line {number:,}"
        check_count(path, length, _LONGEST_LINE, what, "write each row on a line of its own")
        yield found[0]
