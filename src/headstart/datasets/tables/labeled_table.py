"""Labeled images from a table with one row per image."""

import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Final

from headstart.datasets.dataset import ImageDataset, ImageEntry, build_dataset
from headstart.datasets.tables.columns import Columns, find_columns
from headstart.datasets.tables.embedded_images import unpack_images
from headstart.datasets.tables.image_folder import NO_FILE, ImageFolder, UnusableRowError
from headstart.datasets.tables.label_column import LabelColumn
from headstart.datasets.tables.labels import cell_text
from headstart.datasets.tables.table import Table
from headstart.datasets.tables.table_file import read_table
from headstart.datasets.tables.table_options import TableOptions
from headstart.errors import DataError
from headstart.system.cache_folder import cache_root
from headstart.system.text import count_reasons, pluralize
from headstart.types import Skipped, Split

_DEFAULT: Final = TableOptions()
_LINE_BREAK: Final = "line break in a cell; check for an unclosed quotation mark"
_NEARBY: Final = 200  # folders in which missing files are looked for
_PROBES: Final = 3  # missing files that are looked for


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
        raise DataError(_no_rows(table))
    columns = find_columns(table, options, folder)
    table = _without_line_breaks(table, columns)
    folder.completed.clear()  # of cells that were only tried
    folder.moved.clear()
    labels = LabelColumn.of(table, columns)
    if columns.image in table.embedded:
        files, names = unpack_images(path, columns.image, cache_root(cache))
    else:
        files = [None] * len(table)
        names = [_image_name(cell) for cell in table.values(columns.image)]
    groups = None if columns.group is None else table.values(columns.group)
    entries: dict[tuple[Path, str, Split | None], ImageEntry] = {}
    skipped, missing = [], []
    for row, where in enumerate(table.rows):
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
            if str(reason) == NO_FILE:
                missing.append(named)
            # A row without a file name is identified by its position.
            shown = table.place(row) if row in table.problems or not named.strip() else named
            skipped.append(Skipped(shown, str(reason)))
            continue
        key = (entry.path, entry.label, entry.split)
        if key in entries:
            skipped.append(Skipped(str(entry.path), f"listed twice ({path.name}, {where})"))
        else:
            entries[key] = entry
    dataset = build_dataset(name or path.name, entries.values(), skipped)
    if len(dataset.classes) < require_classes:
        raise DataError(_too_few_classes(dataset, table, folder, missing))
    warnings = (*columns.warnings, *labels.warnings, *folder.warnings())
    return replace(dataset, warnings=warnings)


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


def _no_rows(table: Table) -> str:
    path = table.path
    if path.suffix.lower() in (".json", ".jsonl", ".ndjson"):
        first = next(iter(table.problems), None)
        why = "" if first is None else f" ({table.place(first)}: {table.problems[first]})"
        return f"{path} has no rows{why}; write one JSON object per line, one for each image"
    if table.problems:
        first = min(table.problems)
        return f"no row of {path} can be read ({table.rows[first]}: {table.problems[first]})"
    return f"{path} has no rows; write a line of column names, then one row per image"


def _too_few_classes(
    dataset: ImageDataset, table: Table, folder: ImageFolder, missing: Sequence[str]
) -> str:
    """Say which class is left, why rows were skipped, and what to do."""
    path, skipped = table.path, dataset.skipped
    # "listed twice (t.csv, line 4)" is one reason, wherever it is.
    lost = count_reasons(one.reason.partition(" (")[0] for one in skipped)
    such = next((one.path for one in skipped if not missing or one.reason == NO_FILE), "")
    hint = _missing_hint(path, folder, missing) if missing else "fix the table"
    if not dataset.classes:
        return f"none of the {len(skipped):,} rows of {path} can be used: {lost}, such as {such}; {hint}"
    problem = f"{path} lists usable images of only one class ('{dataset.classes[0]}')"
    if not skipped:
        return f"{problem}; add images of at least one other class"
    rows = pluralize(len(skipped), "row was", "rows were")
    return f"{problem}; {rows} skipped: {lost}, such as {such}; {hint}"


def _missing_hint(path: Path, folder: ImageFolder, missing: Sequence[str]) -> str:
    """Say where files are looked for, and where they are if that is near."""
    hint = f"file names are relative to {folder.root}; --image-folder chooses another folder"
    if folder.within is not None:
        return hint
    for near in islice(_nearby(folder.root), _NEARBY):
        there = ImageFolder(root=near, suffix=folder.suffix)
        if all(there.has(name) for name in missing[:_PROBES]):
            return f"they are in {near}: {shlex.join([str(path), '--image-folder', str(near)])}"
    return hint


def _nearby(root: Path) -> Iterator[Path]:
    """Yield the current folder, the ones in and beside a folder, and the ones in these."""
    yield Path()
    yield root.parent
    for top in (root, root.absolute().parent):
        for parent, folders, _ in os.walk(top):
            depth = len(Path(parent).relative_to(top).parts)
            folders[:] = sorted(one for one in folders if not one.startswith("."))
            if depth:
                yield Path(parent)
            if depth >= 2:
                folders.clear()
