"""Which columns of a table name the images, their labels, parts and groups."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from headstart.datasets.tables.column_names import (
    ID_NAMES,
    IMAGE_NAMES,
    INDEX_NAMES,
    LABEL_ENDINGS,
    LABEL_NAMES,
    TOPIC_NAMES,
    are_predictions,
    check_pixels,
    plain_name,
)
from headstart.datasets.tables.image_folder import ImageFolder
from headstart.datasets.tables.labels import cell_labels, cell_text
from headstart.datasets.tables.splits import SplitColumns, find_splits
from headstart.datasets.tables.table import Table
from headstart.datasets.tables.table_options import TableOptions
from headstart.errors import DataError

_IMAGE: Final = "--image-column"
_LABEL: Final = "--label-column"
_SAMPLE: Final = 20  # cells that tell whether a column names files
_FEW: Final = 5  # rows that may all be of different classes
_BOX: Final = frozenset({"xmin", "ymin", "xmax", "ymax"})
_MARKS: Final = {"0": False, "1": True, "false": False, "true": True, "": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """The columns of a table that are used.

    Attributes:
        image: The column of image files, or of images themselves.
        label: The column of labels; "" if `marks` has them.
        marks: One column for each class, with 1 for the images of the class.
        splits: The columns of parts.
        group: The column of groups; None without one.
        warnings: Sentences about columns that were not found by their names, or are not used.
    """

    image: str
    label: str
    marks: tuple[str, ...]
    splits: SplitColumns
    group: str | None
    warnings: tuple[str, ...]


def find_columns(table: Table, options: TableOptions, folder: ImageFolder) -> Columns:
    """Find the columns by their names, or else by what is in them.

    - Images: the column chosen; else the one that holds images; else the one with a common name
      such as "file_name", or of several the one whose values are files; else the one called "id"
      or "name" if its values are files; else the only one whose values are files.
    - Labels: the column chosen; else the one with a common name such as "label", or of several
      that say the same the one in words; else the one with a name such as "breed"; else columns of
      0 and 1, one for each class; else the only column left.

    Raises:
        DataError: A column is missing, or several are possible, or the labels are predictions.
    """
    if options.label_column is None and are_predictions(table.columns):
        raise DataError(
            f"{table.path} has predictions of headstart, not labels; give the folder or table with "
            f"the labels, or, once they are corrected, add {_LABEL} label"
        )
    image, how = _image_column(table, options.image_column, folder)
    group = (
        _chosen(table, options.group_column, "--group-by column:") if options.group_column else None
    )
    label = None if options.label_column is None else _chosen(table, options.label_column, _LABEL)
    if label == image:
        raise DataError(
            f"the images and the labels in {table.path} cannot both be in the column '{image}'; "
            "choose another with --image-column or --label-column"
        )
    others = [one for one in table.columns if one not in (image, label)]
    labeled = label is not None or bool(_named(others, LABEL_NAMES | TOPIC_NAMES))
    splits = find_splits(table, others, labeled=labeled)
    marks: tuple[str, ...] = ()
    if label is None:
        used = {image, group, *splits.columns, *table.embedded}
        label, marks = _label_columns(table, [one for one in table.columns if one not in used])
    where = f"labels in column '{label}'" if label else f"a class in each of {len(marks)} columns"
    said = [f"{table.path} {how}: images in column '{image}', {where}"] if how else []
    return Columns(
        image=image,
        label=label,
        marks=marks,
        splits=splits,
        group=group,
        warnings=(*said, *splits.warnings, *_box_warnings(table)),
    )


def _box_warnings(table: Table) -> tuple[str, ...]:
    names = {plain_name(column): column for column in table.columns}
    if not names.keys() >= _BOX:
        return ()
    boxes = ", ".join(names[one] for one in sorted(_BOX))
    text = f"{table.path.name} has boxes of objects ({boxes}), which are not used: headstart "
    return (text + "classifies whole images; crop the objects to classify them",)


def _listed(columns: Sequence[str]) -> str:
    shown = ", ".join(f"'{column}'" for column in columns[:30]) or "none"
    return f"{shown} and {len(columns) - 30} more" if len(columns) > 30 else shown


def _chosen(table: Table, name: str, option: str) -> str:
    exact = [one for one in table.columns if one == name]
    similar = [one for one in table.columns if one.strip().casefold() == name.strip().casefold()]
    if not exact and len(similar) != 1:
        raise DataError(
            f"{table.path} has no column '{name}' ({option}); its columns are "
            f"{_listed(table.columns)}"
        )
    return (exact or similar)[0]


def _named(columns: Sequence[str], names: frozenset[str]) -> list[str]:
    return list(dict.fromkeys(one for one in columns if plain_name(one) in names))


def _image_column(table: Table, chosen: str | None, folder: ImageFolder) -> tuple[str, str]:
    """Return the column, and what to say if it was not found by its name."""
    if chosen is not None:
        return _chosen(table, chosen, _IMAGE), ""
    if not table.named:
        found = [one for one in table.columns if _names_files(table, one, folder)]
        how = "has no line of column names, so they are numbered"
    elif len(table.embedded) == 1:
        return table.embedded[0], ""
    else:
        found, how = _named(table.columns, IMAGE_NAMES), ""
        if len(found) > 1 and not table.embedded:
            found = [one for one in found if _names_files(table, one, folder)] or found
        found = found or list(table.embedded)
        if not found:
            check_pixels(table.path, table.columns)
            ids = _named(table.columns, ID_NAMES)
            found = [one for one in ids if _names_files(table, one, folder)]
            if not found:
                found = [one for one in table.columns if _names_files(table, one, folder)] or ids
                how = "has no column with a common name for images, but one names files"
    if len(found) != 1:
        problem = "several possible image columns" if found else "no recognizable image column"
        raise DataError(
            f"{table.path} has {problem} among {_listed(found or table.columns)}; choose one with "
            f"{_IMAGE}"
        )
    return found[0], how


def _names_files(table: Table, column: str, folder: ImageFolder) -> bool:
    """Whether any of a column's first values is the name of a file."""
    cells = (cell_text(cell) for cell in table.values(column))
    return any(folder.has(cell) for cell in islice((one for one in cells if one), _SAMPLE))


