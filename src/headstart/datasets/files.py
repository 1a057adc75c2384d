"""Images without labels: files, and folders of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from headstart.datasets.folders import is_litter
from headstart.errors import DataError
from headstart.images.decode import looks_like_image


def find_images(sources: Sequence[Path]) -> list[Path]:
    """The image files among files and folders.

    Args:
        sources: files are taken as they are, readable or not, there or not: whoever reads them
            lists what cannot be read; of folders, at any depth, the files with an image's ending,
            sorted by path, and the folders that cannot be opened, which are listed likewise.

    Raises:
        DataError: no source exists, or no image is found.
    """
    # What os.path asks is no error where a folder on the way may not be entered.
    if not any(os.path.lexists(source) for source in sources):
        names = ", ".join(f"'{source}'" for source in sources)
        raise DataError(f"no such file or folder: {names}; give images, or folders of images")
    found: list[Path] = []
    for source in sources:
        if os.path.isdir(source):  # noqa: PTH112
            found.extend(sorted(_inside(source)))
        else:
            found.append(source)
    if not found:
        names = ", ".join(f"'{source}'" for source in sources)
        raise DataError(f"no image in {names}; give image files, or a folder that holds some")
    return found


def _inside(folder: Path) -> Iterator[Path]:
    # os.walk goes on past folders that cannot be read, and does not follow links into loops.
    closed: list[OSError] = []
    for place, folders, files in os.walk(folder, onerror=closed.append):
        folders[:] = [name for name in folders if not is_litter(name)]
        for name in files:
            if looks_like_image(name) and not is_litter(name):
                yield Path(place, name)
    yield from (Path(error.filename) for error in closed)
