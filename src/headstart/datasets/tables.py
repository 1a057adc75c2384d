"""A table with a row for each image: CSV, TSV, JSON lines, Parquet."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from headstart.datasets.dataset import ImageDataset
from headstart.datasets.entries import ImageEntry, assembled, split_named
from headstart.errors import DataError, MissingExtraError
from headstart.types import Skipped, Split

TABLE_ENDINGS: Final = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".pq")
_IMAGE_NAMES: Final = frozenset(
    {"image", "images", "file", "files", "filename", "path", "filepath", "imagepath", "imagefile"}
    | {"imagename", "imagefilename", "img", "imgpath", "imgfile", "imgname", "photo", "picture"}
)
_LABEL_NAMES: Final = frozenset(
    {"label", "labels", "class", "classname", "classlabel", "category", "target", "species", "y"}
    | {"labelname", "categoryname"}
)
_SPLIT_NAMES: Final = frozenset({"split", "set", "subset"})
_JSON_LINES: Final = (".jsonl", ".ndjson")
_ABSENT: Final = "no such file"
_REMOTE: Final = re.compile(r"(?:[a-z][a-z0-9+.-]+://|data:)", re.IGNORECASE)

Row = tuple[str, dict[str, Any]]
"""Where a row stands, for messages ("line 7"), and its values by column."""


def is_table(path: Path) -> bool:
    """Whether the ending of a file's name is that of a table."""
    return path.suffix.lower() in TABLE_ENDINGS


def open_table(
    path: Path,
    *,
    name: str = "",
    image_column: str | None = None,
    label_column: str | None = None,
    within: Path | None = None,
    require_classes: int = 2,
) -> ImageDataset:
    """Read a table of image files and labels; no image is opened.

    Columns are found by their names, in any case and with any of " _-" in them. Paths are
    relative to the table's folder. A column `split`, `set` or `subset` is used if any of its
    values names a split.

    Args:
        path: the table.
        name: what to call the data set; the file's own name if empty.
        image_column: the column with the image files, if its name does not say so.
        label_column: the column with the labels, likewise.
        within: if given, files outside this folder are refused; for tables from strangers.
        require_classes: how many classes there must be.

    Raises:
        DataError: the table is damaged, its columns are unclear, or it has too few classes.
        MissingExtraError: it is Parquet, and the extra `tables` is not installed.
    """
    skipped: list[Skipped] = []
    rows = _rows(path, skipped)
    columns = list(dict.fromkeys(column for _, values in rows for column in values))
    if not rows:
        raise DataError(_no_rows(path, skipped))
    image = _column(path, columns, "image", _IMAGE_NAMES, image_column)
    label = _column(path, columns, "label", _LABEL_NAMES, label_column)
    if image == label:
        raise DataError(
            f"{path} cannot hold the images and the labels in one column ('{image}'); choose "
            "another with --image-column or --label-column"
        )
    split = _split_column(rows, [one for one in columns if one not in (image, label)])
    entries: dict[tuple[Path, str], ImageEntry] = {}
    for where, values in rows:
        named, kind = _text(values.get(image)), _text(values.get(label))
        part = None if split is None else _text(values.get(split))
        broken = any("\n" in cell for cell in (named, kind, part) if cell)
        try:
            if broken:  # and the rows from there on are one cell
                raise _Unusable("a line break in a cell; is a quotation mark left open there?")
            found = ImageEntry(
                _file(path.parent, named, within),
                _label(kind),
                None if split is None else _split(part),
            )
        except _Unusable as reason:
            # A row that names no file is found again by where it stands.
            file = named if named and not broken else f"{path}, {where}"
            skipped.append(Skipped(file, str(reason)))
            continue
        if (found.path, found.label) in entries:
            skipped.append(Skipped(str(found.path), f"listed twice ({path.name}, {where})"))
        else:
            entries[found.path, found.label] = found
    dataset = assembled(name or path.name, entries.values(), skipped)
    if len(dataset.classes) < require_classes:
        raise DataError(_too_few(dataset, path))
    return dataset


class _Unusable(Exception):  # noqa: N818 - the reason why a row is skipped, never an error
    pass


def _file(folder: Path, named: str | None, within: Path | None) -> Path:
    if named is None:
        raise _Unusable("no image file named")
    if _REMOTE.match(named):
        raise _Unusable("remote file: download it, and name the copy in the table")
    file = folder / named
    try:
        if "\\" in named and not file.exists():  # written on Windows
            file = folder / named.replace("\\", "/")
        if within is not None and not file.resolve().is_relative_to(within.resolve()):
            raise _Unusable("outside the archive")
        if not file.exists():
            raise _Unusable("broken link" if file.is_symlink() else _ABSENT)
        if not file.is_file():
            raise _Unusable("a folder" if file.is_dir() else "not a regular file")
    except (OSError, ValueError, RuntimeError) as error:  # too long, a zero byte, a link loop
        raise _Unusable(str(getattr(error, "strerror", None) or error).lower()) from error
    return file


