"""Why a table cannot be used, and what to do."""

import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

from headstart.datasets.dataset import ImageDataset
from headstart.datasets.tables.image_folder import NO_FILE, ImageFolder
from headstart.datasets.tables.table import Table
from headstart.system.text import count_reasons, pluralize

_NEARBY: Final = 200  # folders in which missing files are looked for
_PROBES: Final = 3  # missing files that are looked for


def no_rows(table: Table) -> str:
    """Return the message about a table without any row that can be read."""
    path = table.path
    first = next(iter(table.problems), None)
    why = "" if first is None else f" ({table.place(first)}: {table.problems[first]})"
    if path.suffix.lower() in (".json", ".jsonl", ".ndjson"):
        return f"{path} has no rows{why}; write one JSON object per line, one for each image"
    if why:
        return f"no row of {path} can be read{why}"
    return f"{path} has no rows; write a line of column names, then one row per image"


def too_few_classes(dataset: ImageDataset, table: Table, folder: ImageFolder) -> str:
    """Return the message about a table that leaves one class or none, and why.

    Args:
        dataset: What is left.
        table: The table.
        folder: Where its files were looked for.
    """
    path, skipped = table.path, dataset.skipped
    lost = count_reasons(one.reason for one in skipped)
    missing = [one.path for one in skipped if one.reason == NO_FILE]
    such = next(iter(missing or (one.path for one in skipped)), "")
    hint = _missing_hint(folder, missing) if missing else "fix the table"
    if not dataset.classes:
        problem = f"none of the {len(skipped):,} rows of {path} can be used"
        return f"{problem}: {lost}, such as {such}; {hint}"
    problem = f"{path} lists usable images of only one class ('{dataset.classes[0]}')"
    if not skipped:
        return f"{problem}; add images of at least one other class"
    rows = pluralize(len(skipped), "row was", "rows were")
    return f"{problem}; {rows} skipped: {lost}, such as {such}; {hint}"


def _missing_hint(folder: ImageFolder, missing: Sequence[str]) -> str:
    """Say where files are looked for, and where they are if that is near."""
    if folder.within is None:
        for near in islice(_nearby(folder.root), _NEARBY):
            there = ImageFolder(root=near, suffix=folder.suffix)
            if all(there.has(name) for name in missing[:_PROBES]):
                return f"they are in {near}: add --image-folder {near}"
    root = folder.root.absolute()
    return f"file names are relative to {root}; --image-folder chooses another folder"


def _nearby(root: Path) -> Iterator[Path]:
    """Yield the current folder, the ones in and beside a folder, and the ones in these."""
    yield from (Path(), root.parent)
    for top in (root, root.absolute().parent):
        for parent, folders, _ in os.walk(top):
            depth = len(Path(parent).relative_to(top).parts)
            folders[:] = sorted(one for one in folders if not one.startswith(".")) * (depth < 2)
            if depth:
                yield Path(parent)
