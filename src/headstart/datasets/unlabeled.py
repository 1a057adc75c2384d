"""Images without labels: files, and folders of files."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from headstart.datasets.folders import is_ignored
from headstart.errors import DataError
from headstart.images.formats import looks_like_image


def find_images(sources: Sequence[Path]) -> list[Path]:
    """Return the image files among files and folders.

    Files are returned unchecked, so that reading them reports the ones that are missing or
    unreadable. Folders are searched at any depth for files with an image extension, sorted by path;
    subfolders that cannot be opened are returned as well, so that they are reported the same way.

    Raises:
        DataError: no source exists, or no image is found.
    """
    names = ", ".join(f"'{source}'" for source in sources)
    # os.path returns False where pathlib raises, such as inside a folder without permission.
    if not any(os.path.lexists(source) for source in sources):
        raise DataError(f"no such file or folder: {names}; give images, or folders of images")
    found: list[Path] = []
    for source in sources:
        if os.path.isdir(source):  # noqa: PTH112
            found.extend(sorted(_images_in(source)))
        else:
            found.append(source)
    if not found:
        raise DataError(f"no images in {names}; give image files, or a folder that contains some")
    return found


def _images_in(folder: Path) -> Iterator[Path]:
    # os.walk skips folders that cannot be read, and does not follow links, so there are no loops.
    unreadable: list[OSError] = []
    for parent, folders, files in os.walk(folder, onerror=unreadable.append):
        folders[:] = [name for name in folders if not is_ignored(name)]
        for name in files:
            if looks_like_image(name) and not is_ignored(name):
                yield Path(parent, name)
    yield from (Path(error.filename) for error in unreadable)
