"""Images without labels: files, and folders and archives of files."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from headstart.datasets.image_tree import read_tree
from headstart.datasets.unpacking import is_archive
from headstart.errors import DataError
from headstart.images.formats import file_refusal
from headstart.images.source import is_url
from headstart.system.cache_folder import cache_root
from headstart.system.text import count_reasons
from headstart.types import Skipped


@dataclass(frozen=True, slots=True)
class FoundImages:
    """The image files among files and folders.

    Attributes:
        paths: the files to read, in order; folders that cannot be opened are among them, so that
            they are reported like files that cannot be read.
        skipped: what is in the folders and cannot be used, with reasons.
    """

    paths: list[Path]
    skipped: tuple[Skipped, ...] = ()


def find_images(sources: Sequence[Path], *, cache: Path | None = None) -> FoundImages:
    """Return the image files among files, folders and archives.

    Files are returned unchecked, so that reading them reports the ones that are missing or
    unreadable. Folders are searched at any depth for the images that `open_dataset` finds in them,
    sorted by folder and name. Archives are unpacked into the cache.

    Raises:
        DataError: no source exists, or no image is found.
    """
    names = ", ".join(f"'{source}'" for source in sources)
    # os.path returns False where pathlib raises, such as inside a folder without permission.
    if not any(os.path.lexists(source) for source in sources):
        advice = "give images, or folders of images"
        if any(is_url(str(source)) for source in sources):
            advice = "headstart does not open URLs; download the images and give their paths"
        raise DataError(f"no such file or folder: {names}; {advice}")
    paths: list[Path] = []
    skipped: list[Skipped] = []
    for source in sources:
        if os.path.isdir(source):  # noqa: PTH112
            found = _images_in(source)
        elif is_archive(source) and os.path.isfile(source):  # noqa: PTH113
            from headstart.datasets.archives import unpacked_archive  # it reads tables, too

            folder, refused = unpacked_archive(source, cache=cache_root(cache))
            found = _images_in(folder)
            skipped += refused
        else:
            found = FoundImages([source])
        paths += found.paths
        skipped += found.skipped
    if not paths:
        why = f" ({count_reasons(one.reason for one in skipped)})" if skipped else ""
        raise DataError(
            f"no images in {names}{why}; give image files, or a folder that contains some"
        )
    return FoundImages(paths, tuple(skipped))


def _images_in(folder: Path) -> FoundImages:
    try:
        tree = read_tree(folder)
    except OSError:
        return FoundImages([folder])
    found = [path for one in tree.folders.values() for path in one.images]
    unreadable = {str(path) for path in tree.unreadable}
    skipped = [one for one in tree.skipped if one.path not in unreadable]
    for one in tree.folders.values():
        skipped += [Skipped(str(path), file_refusal(path)) for path in one.others]
    return FoundImages([*found, *tree.unreadable], tuple(skipped))
