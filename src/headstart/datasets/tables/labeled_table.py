"""Tables with one row per image: CSV, TSV, JSON Lines, Parquet."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from headstart.datasets.dataset import ImageDataset, ImageEntry, build_dataset, parse_split
from headstart.datasets.tables.table_options import TableOptions
from headstart.datasets.tables.table_rows import JSON_LINES, Row, read_rows
from headstart.errors import DataError
from headstart.types import Skipped, Split

TABLE_ENDINGS: Final = (".csv", ".tsv", *JSON_LINES, ".parquet", ".pq")
_IMAGE_NAMES: Final = frozenset(
    {"image", "images", "file", "files", "filename", "path", "filepath", "imagepath", "imagefile"}
    | {"imagename", "imagefilename", "img", "imgpath", "imgfile", "imgname", "photo", "picture"}
)
_LABEL_NAMES: Final = frozenset(
    {"label", "labels", "class", "classname", "classlabel", "category", "target", "species", "y"}
    | {"labelname", "categoryname"}
)
_SPLIT_NAMES: Final = frozenset({"split", "set", "subset"})
_DEFAULT: Final = TableOptions()
_NO_FILE: Final = "no such file"
_REMOTE: Final = re.compile(r"(?:[a-z][a-z0-9+.-]+://|data:)", re.IGNORECASE)


def is_table(path: Path) -> bool:
    """Whether a file has the extension of a table."""
    return path.suffix.lower() in TABLE_ENDINGS


def open_tables(
    tables: Sequence[tuple[Path, Split | None]],
    options: TableOptions = _DEFAULT,
    *,
    name: str,
    within: Path | None = None,
    cache: Path | None = None,
    require_classes: int = 2,
) -> ImageDataset:
    """Read several tables as one data set, such as one for each part.

    A table's part is that of all its rows; None leaves it to the table's own column.
    """
    raise NotImplementedError


def open_table(
    path: Path,
    options: TableOptions = _DEFAULT,
    *,
    name: str = "",
    within: Path | None = None,
    cache: Path | None = None,
    require_classes: int = 2,
) -> ImageDataset:
    """Read a table of image files and labels without opening the images.

    Columns are recognized by common names, ignoring case, spaces, "_" and "-". Paths are relative
    to the table's folder. A column `split`, `set` or `subset` is used if any of its values names a
    split.

    By default the columns of image files and labels are found by their names, and the data set is
    named after the file. Files outside of `within`, if given, are refused: for tables from
    untrusted sources. Equal values in `group_column` mark images that are not independent. Fewer
    classes than `require_classes` are an error.

    Raises:
        DataError: the table is damaged, its columns are ambiguous, or it has too few classes.
        MissingExtraError: the table is Parquet, and the extra `tables` is not installed.
    """
    rows, skipped = read_rows(path)
    if not rows:
        raise DataError(_no_rows(path, skipped))
    columns = list(dict.fromkeys(column for _, values in rows for column in values))
    image = _find_column(path, columns, "image", _IMAGE_NAMES, options.image_column)
    label = _find_column(path, columns, "label", _LABEL_NAMES, options.label_column)
    if image == label:
        raise DataError(
            f"the images and the labels in {path} cannot both be in the column '{image}'; choose "
            "another with --image-column or --label-column"
        )
    split = _split_column(rows, [one for one in columns if one not in (image, label)])
    group = (
        _find_column(
            path, columns, "group", frozenset(), options.group_column, option="--group-by column:"
        )
        if options.group_column is not None
        else None
    )
    entries: dict[tuple[Path, str], ImageEntry] = {}
    for where, values in rows:
        file, class_name = _text(values.get(image)), _text(values.get(label))
        part = None if split is None else _text(values.get(split))
        multiline = any("\n" in cell for cell in (file, class_name, part) if cell)
        try:
            if multiline:  # all rows from there on have become one cell
                raise _RowError("line break in a cell; check for an unclosed quotation mark")
            resolved = _resolve_file(options.image_folder or path.parent, file, within)
            if class_name is None:
                raise _RowError("no label")
            known = parse_split(part) if part else None
            if split is not None and known is None:
                raise _RowError(f"unknown split '{part}'" if part else "no split")
            member_of = "" if group is None else _text(values.get(group)) or ""
            entry = ImageEntry(resolved, class_name, known, member_of)
        except _RowError as reason:
            # A row without a file name is identified by its position.
            shown = file if file and not multiline else f"{path}, {where}"
            skipped.append(Skipped(shown, str(reason)))
            continue
        if (entry.path, entry.label) in entries:
            skipped.append(Skipped(str(entry.path), f"listed twice ({path.name}, {where})"))
        else:
            entries[entry.path, entry.label] = entry
    dataset = build_dataset(name or path.name, entries.values(), skipped)
    if len(dataset.classes) < require_classes:
        raise DataError(_too_few_classes(dataset, path))
    return dataset


class _RowError(Exception):
    """A row that cannot be used, for the reason in the message; other rows may be fine."""


def _resolve_file(folder: Path, name: str | None, within: Path | None) -> Path:
    if name is None:
        raise _RowError("no image file")
    if _REMOTE.match(name):
        raise _RowError("remote file; download it and list the local copy instead")
    file = folder / name
    try:
        if "\\" in name and not file.exists():  # written on Windows
            file = folder / name.replace("\\", "/")
        if within is not None and not file.resolve().is_relative_to(within.resolve()):
            raise _RowError("outside the archive")
        if not file.exists():
            raise _RowError("broken link" if file.is_symlink() else _NO_FILE)
        if not file.is_file():
            raise _RowError("a folder" if file.is_dir() else "not a regular file")
    except (OSError, ValueError, RuntimeError) as error:  # too long, a zero byte, a link loop
        raise _RowError(str(getattr(error, "strerror", None) or error).lower()) from error
    return file


def _text(value: object) -> str | None:
    """Return a cell as text; None for empty cells, NaN, lists and other objects."""
    if isinstance(value, float):
        # Integer columns with missing values are read as floats.
        value = int(value) if value.is_integer() else value
        value = None if value != value else value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value).strip() or None if isinstance(value, str | int | float) else None


def _find_column(
    path: Path,
    columns: list[str],
    role: str,
    common: frozenset[str],
    chosen: str | None,
    *,
    option: str | None = None,
) -> str:
    """Return the chosen column, or the only one with a common name for its role."""
    listed = ", ".join(f"'{column}'" for column in columns) or "none"
    option = option or f"--{role}-column"
    if chosen is not None:
        exact = [one for one in columns if one == chosen]
        similar = [one for one in columns if one.strip().casefold() == chosen.strip().casefold()]
        if len(exact or similar) != 1:
            raise DataError(f"{path} has no column '{chosen}' ({option}); its columns are {listed}")
        return (exact or similar)[0]
    found = [one for one in columns if re.sub(r"[\W_]+", "", one.casefold()) in common]
    if len(found) != 1:
        problem = f"several possible {role} columns" if found else f"no recognizable {role} column"
        raise DataError(f"{path} has {problem} among {listed}; choose one with {option}")
    return found[0]


def _split_column(rows: list[Row], columns: list[str]) -> str | None:
    """Return the column of splits; "set" may mean something else, so its values decide."""
    for column in columns:
        if column.strip().casefold() in _SPLIT_NAMES:
            texts = {_text(values.get(column)) for _, values in rows}
            if any(parse_split(text) for text in texts if text is not None):
                return column
    return None


def _too_few_classes(dataset: ImageDataset, path: Path) -> str:
    if dataset.classes:
        return (
            f"{path} lists usable images of only one class ('{dataset.classes[0]}'); "
            "add images of at least one other class"
        )
    first = dataset.skipped[0]
    hint = f"paths are relative to {path.parent}" if first.reason == _NO_FILE else "fix the table"
    return (
        f"none of the {len(dataset.skipped)} images in {path} can be used ({first.path}: "
        f"{first.reason}); {hint}"
    )


def _no_rows(path: Path, skipped: list[Skipped]) -> str:
    if path.suffix.lower() in JSON_LINES:
        first = f" ({skipped[0].path}: {skipped[0].reason})" if skipped else ""
        return f"{path} has no rows{first}; write one JSON object per line, one for each image"
    return f"{path} has no rows; write a line of column names, then one row per image"
