"""Labeled images from a table with one row per image."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from headstart.datasets.dataset import ImageDataset, ImageEntry, build_dataset
from headstart.datasets.tables.columns import Columns, find_columns
from headstart.datasets.tables.embedded_images import unpack_images
from headstart.datasets.tables.image_folder import ImageFolder, UnusableRowError
from headstart.datasets.tables.label_column import LabelColumn
from headstart.datasets.tables.labels import cell_text
from headstart.datasets.tables.table import Table
from headstart.datasets.tables.table_file import read_table
from headstart.datasets.tables.table_options import NO_OPTIONS, TableOptions
from headstart.datasets.tables.unusable_table import no_rows, too_few_classes
from headstart.errors import DataError
from headstart.system.cache_folder import cache_root
from headstart.types import Skipped, Split

_LINE_BREAK: Final = "line break in a cell; check for an unclosed quotation mark"
_SHOWN: Final = 500  # characters of a name that are shown


def open_table(
    path: Path,
    options: TableOptions = NO_OPTIONS,
    *,
    name: str = "",
    within: Path | None = None,
    cache: Path | None = None,
    require_classes: int = 2,
) -> ImageDataset:
    """Read a table of image files and labels without opening the images.

    `find_columns` and `find_splits` say which columns are used, `ImageFolder.find` which file a
    cell names. Images inside a Parquet table are written to the cache.

    Args:
        path: The table; its ending tells its format.
        options: What is known about the table.
        name: The name of the data set; by default the file's.
        within: The folder that no file may be outside of, for tables from untrusted sources; a
            given image folder is then relative to the table.
        cache: The cache folder; by default the platform's.
        require_classes: The smallest number of classes to accept.

    Raises:
        DataError: The table is damaged, its columns are ambiguous, its rows have several labels, or
            it has too few classes.
        MissingExtraError: The table is Parquet, and the extra `tables` is not installed.
        StoreError: The cache cannot be written.
    """
    folder = _image_folder(path, options, within)
    table = read_table(path, folder.has)
    if len(table) == len(table.problems):
        raise DataError(no_rows(table))
    columns = find_columns(table, options, folder)
    table = _without_line_breaks(table, columns)
    folder.forget()  # cells that were only tried
    labels = LabelColumn.of(table, columns)
    entries, skipped = _entries(table, columns, labels, folder, cache)
    dataset = build_dataset(name or path.name, entries, skipped)
    if len(dataset.classes) < require_classes:
        raise DataError(too_few_classes(dataset, table, folder))
    warnings = (*columns.warnings, *labels.warnings, *folder.warnings())
    return replace(dataset, warnings=warnings)


def _entries(
    table: Table, columns: Columns, labels: LabelColumn, folder: ImageFolder, cache: Path | None
) -> tuple[list[ImageEntry], list[Skipped]]:
    """Return the images of a table, each once, and the rows that cannot be used."""
    if columns.image in table.embedded:
        files, names = unpack_images(table.path, columns.image, cache_root(cache))
    else:
        files = [None] * len(table)
        names = [_image_name(cell) for cell in table.values(columns.image)]
    groups = None if columns.group is None else table.values(columns.group)
    entries: dict[tuple[Path, str, Split | None], ImageEntry] = {}
    skipped = []
    for row in range(len(table)):
        named = names[row]
        try:
            if row in table.problems:
                raise UnusableRowError(table.problems[row])
            entry = ImageEntry(
                files[row] or _find(folder, named),
                labels.of_row(row),
                columns.splits.of(row),
                "" if groups is None else cell_text(groups[row]) or "",
            )
        except UnusableRowError as reason:
            # A row without a file name is identified by its position.
            shown = table.place(row) if row in table.problems or not named.strip() else named
            shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."
            skipped.append(Skipped(shown, str(reason)))
            continue
        key = (entry.path, entry.label, entry.split)
        if key in entries:
            skipped.append(Skipped(str(entry.path), f"listed twice in {table.path.name}"))
        else:
            entries[key] = entry
    return [*entries.values()], skipped


def _without_line_breaks(table: Table, columns: Columns) -> Table:
    """Mark the rows with a line break in a cell that is used: the next rows are in it as well."""
    used = {columns.image, columns.label, *columns.marks, *columns.splits.columns}
    broken = {
        row: _LINE_BREAK
        for column in used - {"", *table.embedded}
        for row, cell in enumerate(table.values(column))
        if isinstance(cell, str) and ("\n" in cell or "\r" in cell)
    }
    return replace(table, problems=broken | dict(table.problems)) if broken else table


def _image_folder(path: Path, options: TableOptions, within: Path | None) -> ImageFolder:
    root = path.parent
    if options.image_folder is not None:
        root = root / options.image_folder if within else options.image_folder
        if not root.is_dir():
            raise DataError(f"--image-folder {root} is not a folder")
    return ImageFolder(root=root, suffix=options.image_suffix, within=within)


def _image_name(cell: Any) -> str:
    """Return the name of a file as it stands, with blanks; "" if there is none."""
    if isinstance(cell, list) and len(cell) == 1:
        (cell,) = cell
    if isinstance(cell, dict) and not cell.get("bytes"):  # as the library `datasets` writes it
        cell = cell.get("path")
    return cell if isinstance(cell, str) else cell_text(cell) or ""


def _find(folder: ImageFolder, named: str) -> Path:
    if not named.strip():
        raise UnusableRowError("no image file")
    return folder.find(named)
