"""Archives of images, unpacked once into the cache."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

from headstart.datasets.dataset import ImageDataset, parse_split
from headstart.datasets.folders import open_folder
from headstart.datasets.tables import TableOptions, is_table, open_table
from headstart.datasets.unpacking import unpack
from headstart.errors import DataError
from headstart.features.path_index import cached_digest
from headstart.system.cache_folder import atomic_folder, cache_errors, cache_folder
from headstart.types import Skipped

ARCHIVE_ENDINGS: Final = (
    *(".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tbz", ".tar.xz", ".txz"),
)


def is_archive(path: Path) -> bool:
    """Whether a file has the extension of an archive."""
    return path.name.lower().endswith(ARCHIVE_ENDINGS)


def open_archive(
    path: Path,
    *,
    cache: Path,
    table_options: TableOptions | None = None,
    require_classes: int = 2,
) -> ImageDataset:
    """Unpack an archive, unless the cache already has it, and read its contents.

    A single folder that wraps everything is entered. If there are fewer than two class folders but
    exactly one table, the table is read as `open_table` does.

    The file is a zip file, or a tar file in any of the usual compressions. It is unpacked to
    "archives" in the cache, into a folder named by the digest of its bytes.

    Raises:
        DataError: the archive is encrypted, truncated, damaged, not an archive, exceeds the limits,
            or has too few classes.
        StoreError: the cache cannot be written.
    """
    digest = cached_digest(path, cache)
    with cache_errors(cache / "archives"):
        unpacked = cache_folder(cache, "archives") / digest
    if not unpacked.is_dir():
        with atomic_folder(unpacked) as work:
            with cache_errors(unpacked):
                (work / "files").mkdir()
            refused = unpack(path, work / "files")
            with cache_errors(unpacked):
                (work / "refused.json").write_text(
                    json.dumps([asdict(one) for one in refused]), encoding="utf-8"
                )
    notes = json.loads((unpacked / "refused.json").read_text(encoding="utf-8"))
    top, tables = _content_root(unpacked / "files")
    found: ImageDataset | DataError
    try:
        found = open_folder(top, name=path.name, require_classes=1 if tables else require_classes)
    except DataError as error:
        found = error
    if len(tables) == 1 and (isinstance(found, DataError) or len(found.classes) < 2):
        found = open_table(
            tables[0],
            table_options or TableOptions(),
            name=path.name,
            cache=cache,
            within=unpacked / "files",
            require_classes=require_classes,
        )
    if isinstance(found, DataError) or len(found.classes) < require_classes:
        raise DataError(
            f"{path} contains neither one folder of images per class nor a single table; "
            f"see the unpacked files in {top}"
        )
    # The cache identifies an archive by its bytes; its name may have changed since.
    named = (Skipped(f"{path.name}/{one['path']}", one["reason"]) for one in notes)
    return replace(found, skipped=(*found.skipped, *named))


def _content_root(files: Path) -> tuple[Path, list[Path]]:
    """Return the folder that contains the class folders, and the tables next to them."""
    while True:
        inner = sorted(files.iterdir())
        tables = [one for one in inner if one.is_file() and is_table(one)]
        folders = [one for one in inner if one.is_dir()]
        if tables or len(folders) != 1 or parse_split(folders[0].name):
            return files, tables
        # A folder with neither subfolders nor a table is a class, not a wrapper.
        if not any(one.is_dir() or is_table(one) for one in folders[0].iterdir()):
            return files, tables
        files = folders[0]