def _label(text: str | None) -> str:
    if text is None:
        raise _Unusable("no label")
    return text


def _split(text: str | None) -> Split:
    found = None if text is None else split_named(text)
    if found is None:
        raise _Unusable("no split" if text is None else f"unknown split '{text}'")
    return found


def _text(value: object) -> str | None:
    """A cell as text; None for nothing, not-a-number, lists and the like."""
    if isinstance(value, float):
        # Columns of whole numbers with gaps arrive as floats.
        value = int(value) if value.is_integer() else value
        value = None if value != value else value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value).strip() or None if isinstance(value, str | int | float) else None


def _column(
    path: Path, columns: list[str], role: str, usual: frozenset[str], chosen: str | None
) -> str:
    """The column with the images or the labels: the chosen one, or the only one so named."""
    listed = ", ".join(f"'{column}'" for column in columns) or "none"
    option = f"--{role}-column"
    if chosen is not None:
        exact = [one for one in columns if one == chosen]
        alike = [one for one in columns if one.strip().casefold() == chosen.strip().casefold()]
        if len(exact or alike) != 1:
            raise DataError(f"{path} has no column '{chosen}' ({option}); its columns are {listed}")
        return (exact or alike)[0]
    found = [one for one in columns if re.sub(r"[\W_]+", "", one.casefold()) in usual]
    if len(found) != 1:
        which = "several columns that may" if found else "no column that is known to"
        raise DataError(
            f"{path} has {which} hold the {role}s; its columns are {listed}; "
            f"choose one with {option}"
        )
    return found[0]


def _split_column(rows: list[Row], columns: list[str]) -> str | None:
    """The column that names splits; "set" may mean anything else, so its values decide."""
    for column in columns:
        if column.strip().casefold() in _SPLIT_NAMES:
            texts = {_text(values.get(column)) for _, values in rows}
            if any(split_named(text) for text in texts if text is not None):
                return column
    return None


def _too_few(dataset: ImageDataset, path: Path) -> str:
    if dataset.classes:
        return (
            f"{path} names usable images of one class only ('{dataset.classes[0]}'); "
            "add images of at least one more"
        )
    first = dataset.skipped[0]
    hint = f"paths are relative to {path.parent}" if first.reason == _ABSENT else "mend the table"
    return (
        f"none of the {len(dataset.skipped)} images in {path} can be used ({first.path}: "
        f"{first.reason}); {hint}"
    )


def _no_rows(path: Path, skipped: list[Skipped]) -> str:
    if path.suffix.lower() in _JSON_LINES:
        wrong = f" ({skipped[0].path}: {skipped[0].reason})" if skipped else ""
        return f"{path} holds no rows{wrong}; write one JSON object a line, one for each image"
    return f"{path} holds no rows; write one per image, below a line of column names"


def _rows(path: Path, skipped: list[Skipped]) -> list[Row]:
    suffix = path.suffix.lower()
    if suffix in (".parquet", ".pq"):
        return _parquet_rows(path)
    text = _decoded(path)
    if suffix in _JSON_LINES:
        return list(_json_rows(path, text, skipped))
    return list(_csv_rows(path, text, "\t" if suffix == ".tsv" else _delimiter(text)))


def _decoded(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))  # Excel's "Unicode text"
    try:
        return data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8 text (byte {error.start}); save it as 'CSV UTF-8'"
        ) from error


def _delimiter(text: str) -> str:
    """Comma, semicolon (spreadsheets where the comma is in numbers) or tab, by the first line."""
    header = re.sub(r'"[^"]*"', "", text.split("\n", 1)[0])
    return max(",;\t", key=header.count)


def _csv_rows(path: Path, text: str, delimiter: str) -> Iterator[Row]:
    """The rows below the header.

    Raises:
        DataError: a cell is longer than Python's reader allows, as where a quotation mark that is
            left open makes one cell of all that follows.
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    header: list[str] | None = None
    while True:
        began = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise DataError(
                f"{path} cannot be read as a table: {error}, in the row that begins in line "
                f"{began}; mend that row"
            ) from error
        if cells is None:
            return
        if not any(cell.strip() for cell in cells):
            continue
        if header is None:
            header = [cell.strip() for cell in cells]
            continue
        # Short rows lack their last cells; what is beyond the header has no name to go by.
        padded = [*cells, *[""] * (len(header) - len(cells))]
        yield f"line {began}", dict(zip(header, padded, strict=False))


def _json_rows(path: Path, text: str, skipped: list[Skipped]) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"line {number}"
        try:
            values = json.loads(line)
        except (ValueError, RecursionError):
            values = None
        if isinstance(values, dict):
            yield where, values
        else:
            skipped.append(Skipped(f"{path}, {where}", "not a JSON object"))


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
