"""Open any set of labeled images: a folder, a table, an archive, or a named data set."""

import difflib
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from headstart.datasets.archives import open_archive
from headstart.datasets.class_names import similar_names_text
from headstart.datasets.dataset import ImageDataset
from headstart.datasets.folders import open_folder
from headstart.datasets.grouping import GroupBy, GroupKind
from headstart.datasets.named import list_datasets, open_named
from headstart.datasets.tables import (
    TABLE_ENDINGS,
    TableOptions,
    may_be_table,
    open_table,
    unsupported,
)
from headstart.datasets.unpacking import ARCHIVE_ENDINGS, is_archive
from headstart.errors import DataError, UserError
from headstart.images.formats import looks_like_image
from headstart.images.source import is_url
from headstart.system.cache_folder import cache_root, expand_home
from headstart.system.download import ByteProgress
from headstart.types import ClassLevel


def open_dataset(
    source: str | os.PathLike[str],
    *,
    cache: Path | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
    image_folder: str | Path | None = None,
    image_suffix: str | None = None,
    classes_from: ClassLevel = ClassLevel.PATH,
    group_by: GroupBy | None = None,
    progress: ByteProgress | None = None,
    require_classes: int = 2,
) -> ImageDataset:
    """Open a set of labeled images without decoding any of them.

    Args:
        source: a folder with one subfolder of images per class; a table (CSV, TSV, JSON Lines,
            Parquet); an archive of either; or the name of a known data set. A path that exists
            takes precedence over a name.
        cache: folder for unpacked archives and downloads; defaults to the platform's cache folder.
        image_column: the table's column of image files; by default found by its name.
        label_column: the table's column of labels; by default found by its name.
        image_folder: the folder that the table's file names are relative to; by default its own.
        image_suffix: what to add to the table's names to get file names, such as ".jpg".
        classes_from: what names the class of an image: the path of its folder, or part of it, or
            the word before the number in its own name.
        group_by: what tells which images belong together; by default no groups are given.
        progress: called during a download with the bytes received so far and in total.
        require_classes: the smallest number of classes to accept.

    Returns:
        The files with their labels, sorted by class and path; it shows itself in a notebook.

    Raises:
        DataError: the source does not exist, cannot be read, or has too few classes.
        DownloadError: a known data set cannot be downloaded.
        MissingExtraError: an optional package is needed.
        StoreError: the cache cannot be written.
        UserError: the source is not a path.

    Example:
        >>> import headstart
        >>> headstart.open_dataset("photos/")
        <ImageDataset photos: 48 images, 2 classes>
    """
    table_options = TableOptions(
        image_column=image_column,
        label_column=label_column,
        group_column=group_by.value if group_by and group_by.kind is GroupKind.COLUMN else None,
        image_folder=None if image_folder is None else Path(image_folder).expanduser(),
        image_suffix=image_suffix,
    )
    found = _open(
        source,
        cache=cache_root(cache),
        level=classes_from,
        table_options=table_options,
        progress=progress,
        require_classes=require_classes,
    ).with_class_level(classes_from)
    if similar := similar_names_text(found.classes):
        found = replace(found, warnings=(*found.warnings, similar))
    return group_by.apply(found) if group_by else found


def _open(
    source: str | os.PathLike[str],
    *,
    cache: Path,
    level: ClassLevel,
    table_options: TableOptions,
    progress: ByteProgress | None,
    require_classes: int,
) -> ImageDataset:
    if not isinstance(source, str | os.PathLike):
        raise UserError(
            "a data set is given by a path or a name, not by a value of type "
            f"{type(source).__name__}; give a folder, a table, an archive or the name of a known "
            "data set"
        )
    source = os.fspath(source)
    path = expand_home(Path(source))
    try:
        exists = source.strip() != "" and path.exists()
    except OSError as error:
        raise DataError(f"cannot read {source}: {error.strerror or error}") from error
    known = {one.name: one for one in list_datasets()}
    if not exists and source not in known:
        raise DataError(_unknown_source(source, list(known)))
    if not exists and table_options.given:
        raise DataError(
            "--image-column, --label-column, --image-folder, --image-suffix and --group-by "
            f"column:NAME apply to tables, and {source} is not a table"
        )
    if level is ClassLevel.NAME and (not exists or may_be_table(path)):
        raise DataError(
            f"--classes-from name takes the classes from the names of files in a folder, and "
            f"{source} has its own classes; leave it out"
        )
    if not exists:
        return open_named(
            known[source], cache=cache, progress=progress, require_classes=require_classes
        )
    if path.is_dir():
        return open_folder(
            path,
            level=level,
            table_options=table_options,
            cache=cache,
            require_classes=require_classes,
        )
    if is_archive(path):
        return open_archive(
            path,
            cache=cache,
            level=level,
            table_options=table_options,
            require_classes=require_classes,
        )
    if may_be_table(path):
        return open_table(path, table_options, cache=cache, require_classes=require_classes)
    if looks_like_image(path):
        raise DataError(f"{path} is a single image; give a folder with one subfolder per class")
    if what := unsupported(path):
        raise DataError(f"{path} is a table in a format that is not supported; {what}")
    endings = ", ".join((*TABLE_ENDINGS, *ARCHIVE_ENDINGS))
    raise DataError(
        f"{path} is not a folder, a table or an archive (supported file types: {endings})"
    )


def _unknown_source(source: str, names: list[str]) -> str:
    if is_url(source):
        return f"'{source}' is a URL, which headstart does not open; download it and give its path"
    folder = expand_home(Path(source)).parent
    here = ""
    near: list[str] = []
    with suppress(OSError):  # no such folder, or no permission to list it
        here = "" if folder.is_absolute() else f" (looked in {Path.cwd()})"
        near = [path.name for path in folder.iterdir()]
    is_path = len(Path(source).parts) > 1  # known data sets have no folder
    known = {name.casefold(): name for name in (near if is_path else [*names, *near])}
    similar = difflib.get_close_matches(Path(source).name.casefold(), known, n=1)
    meant = f"did you mean '{Path(source).with_name(known[similar[0]])}'? " if similar else ""
    if is_path:
        return f"there is no file or folder '{source}'{here}; {meant.rstrip() or 'check the path'}"
    return (
        f"there is no file, folder or known data set '{source}'{here}; "
        f"{meant}known data sets: {', '.join(names)}"
    )
