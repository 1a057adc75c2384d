"""A table as columns of values, whatever file it was read from."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headstart.datasets.tables.table_limits import MOST_COLUMNS, check_count
from headstart.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The N rows of a table.

    Attributes:
        path: The file.
        columns: Names of the columns, in order; a name may occur twice.
        unit: What the rows are numbered by, such as "line".
        numbers: N numbers of lines or rows, for messages.
        read: Returns the N values of the column at an index.
        problems: Why a row cannot be used, by its index.
        named: Whether the file names its columns; otherwise they are called "1", "2" ...
        embedded: Columns whose cells contain images, not the names of files.
        class_names: Names of the classes that a column's numbers stand for.
    """

    path: Path
    columns: tuple[str, ...]
    unit: str
    numbers: Sequence[int]
    read: Callable[[int], Sequence[Any]]
    problems: Mapping[int, str] = field(default_factory=dict)
    named: bool = True
    embedded: tuple[str, ...] = ()
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.numbers)

    def values(self, column: str) -> Sequence[Any]:
        """Return the N values of a column.

        Raises:
            DataError: Two columns have this name.
        """
        if self.columns.count(column) > 1:
            raise DataError(
                f"{self.path} has {self.columns.count(column)} columns named '{column}'; rename or "
                "remove all but one of them"
            )
        return self.read(self.columns.index(column))

    def position(self, row: int) -> str:
        """Return where a row is in the file, such as "line 7"."""
        return f"{self.unit} {self.numbers[row]}"

    def place(self, row: int) -> str:
        """Return where a row is, for messages."""
        return f"{self.path}, {self.position(row)}"


def records_table(
    path: Path,
    records: Sequence[Mapping[str, Any]],
    unit: str,
    numbers: Sequence[int],
    problems: dict[int, str],
) -> Table:
    """Return a table of rows that name their values."""
    columns = tuple(dict.fromkeys(column for record in records for column in record))
    check_count(path, len(columns), MOST_COLUMNS, "columns")

    def read(index: int) -> list[Any]:
        return [record.get(columns[index]) for record in records]

    return Table(
        path=path, columns=columns, unit=unit, numbers=numbers, read=read, problems=problems
    )
