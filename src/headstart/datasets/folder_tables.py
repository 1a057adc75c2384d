"""Tables beside folders of images that have no class folders.

A `metadata.csv`, `metadata.jsonl` or `metadata.parquet` among the images is read, and so are
Parquet files that contain the images, such as `data/train-00000-of-00002.parquet`: both are forms
of the Hugging Face Hub. For another table, the command that reads it is found by trying.
"""

import re
import shlex
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Final

from headstart.datasets.dataset import ImageDataset, ImageEntry, build_dataset, parse_split
from headstart.datasets.folder_layout import FolderLayout, is_container
from headstart.datasets.image_tree import ImageTree
from headstart.datasets.tables import TableOptions, are_predictions, is_table, open_table
from headstart.errors import DataError, MissingExtraError
from headstart.system.files import head_of
from headstart.system.text import count_reasons, join_names, pluralize
from headstart.types import Skipped, Split

_METADATA: Final = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
_PARQUET: Final = (".parquet", ".pq")
_LARGEST: Final = 50_000_000  # bytes of a table that is opened to see what it is
_TRIED: Final = 3  # folders of images that a table is tried with, beside the splits
_LOOKED_UP: Final = 1000  # images of a table whose folder is compared
_USABLE: Final = 0.5  # share of a table's rows that must be usable


def open_metadata(
    tree: ImageTree,
    layout: FolderLayout,
    options: TableOptions,
    *,
    name: str,
    within: Path | None,
    cache: Path | None,
    require_classes: int,
) -> ImageDataset | None:
    """Read the metadata tables among the images of a folder, or the tables with the images inside.

    Returns None if there are none; a split without one is reported.

    Raises:
        DataError: a table cannot be read, or they have too few classes together.
    """
    tables = _metadata(tree, layout) if tree.image_folders() else _parquet(tree)
    if not tables:
        return None
    entries: list[ImageEntry] = []
    skipped: list[Skipped] = [*tree.skipped]
    warnings: list[str] = []
    splits = {tree.folders[parts].path: split for parts, split in layout.splits.items()}
    for table, of_table in tables.items():
        part = open_table(table, options, within=within, cache=cache, require_classes=0)
        for row, (path, label) in enumerate(zip(part.paths, part.labels, strict=True)):
            split = of_table or splits.get(path.parent)
            split = split or (part.splits[row] if part.splits else None)
            group = part.groups[row] if part.groups else ""
            entries.append(ImageEntry(path, part.classes[label], split, group))
        skipped += part.skipped
        warnings += part.warnings
    used = {entry.split for entry in entries}
    for parts, split in layout.splits.items():
        if split not in used and parts in layout.unused:
            skipped.append(Skipped(str(tree.folders[parts].path), layout.unused[parts]))
    if None in used and len(used) > 1:
        entries = [replace(one, split=one.split or Split.TRAIN) for one in entries]
    found_set = build_dataset(name, entries, skipped)
    if len(found_set.classes) < require_classes:
        reasons = f" ({count_reasons(one.reason for one in skipped)})" if skipped else ""
        raise DataError(
            f"{join_names([str(one) for one in tables], 3)} gives usable images of "
            f"{pluralize(len(found_set.classes), 'class', 'classes')}{reasons}; give a table with "
            "images of at least two"
        )
    return replace(found_set, warnings=tuple(dict.fromkeys(warnings)))


def _metadata(tree: ImageTree, layout: FolderLayout) -> dict[Path, Split | None]:
    """Return the metadata tables beside the images or above their splits."""
    found = {}
    for parts in dict.fromkeys([layout.base, *layout.splits]):
        listed = {path.name.lower(): path for path in tree.folders[parts].others}
        if table := next((listed[name] for name in _METADATA if name in listed), None):
            found[table] = layout.splits.get(parts)
    return found


def _parquet(tree: ImageTree) -> dict[Path, Split | None]:
    """Return the Parquet files of a folder, with the split that begins their names."""
    files = [path for folder in tree.folders.values() for path in folder.others]
    return {
        path: parse_split(re.split(r"[-.]", path.name)[0]) or parse_split(path.parent.name)
        for path in files
        if path.suffix.lower() in _PARQUET
    }


