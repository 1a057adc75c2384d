"""The columns that say which part of a data set an image is in."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from headstart.datasets.dataset import parse_split
from headstart.datasets.tables.column_names import (
    FLAG_NAMES,
    MAYBE_SPLIT_NAMES,
    SPLIT_NAMES,
    plain_name,
)
from headstart.datasets.tables.image_folder import UnusableRowError
from headstart.datasets.tables.labels import cell_text
from headstart.datasets.tables.table import Table
from headstart.errors import DataError
from headstart.system.text import join_names
from headstart.types import Split

_USAGES: Final = {
    "publictest": Split.VALIDATION,  # FER2013
    "privatetest": Split.TEST,
    "public": Split.TEST,  # solutions of Kaggle's competitions
    "private": Split.TEST,
}
_YES: Final = frozenset({"1", "true", "yes", "y", "t", "1.0"})
_NO: Final = frozenset({"0", "false", "no", "n", "f", "0.0"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitColumns:
    """The part of each row.

    Attributes:
        columns: Names of the columns used; empty if the table has no parts.
        cells: N tuples of texts, one for each column.
        flags: The part that each column is about, if they are columns of yes and no.
        warnings: Sentences about columns that look like parts and are not.
    """

    columns: tuple[str, ...] = ()
    cells: Sequence[tuple[str, ...]] = ()
    flags: tuple[Split, ...] = ()
    warnings: tuple[str, ...] = ()

    def of(self, row: int) -> Split | None:
        """Return the part of a row; None if the table has no parts.

        Raises:
            UnusableRowError: The row does not say it.
        """
        if not self.columns:
            return None
        cells = self.cells[row]
        if not self.flags:
            part = _part(cells[0])
            if part is None:
                raise UnusableRowError(f"unknown split '{cells[0]}'" if cells[0] else "no split")
            return part
        if not all(cell.casefold() in _YES | _NO for cell in cells):
            raise UnusableRowError("no split")
        named = {
            flag for flag, cell in zip(self.flags, cells, strict=True) if cell.casefold() in _YES
        }
        if len(named) > 1:
            raise UnusableRowError(f"in several splits: {', '.join(sorted(named))}")
        if named:
            return named.pop()
        # What is not in the only other part: not training is testing.
        return Split.TEST if Split.TRAIN in self.flags else Split.TRAIN


def find_splits(table: Table, columns: Sequence[str], *, labeled: bool) -> SplitColumns:
    """Find the parts: a column such as "split" or "Usage", or columns such as "is_test".

    A column counts if its name fits and one of its values does; most values if the name often means
    something else, such as "set"; all if it is of yes and no.

    Args:
        table: The table.
        columns: Those that name neither images nor labels.
        labeled: Whether another column has the labels; if not, "train" may be a class of vehicles.

    Raises:
        DataError: Two columns disagree.
    """
    if not table.named:
        return SplitColumns()
    warnings, found = [], {}
    for column in dict.fromkeys(columns):
        name = plain_name(column)
        if name not in SPLIT_NAMES | MAYBE_SPLIT_NAMES:
            continue
        texts = _texts(table, column)
        named = sum(_part(text) is not None for text in texts)
        if named and (name in SPLIT_NAMES or 2 * named > len(texts)):
            found[column] = texts
        elif name in SPLIT_NAMES:
            values = list(dict.fromkeys(text for text in texts if text))
            warnings.append(
                f"the column '{column}' of {table.path} is not used: its values "
                f"({join_names(values, 3)}) do not name the parts train, validation or test"
            )
    if len({tuple(map(_part, texts)) for texts in found.values()}) > 1:
        raise DataError(
            f"{table.path} has several columns of parts that disagree: {', '.join(found)}; remove "
            "or rename all but one"
        )
    for column, texts in found.items():
        cells = [(text,) for text in texts]
        return SplitColumns(columns=(column,), cells=cells, warnings=tuple(warnings))
    flags = {
        column: texts
        for column in dict.fromkeys(columns)
        if plain_name(column) in FLAG_NAMES
        and (texts := _texts(table, column))
        and {text.casefold() for text in texts if text} <= _YES | _NO
        and any(texts)
    }
    if not labeled and len({FLAG_NAMES[plain_name(column)] for column in flags}) < 2:
        flags = {one: texts for one, texts in flags.items() if plain_name(one).startswith("is")}
    if not flags:
        return SplitColumns(warnings=tuple(warnings))
    return SplitColumns(
        columns=tuple(flags),
        cells=list(zip(*flags.values(), strict=True)),
        flags=tuple(FLAG_NAMES[plain_name(column)] for column in flags),
        warnings=tuple(warnings),
    )


def _part(text: str) -> Split | None:
    return parse_split(text) or _USAGES.get(text.strip().casefold())


def _texts(table: Table, column: str) -> list[str]:
    return [cell_text(cell) or "" for cell in table.values(column)]
