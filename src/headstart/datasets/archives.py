"""Archives of images, unpacked once into the cache."""

from dataclasses import replace
from pathlib import Path
from typing import Final

from headstart.datasets.dataset import ImageDataset, parse_split
from headstart.datasets.folders import open_folder
from headstart.datasets.tables import NO_OPTIONS, TableOptions, is_table, open_table
from headstart.datasets.unpacked_archive import UnpackedArchive
from headstart.datasets.unpacking import check_supported, unpack
from headstart.errors import DataError
from headstart.features.path_index import cached_digest
from headstart.system.cache_folder import atomic_folder, cache_errors, cache_folder
from headstart.system.text import count_reasons
from headstart.types import ClassLevel, Skipped

_VERSION: Final = 4
"""Changes when archives are unpacked differently, because the cache keeps what was unpacked."""


def open_archive(
    path: Path,
    *,
    cache: Path,
    level: ClassLevel = ClassLevel.PATH,
    table_options: TableOptions = NO_OPTIONS,
    require_classes: int = 2,
) -> ImageDataset:
    """Unpack an archive, unless the cache already has it, and read its contents as a folder.

    If there are fewer than two class folders but exactly one table, the table is read as
    `open_table` does.

    Raises:
        DataError: the archive is encrypted, truncated, damaged, not an archive, exceeds the limits,
            or has too few classes.
        StoreError: the cache cannot be written.
    """
    files, refused = unpacked_archive(path, cache=cache)
    top, tables = _content_root(files)
    found: ImageDataset | DataError
    try:
        found = open_folder(
            top,
            name=path.name,
            level=level,
            table_options=NO_OPTIONS if tables else table_options,
            within=files,
            cache=cache,
            require_classes=1 if tables else require_classes,
        )
    except DataError as error:
        found = error
    if len(tables) == 1 and (isinstance(found, DataError) or len(found.classes) < 2):
        try:
            found = open_table(
                tables[0],
                table_options,
                name=path.name,
                cache=cache,
                within=files,
                require_classes=require_classes,
            )
        except DataError as error:
            if not isinstance(found, DataError):
                raise
            found = DataError(f"{found}; {error}")
    if not isinstance(found, DataError):
        if len(found.classes) >= require_classes:
            return replace(found, skipped=(*found.skipped, *refused))
        found = DataError(f"it has images of only one class ('{found.classes[0]}')")
    # In terms of the archive: what is in the cache is not for the user to mend.
    why = str(found).replace(str(top), path.name)
    lost = f"; not unpacked: {count_reasons(one.reason for one in refused)}" if refused else ""
    where = f"; its other files are in {top}" if any(top.iterdir()) else ""
    raise DataError(
        f"{path} contains neither one folder of images per class nor a single table: {why}{lost}"
        f"{where}"
    )


def unpacked_archive(path: Path, *, cache: Path) -> tuple[Path, tuple[Skipped, ...]]:
    """Return the folder of an archive's files, and what was not unpacked with the reasons.

    The file is a zip file, or a tar file in any of the usual compressions. It is unpacked to
    "archives" in the cache, into a folder named by the digest of its bytes, unless it is there.

    Raises:
        DataError: as `open_archive`.
        StoreError: the cache cannot be written.
    """
    check_supported(path)
    digest = cached_digest(path, cache)
    with cache_errors(cache / "archives"):
        unpacked = UnpackedArchive(cache_folder(cache, "archives") / f"{_VERSION}-{digest}")
    refused = unpacked.refused()
    if refused is None:
        unpacked.remove()
        with atomic_folder(unpacked.folder) as work:
            with cache_errors(unpacked.folder):
                (work / "files").mkdir()
            refused = unpack(path, work / "files")
            UnpackedArchive(work).record(refused)
    # The cache identifies an archive by its bytes; its name may have changed since.
    named = tuple(Skipped(f"{path.name}/{one.path}", one.reason) for one in refused)
    return unpacked.files, named


def _content_root(files: Path) -> tuple[Path, list[Path]]:
    """Return the folder that contains the class folders, and the tables next to them."""
    while True:
        inner = [one for one in sorted(files.iterdir()) if not one.name.startswith(".")]
        tables = [one for one in inner if one.is_file() and is_table(one)]
        folders = [one for one in inner if one.is_dir()]
        if tables or len(folders) != 1 or parse_split(folders[0].name):
            return files, tables
        # A folder with neither subfolders nor a table is a class, not a wrapper.
        if not any(one.is_dir() or is_table(one) for one in folders[0].iterdir()):
            return files, tables
        files = folders[0]
