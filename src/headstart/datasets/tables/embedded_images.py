"""Images inside the cells of a table, written once to the cache."""

import re
from collections.abc import Sequence
from pathlib import Path, PureWindowsPath
from typing import Final

from headstart.datasets.tables.parquet import embedded_images
from headstart.datasets.unpacked_archive import UnpackedArchive
from headstart.features.path_index import cached_digest
from headstart.images.formats import HEAD_BYTES, TAIL_BYTES, extension, looks_like_image
from headstart.system.cache_folder import atomic_folder, cache_errors, cache_folder
from headstart.system.digests import bytes_digest

_STORED_PATHS: Final = ".paths"
_ANY: Final = "surrogateescape"  # names of files need not be UTF-8
_LONGEST: Final = 50  # characters of a stored name that are kept


def unpack_images(path: Path, column: str, cache: Path) -> tuple[Sequence[Path | None], list[str]]:
    """Write the images of a column to "archives" in the cache, unless they are there.

    Each file is named after the table, its row, and the path that the table stores with it, such
    as "photos.parquet/12-cat.png". The folder is named by the digest of the table.

    Returns:
        The N files, None for a row without an image; and the N stored paths, "" if there is none.

    Raises:
        DataError: The table is damaged.
        StoreError: The cache cannot be written.
    """
    with cache_errors(cache / "archives"):
        parent = cache_folder(cache, "archives")
    key = f"{cached_digest(path, cache)} {column} {path.name}"
    unpacked = UnpackedArchive(parent / bytes_digest(key.encode("utf-8", "surrogateescape")))
    if unpacked.refused() is None:
        unpacked.remove()
        with atomic_folder(unpacked.folder) as work:
            _write(path, column, UnpackedArchive(work).files)
            UnpackedArchive(work).record(())
    by_row = {
        int(one.name.partition("-")[0].partition(".")[0]): one
        for one in (unpacked.files / path.name).iterdir()
    }
    stored = (unpacked.files / _STORED_PATHS).read_text("utf-8", _ANY).split("\n")[:-1]
    return [by_row.get(number) for number in range(1, len(stored) + 1)], stored


def _write(path: Path, column: str, into: Path) -> None:
    stored = []
    with cache_errors(into):
        (into / path.name).mkdir(parents=True)
    for number, (content, name) in enumerate(embedded_images(path, column), start=1):
        stored.append(re.sub(r"[\r\n]", " ", name or ""))
        if content:
            with cache_errors(into):
                (into / path.name / _file_name(number, content, name or "")).write_bytes(content)
    with cache_errors(into):
        text = "".join(f"{one}\n" for one in stored)
        (into / _STORED_PATHS).write_text(text, "utf-8", _ANY, newline="\n")


def _file_name(number: int, content: bytes, stored: str) -> str:
    name = re.sub(r"[^\w.-]+", "_", PureWindowsPath(stored).name)  # splits at both slashes
    stem = name.rpartition(".")[0] if looks_like_image(name) else name
    ending = extension(content[:HEAD_BYTES], content[-TAIL_BYTES:])
    return f"{number}{'-' if stem else ''}{stem[:_LONGEST]}{ending}"
