"""Rows of CSV, TSV, JSON Lines and Parquet files."""

import codecs
import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from headstart.errors import DataError, MissingExtraError
from headstart.types import Skipped

JSON_LINES: Final = (".jsonl", ".ndjson")

Row = tuple[str, dict[str, Any]]
"""The position of a row for messages ("line 7"), and its values by column name."""


def read_rows(path: Path) -> tuple[list[Row], list[Skipped]]:
    """Return the rows of a table, and the lines that are not valid; its extension tells its format.

    Raises:
        DataError: the table cannot be read.
        MissingExtraError: the table is Parquet, and the extra `tables` is not installed.
    """
    suffix = path.suffix.lower()
    if suffix in (".parquet", ".pq"):
        return _parquet_rows(path), []
    text = _decode(path)
    if suffix in JSON_LINES:
        return _json_rows(path, text)
    return list(_csv_rows(path, text, "\t" if suffix == ".tsv" else _delimiter(text))), []


def _decode(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))  # Excel's "Unicode text"
    try:
        return data.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8 text (byte {error.start}); save it as 'CSV UTF-8'"
        ) from error


def _delimiter(text: str) -> str:
    """Return the most frequent delimiter of the first line: comma, semicolon or tab.

    Spreadsheets write semicolons in countries with a decimal comma.
    """
    header = re.sub(r'"[^"]*"', "", text.split("\n", 1)[0])
    return max(",;\t", key=header.count)


def _csv_rows(path: Path, text: str, delimiter: str) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    header: list[str] | None = None
    while True:
        first_line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:  # such as a huge cell after an unclosed quotation mark
            raise DataError(
                f"{path} cannot be read as a table: {error}, in the row that begins on line "
                f"{first_line}; fix that row"
            ) from error
        if cells is None:
            return
        if not any(cell.strip() for cell in cells):
            continue
        if header is None:
            header = [cell.strip() for cell in cells]
            continue
        # Missing cells at the end are empty; cells beyond the header have no column.
        padded = [*cells, *[""] * (len(header) - len(cells))]
        yield f"line {first_line}", dict(zip(header, padded, strict=False))


def _json_rows(path: Path, text: str) -> tuple[list[Row], list[Skipped]]:
    rows: list[Row] = []
    skipped = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError):
            values = None
        if isinstance(values, dict):
            rows.append((f"line {number}", values))
        else:
            skipped.append(Skipped(f"{path}, line {number}", "not a JSON object"))
    return rows, skipped


def _parquet_rows(path: Path) -> list[Row]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtraError("Reading Parquet tables", extra="tables") from error
    try:
        rows = parquet.read_table(path).to_pylist()
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"{path} cannot be read as Parquet: {error}") from error
    return [(f"row {number}", row) for number, row in enumerate(rows, start=1)]