def table_command(tree: ImageTree, layout: FolderLayout) -> str | None:
    """Return the command that trains on a table beside the images; None without a table."""
    folders = _flat_folders(tree, layout)
    tables = [*_tables(tree, layout)] if folders else []
    suffixes = [_usual_suffix(images) for _, images in folders]
    # First without a suffix, which is only for names without endings.
    tried = dict.fromkeys(
        TableOptions(image_folder=place, image_suffix=ending)
        for (folder, _), suffix in zip(folders, suffixes, strict=True)
        for place, ending in product((None, folder), (None, suffix))
    )
    for table, options in product(tables, tried):
        if _fits(table, options, tree.root):
            return _command(table, options)
    # What is beside the folder may be about anything.
    near = [table for table in tables if table.is_relative_to(tree.root)]
    if not near:
        return None
    options = TableOptions(image_folder=folders[0][0], image_suffix=suffixes[0])
    return _command(near[0], options)


def _usual_suffix(images: Iterable[Path]) -> str | None:
    return Counter(path.suffix for path in images).most_common(1)[0][0] or None


def _tables(tree: ImageTree, layout: FolderLayout) -> Iterator[Path]:
    """Yield the tables beside the images or above them, those of training labels first."""
    places = [tree.folders[layout.base], *(tree.folders[parts] for parts in layout.splits)]
    listed = [path for folder in places for path in folder.others]
    if not layout.splits and not layout.base:
        listed += sorted(tree.root.resolve().parent.glob("*"))
    tables = [one for one in dict.fromkeys(listed) if is_table(one)]
    words = ("train", "label", "meta")

    def is_about_training(path: Path) -> bool:
        return any(word in path.name.lower() for word in words)

    for path in sorted(tables, key=lambda one: not is_about_training(one)):
        answers = any(word in path.name.lower() for word in ("submission", "test"))
        if not answers and _is_small_file(path) and not _has_predictions(path):
            yield path


def _has_predictions(path: Path) -> bool:
    header, _, _ = head_of(path).partition(b"\n")
    return are_predictions(header.decode(errors="replace").strip().split(","))


def _is_small_file(path: Path) -> bool:
    try:
        found = path.stat()
    except OSError:  # without permission, or a broken link
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size <= _LARGEST


def _flat_folders(tree: ImageTree, layout: FolderLayout) -> list[tuple[Path, tuple[Path, ...]]]:
    """Return the folders whose images a table may name, the training part first.

    These are the splits, the folders whose names only say that they have images or, without any,
    a lone class, and the folder that contains all of them.
    """
    parts = sorted(layout.splits, key=lambda one: layout.splits[one] is not Split.TRAIN)
    containers = [one for one, (label, _) in layout.classes.items() if is_container(label)]
    lone = [*layout.classes] if len(layout.classes) == 1 else []
    parts += [*(containers[:_TRIED] or lone), layout.base]
    folders = [tree.folders[one] for one in parts]
    return [(one.path, one.images) for one in folders if one.images]


def _fits(table: Path, options: TableOptions, root: Path) -> bool:
    """Whether most rows of a table have an image in a folder, and no ending had to be guessed."""
    try:
        # Not two: a message about too few looks for missing files in the folders nearby.
        found = open_table(table, options, require_classes=0)
    except (DataError, MissingExtraError):
        return False
    guessed = any("--image-suffix" in text for text in found.warnings)
    usable = len(found) >= _USABLE * (len(found) + len(found.skipped))
    some = found.paths[:: 1 + len(found) // _LOOKED_UP]
    inside = [path for path in some if path.resolve().is_relative_to(root.resolve())]
    usable = usable and len(inside) >= _USABLE * len(some)
    return usable and not guessed and len(found.classes) > 1


def _command(table: Path, options: TableOptions) -> str:
    words = ["headstart", "fit", str(table)]
    if options.image_folder is not None:
        words += ["--image-folder", str(options.image_folder)]
    if options.image_suffix is not None:
        words += ["--image-suffix", options.image_suffix]
    return f"{shlex.join(words)} --out MODEL"
