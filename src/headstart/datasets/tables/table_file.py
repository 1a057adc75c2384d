"""Recognition of table files, and the reader for each kind."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from headstart.datasets.tables.delimited import read_delimited
from headstart.datasets.tables.json_records import read_json, read_json_lines
from headstart.datasets.tables.parquet import read_parquet
from headstart.datasets.tables.table import Table
from headstart.datasets.tables.text_file import read_text
from headstart.types import Skipped

_JSON_LINES: Final = (".jsonl", ".ndjson")
_PARQUET: Final = (".parquet", ".pq")
TABLE_ENDINGS: Final = (".csv", ".tsv", *_JSON_LINES, *_PARQUET)
"""Extensions that only tables have."""
_LIST_ENDINGS: Final = (".json", ".txt", ".lst")
"""Extensions of tables and of much else: a file is a table if the user says so."""

_UNSUPPORTED: Final = {
    **dict.fromkeys((".xlsx", ".xls", ".xlsm", ".ods", ".numbers"), "save it as 'CSV UTF-8'"),
    **dict.fromkeys((".arrow", ".feather", ".pkl", ".h5"), "save it as Parquet or CSV"),
    **dict.fromkeys((".csv.gz", ".tsv.gz", ".jsonl.gz"), "unpack it with gunzip"),
}

Row = tuple[str, dict[str, Any]]
"""The position of a row for messages ("line 7"), and its values by column name."""


def is_table(path: Path) -> bool:
    """Whether a file has an extension that only tables have."""
    return path.suffix.lower() in TABLE_ENDINGS


def may_be_table(path: Path) -> bool:
    """Whether a file that the user gives can be read as a table."""
    return is_table(path) or path.suffix.lower() in _LIST_ENDINGS


def unsupported(path: Path) -> str | None:
    """Return what to do with a table in a format that is not supported; None for other files."""
    name = path.name.lower()
    return next((what for ending, what in _UNSUPPORTED.items() if name.endswith(ending)), None)


def read_table(path: Path, is_file: Callable[[str], bool] | None = None) -> Table:
    """Read a table; its extension tells its format.

    Args:
        path: The file.
        is_file: Whether a cell names an existing image, which tells rows from headers and comments;
            None for a table that surely has a header and no comments.

    Raises:
        DataError: The table cannot be read.
        MissingExtraError: The table is Parquet, and the extra `tables` is not installed.
    """
    suffix = path.suffix.lower()
    if suffix in _PARQUET:
        return read_parquet(path)
    text = read_text(path)
    if suffix in _JSON_LINES:
        return read_json_lines(path, text)
    return read_json(path, text) if suffix == ".json" else read_delimited(path, text, is_file)


def read_rows(path: Path) -> tuple[list[Row], list[Skipped]]:
    """Return the rows of a table that headstart wrote, and the lines that are not valid.

    Raises:
        DataError: The table cannot be read.
    """
    table = read_table(path)
    columns = {name: table.values(name) for name in table.columns}
    rows, damaged = [], []
    for index in range(len(table)):
        if index in table.problems:
            damaged.append(Skipped(table.place(index), table.problems[index]))
        else:
            rows.append(
                (table.position(index), {name: values[index] for name, values in columns.items()})
            )
    return rows, damaged
