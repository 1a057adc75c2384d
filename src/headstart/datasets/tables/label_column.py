"""The label of each row, checked as a whole: several labels, missing ones, equal numbers."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from headstart.datasets.tables.column_names import PLURAL_NAMES, plain_name
from headstart.datasets.tables.columns import Columns, class_names, is_marked
from headstart.datasets.tables.image_folder import UnusableRowError
from headstart.datasets.tables.labels import (
    are_numbers,
    cell_labels,
    equal_numbers,
    is_missing_word,
    joint_labels,
)
from headstart.datasets.tables.table import Table
from headstart.errors import DataError
from headstart.system.text import join_names, pluralize

_ADVICE: Final = (
    "headstart learns one label per image (multi-label data is not supported): keep one label in "
    "each row, or choose another column with --label-column"
)
_MOST_LABELS: Final = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelColumn:
    """The labels of the N rows of a table.

    Attributes:
        cells: N tuples of labels, empty if the row has none.
        without: Why a row has no label.
        missing: Words that stand for a missing label, such as "NaN" among numbers.
        warnings: Sentences about labels that may be meant otherwise.
    """

    cells: Sequence[tuple[str, ...]]
    without: str
    missing: frozenset[str]
    warnings: tuple[str, ...]

    @classmethod
    def of(cls, table: Table, columns: Columns) -> "LabelColumn":
        """Read the labels of a table.

        Raises:
            DataError: Rows have several labels.
        """
        usable = [row for row in range(len(table)) if row not in table.problems]
        if columns.marks:
            cells = _marked(table, columns.marks)
            _refuse_several(table, cells, {row for row in usable if len(cells[row]) > 1}, "mark")
            return cls(cells=cells, without="no class is marked", missing=frozenset(), warnings=())
        values = table.values(columns.label)
        names = table.class_names.get(columns.label, ())
        cells = [cell_labels(value, names) for value in values]
        several = {row for row in usable if len(cells[row]) > 1}
        classes = {label for row in usable for label in cells[row]}
        if len(classes) > _MOST_LABELS:
            raise DataError(
                f"{table.path} has {len(classes):,} different labels in column '{columns.label}' "
                f"(limit {_MOST_LABELS:,}); choose another column with --label-column"
            )
        joint = joint_labels(classes, plural=plain_name(columns.label) in PLURAL_NAMES)
        several |= {row for row in usable if not joint.keys().isdisjoint(cells[row])}
        _refuse_several(table, cells, several, "give", values)
        missing = (
            frozenset(filter(is_missing_word, classes)) if are_numbers(classes) else frozenset()
        )
        return cls(
            cells=cells,
            without="no label",
            missing=missing,
            warnings=tuple(_warnings(table, classes - missing, values)),
        )

    def of_row(self, row: int) -> str:
        """Return the label of a row.

        Raises:
            UnusableRowError: It has none.
        """
        if not self.cells[row]:
            raise UnusableRowError(self.without)
        (label,) = self.cells[row]
        if label in self.missing:
            raise UnusableRowError(f"no label but '{label}' among numbers")
        if "\0" in label:
            raise UnusableRowError("a zero byte in the label")
        return label


def _marked(table: Table, marks: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the classes whose column has a 1, for each row."""
    names = class_names(marks)
    flags = [[is_marked(cell) for cell in table.values(mark)] for mark in marks]
    return [
        tuple(name for name, flag in zip(names, row, strict=True) if flag)
        for row in zip(*flags, strict=True)
    ]


def _refuse_several(
    table: Table,
    cells: Sequence[tuple[str, ...]],
    rows: set[int],
    verb: str,
    values: Sequence[Any] = (),
) -> None:
    if not rows:
        return
    first = min(rows)
    shown = repr(values[first]) if values else join_names([repr(one) for one in cells[first]], 3)
    raise DataError(
        f"{len(rows):,} of {pluralize(len(cells), 'row')} of {table.path} {verb} several labels, "
        f"such as {shown} ({table.position(first)}); {_ADVICE}"
    )


def _warnings(table: Table, classes: set[str], values: Sequence[Any]) -> Iterator[str]:
    if numbers := equal_numbers(classes):
        groups = [" and ".join(map(repr, group)) for group in numbers]
        yield (
            f"{table.path} spells numbers in several ways, which are several classes: "
            f"{join_names(groups, 5)}; if they are the same class, spell them alike"
        )
    texts = {value for value in values if isinstance(value, str)}
    if merged := sorted(one for one in texts if one != one.strip() and one.strip() in texts):
        yield (
            f"blanks around labels of {table.path} are removed: "
            f"{join_names([repr(one) for one in merged], 5)}"
        )
    words = [one for one in classes if one.casefold() in ("nan", "<na>")]
    if words and not numbers:
        yield (
            f"{join_names([repr(one) for one in sorted(words)])} is a class of {table.path} like "
            "any other; if it means that there is no label, leave the cell empty"
        )
    uncertain = {
        label: parts & classes
        for label in classes
        if len(parts := set(re.split(r"[\s/]+", label))) > 1 and parts & classes
    }
    if uncertain:
        shown, parts = min(uncertain.items())
        yield (
            f"{pluralize(len(uncertain), 'label')} of {table.path} may be several in one, such as "
            f"{shown!r} beside {min(parts)!r}; if so, keep one in each row"
        )