def _label_columns(table: Table, columns: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Return the column of labels, or "" and the columns of marks."""
    found = [one for one in columns if one in table.class_names]
    if table.named:
        found = found or _named(columns, LABEL_NAMES)
        found = _in_words(table, found) if len(found) > 1 else found
        found = found or _named(columns, TOPIC_NAMES)
        found = found or [one for one in columns if plain_name(one).endswith(LABEL_ENDINGS)]
    if len(found) == 1:
        return found[0], ()
    if found:
        raise DataError(
            f"{table.path} has several possible label columns among {_listed(found)}; choose one "
            f"with {_LABEL}"
        )
    left = [one for one in columns if plain_name(one) not in INDEX_NAMES or not table.named]
    if len(left) == 1 and not _is_no_class(table.values(left[0])):
        return left[0], ()
    if table.named and (marks := _marks(table, left)):
        return "", marks
    raise DataError(
        f"{table.path} has no recognizable label column among {_listed(table.columns)}; choose one "
        f"with {_LABEL}"
    )


def _in_words(table: Table, columns: list[str]) -> list[str]:
    """Return the column in words if all columns say the same, such as numbers and names."""
    values = [[cell_labels(cell) for cell in table.values(one)] for one in columns]
    together = len(set(zip(*values, strict=True)))
    if any(len(set(one)) != together for one in values):
        return columns
    words = [
        column
        for column, cells in zip(columns, values, strict=True)
        if not all(label.isdecimal() for cell in cells for label in cell)
    ]
    return (words or columns)[:1]


def _is_no_class(values: Sequence[Any]) -> bool:
    """Whether values are numbers of rows, or measured: all differ, or most have fractions."""
    texts = [text for value in values if (text := cell_text(value)) is not None]
    all_differ = len(texts) > _FEW and len(set(texts)) == len(texts)
    return all_differ or sum(_is_fraction(text) for text in texts) * 2 > len(texts)


def _is_fraction(text: str) -> bool:
    try:
        return float(text) % 1 != 0
    except ValueError:
        return False


def is_marked(value: Any) -> bool | None:
    """Return what a cell of 0 or 1 says; None if it says anything else."""
    text = (cell_text(value) or "").casefold()
    return _MARKS.get({"0.0": "0", "1.0": "1"}.get(text, text))


def _marks(table: Table, columns: Sequence[str]) -> tuple[str, ...]:
    """Return the columns that contain a 1 and nothing but 0 and 1, if there are at least two."""
    found = []
    for column in columns:
        marked = {is_marked(cell) for cell in table.values(column)}
        if True in marked and None not in marked:
            found.append(column)
    return tuple(found) if len(found) > 1 else ()


def class_names(marks: Sequence[str]) -> list[str]:
    """Return the classes of columns such as "label_cat" and "label_dog": "cat" and "dog"."""
    for name in (*LABEL_NAMES, *TOPIC_NAMES):
        prefixes = tuple(f"{name}{mark}" for mark in "_-.: ")
        if all(one.casefold().startswith(prefixes) for one in marks):
            return [one[len(name) + 1 :] for one in marks]
    return list(marks)
