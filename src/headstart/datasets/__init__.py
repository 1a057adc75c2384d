"""Labeled images, wherever they come from: folders, tables, archives, known data sets."""

from __future__ import annotations

import difflib
from pathlib import Path

from headstart.datasets.archives import ARCHIVE_ENDINGS, is_archive, open_archive
from headstart.datasets.dataset import ImageDataset
from headstart.datasets.folders import open_folder
from headstart.datasets.named import NamedDataset, list_datasets, open_named
from headstart.datasets.tables import TABLE_ENDINGS, is_table, open_table
from headstart.errors import DataError
from headstart.images.decode import looks_like_image
from headstart.system.cache_folder import cache_root
from headstart.system.download import ByteProgress

__all__ = ["ImageDataset", "NamedDataset", "list_datasets", "open_dataset"]


def open_dataset(
    source: str | Path,
    *,
    cache: Path | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
    progress: ByteProgress | None = None,
    require_classes: int = 2,
) -> ImageDataset:
    """Open labeled images; none of them is decoded yet.

    Args:
        source: a folder with a folder of images per class; a table (CSV, TSV, JSON lines,
            Parquet); an archive of either; or the name of a known data set. What exists on disk
            comes before a name.
        cache: where archives are unpacked and downloads kept; the platform's cache folder by
            default.
        image_column: the table's column of image files, if its name does not say so.
        label_column: the table's column of labels, likewise.
        progress: told of a download's progress: bytes so far, bytes in all.
        require_classes: how many classes there must be.

    Raises:
        DataError: there is no such source, or it has too few classes.
        DownloadError: a known data set cannot be downloaded.
        MissingExtraError: an optional package is needed.
        StoreError: the cache cannot be written.
    """
    cache = cache_root(cache)
    path = Path(source).expanduser()
    try:
        exists = str(source).strip() != "" and path.exists()
    except OSError as error:
        raise DataError(f"cannot read {source}: {error.strerror or error}") from error
    if not exists:
        known = {one.name: one for one in list_datasets()}
        if str(source) not in known:
            raise DataError(_unknown(str(source), list(known)))
        _no_columns(source, image_column, label_column)
        return open_named(
            known[str(source)], cache=cache, progress=progress, require_classes=require_classes
        )
    if path.is_dir():
        _no_columns(source, image_column, label_column)
        return open_folder(path, require_classes=require_classes)
    if is_archive(path):
        return open_archive(
            path,
            cache=cache,
            image_column=image_column,
            label_column=label_column,
            require_classes=require_classes,
        )
    if is_table(path):
        return open_table(
            path,
            image_column=image_column,
            label_column=label_column,
            require_classes=require_classes,
        )
    if looks_like_image(path):
        raise DataError(
            f"{path} is a single image; give a folder with a folder of images per class"
        )
    endings = ", ".join((*TABLE_ENDINGS, *ARCHIVE_ENDINGS))
    raise DataError(f"{path} is neither a folder nor a table or archive (known endings: {endings})")


def _no_columns(source: str | Path, *columns: str | None) -> None:
    if any(column is not None for column in columns):
        raise DataError(f"--image-column and --label-column are for tables, and {source} is none")


def _unknown(source: str, names: list[str]) -> str:
    alike = difflib.get_close_matches(source.lower(), names, n=1)
    guess = f"did you mean '{alike[0]}'? " if alike else ""
    return (
        f"no such file or folder, and no data set of that name: '{source}'; "
        f"{guess}known data sets: {', '.join(names)}"
    )
