"""Tables of cells separated by commas, semicolons, tabs, bars or blanks."""

import csv
import re
from collections.abc import Callable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Final

from headstart.datasets.tables.cell_store import CellStore
from headstart.datasets.tables.column_names import check_pixels, is_common_name
from headstart.datasets.tables.table import Table
from headstart.datasets.tables.table_limits import MOST_COLUMNS, check_count, text_lines
from headstart.errors import DataError
from headstart.images.formats import looks_like_image

_DELIMITERS: Final = ",;\t|"
_EXCEL: Final = re.compile(r'"?sep=(.)"?(?:\r\n|\r|\n)', re.IGNORECASE)
_LINE: Final = re.compile(r"[^\r\n]+")
_SAMPLE: Final = 50  # lines that tell the delimiter, and cells that tell whether a row is a header

_Cells = tuple[int, list[str]]
"""The line that a row begins on, and its cells."""


def read_delimited(path: Path, text: str, is_file: Callable[[str], bool] | None = None) -> Table:
    """Read a table of text.

    The delimiter is the one that Excel's first line "sep=;" states; otherwise the one that occurs
    equally often in the most lines. Lines without any of them are split
    at their last blank, as in Caffe's lists of "path label".

    The first row is the header, unless one of its cells names an image. Rows that begin with "#"
    are comments, unless they begin with the name of a file.

    Args:
        path: The file that the text comes from.
        text: Its content.
        is_file: Whether a cell names an existing image; None for a table that surely has a header
            and no comments.

    Raises:
        DataError: The text is not a table, such as after an unclosed quotation mark.
    """
    excel = _EXCEL.match(text)
    delimiter = excel[1] if excel else _delimiter(text)
    cells = _cells(path, text[excel.end() :] if excel else text, delimiter, 1 if excel else 0)
    filled = (row for row in cells if any(cell.strip() for cell in row[1]))
    header, first = _header(filled, is_file)
    named = header is not None
    if header is None:
        width = len(first[0][1]) if first else 0
        header = [str(number) for number in range(1, width + 1)]
    if named:
        check_pixels(path, header)  # before reading gigabytes of them
    check_count(path, len(header), MOST_COLUMNS, "columns")
    content = CellStore(
        path,
        (row for row in chain(first, filled) if not (is_file and _is_comment(row[1], is_file))),
    )
    return Table(
        path=path,
        columns=tuple(header),
        unit="line",
        numbers=content.lines,
        read=content.column,
        problems=_problems(content, len(header), delimiter),
        named=named,
    )


def _problems(content: CellStore, columns: int, delimiter: str) -> dict[int, str]:
    """Return why rows cannot be used that have more cells than there are columns."""
    reasons: dict[int, str] = {}  # equal ones are kept once
    problems = {}
    for row in range(len(content)):
        count = content.width(row)
        more = range(columns, count)
        if more and any(content.cell(row, column).strip() for column in more):
            problems[row] = reasons.setdefault(
                count,
                f"{count} cells for {columns} columns; put quotation marks around cells that "
                f"contain {delimiter!r}",
            )
    return problems


def _delimiter(text: str) -> str:
    """Return the delimiter that occurs equally often in the most lines; a blank if none does."""
    found = (match[0] for match in _LINE.finditer(text))
    content = (line for line in found if line.strip() and not line.startswith("#"))
    lines = [re.sub(r'"[^"]*"', "", line) for line in islice(content, _SAMPLE)]
    if not lines:
        return ","

    def agreement(delimiter: str) -> tuple[int, int]:
        count = lines[0].count(delimiter)
        return sum(line.count(delimiter) == count for line in lines) if count else 0, count

    best = max(_DELIMITERS, key=agreement)
    blank = best not in lines[0] and len(lines[0].split()) > 1
    return " " if blank else best


def _cells(path: Path, text: str, delimiter: str, line: int) -> Iterator[_Cells]:
    """Yield the rows, counting lines from `line`."""
    if delimiter == " ":
        for number, content in enumerate(text_lines(path, text), start=line + 1):
            yield number, content.strip().rsplit(maxsplit=1)
        return
    spaced = re.search(rf'{re.escape(delimiter)} +"', text) is not None
    lines = text_lines(path, text)
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=spaced)
    while True:
        first_line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:  # such as a huge cell after an unclosed quotation mark
            raise DataError(
                f"{path} cannot be read as a table: {error}, in the row that begins on line "
                f"{first_line + line}; fix that row"
            ) from error
        if cells is None:
            return
        yield first_line + line, cells


def _header(
    rows: Iterator[_Cells], is_file: Callable[[str], bool] | None
) -> tuple[list[str] | None, list[_Cells]]:
    """Return the names of the columns; None and the first row if that is not a header."""
    for line, cells in rows:
        first = [cell.strip() for cell in cells]
        if is_file and first[0].startswith("#") and not is_file(first[0]):
            first[0] = first[0].lstrip("# ")
            if not any(is_common_name(name) for name in first[:_SAMPLE]):
                continue  # a comment, not a header
        if is_file and any(looks_like_image(one) or is_file(one) for one in first[:_SAMPLE]):
            return None, [(line, cells)]
        return first, []
    return None, []


def _is_comment(cells: list[str], is_file: Callable[[str], bool]) -> bool:
    first = cells[0].strip()
    return first.startswith("#") and not is_file(first)
